"""Exact counts and draws under a limit, against the list of all architectures."""

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lanista.errors import SpaceError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, trellis
from lanista.space.census import INACTIVE
from lanista.space.limit import Limit, Sum, Term
from lanista.space.trellis import TooWide, Trellis
from lanista.testing.spaces import search_spaces

WEIGHTS = {"decisions", "architectures"}


@st.composite
def costs(draw, space):
    """Sums of terms over one to three decisions, with tables over the combinations that occur."""
    terms = []
    amounts = draw(st.sampled_from([st.integers(-5, 20), st.floats(0, 10).map(lambda x: round(x, 3))]))
    for _ in range(draw(st.integers(1, 4))):
        labels = draw(st.lists(st.sampled_from(space.labels), min_size=1, max_size=3, unique=True))
        shown = {}
        for architecture in space.grid():
            part = {label: architecture[label] for label in labels if label in architecture}
            shown[space.key(part)] = part
        terms.append(Term(labels, [(part, draw(amounts)) for part in shown.values()]))
    return Sum("cost", terms, draw(st.integers(-3, 3)))


def chance(space, architecture):
    return math.prod(space[label].probability(value) for label, value in architecture.items())


@given(st.data(), search_spaces(continuous=False, size=3))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_shares_and_draws_are_those_of_the_list_of_all_architectures(data, space):
    assume(len(space) > 0 and space.size <= 300)
    cost = data.draw(costs(space))
    every = list(space.grid())
    values = sorted(map(cost.of, every))
    bound = data.draw(st.sampled_from(values))
    least = data.draw(st.none() | st.sampled_from(values).filter(lambda value: value <= bound))
    limit = Limit(cost, least, bound)
    allowed = [a for a in every if not limit.excess(a)]
    for uniform in WEIGHTS:
        made = Trellis(space.positioned, cost, uniform)
        assert made.least == pytest.approx(values[0])
        assert made.greatest == pytest.approx(values[-1])
        share = made.limit(limit)
        likely = sum(chance(space, a) for a in allowed)
        expected = likely if uniform == "decisions" else len(allowed) / len(every)
        assert share >= expected - 1e-9
        if all(float(amount).is_integer() for term in cost.terms for _, amount in term.table):
            assert share == pytest.approx(expected)
        random = Random(0)
        drawn = [dict(zip(space.labels, values_of(space, made.draw(random)), strict=True)) for _ in range(20)]
        for architecture in drawn:
            kept = {label: value for label, value in architecture.items() if value is not INACTIVE}
            assert space.validate(kept) == kept


def values_of(space, drawn):
    by_label = dict(zip((label for label, _, _ in space.positioned), drawn, strict=True))
    return [by_label[label] for label in space.labels]


CONDITIONAL = SearchSpace(
    [
        Decision("body", Categorical(["conv", "pool", "id"], prior=[1, 2, 3])),
        Decision("kernel", Integer(1, 9, 2, log=True), {"body": ["conv"]}),
        Decision("width", Categorical([8, 16, 32])),
    ]
)
PAIRS = Sum(
    "cost",
    [
        Term(
            ["body", "width"],
            [({"body": b, "width": w}, w * (1 + i)) for i, b in enumerate(["id", "pool", "conv"]) for w in (8, 16, 32)],
        ),
        Term(["kernel"], [({}, 0), *[({"kernel": k}, float(k * k)) for k in (1, 3, 5, 7, 9)]]),
    ],
)


@pytest.mark.parametrize("uniform", sorted(WEIGHTS))
@pytest.mark.parametrize("limit", [Limit(PAIRS, most=40), Limit(PAIRS, least=30), Limit(PAIRS, 20, 50)])
def test_draws_under_a_limit_are_those_without_given_that_it_holds(limit, uniform):
    limited = CONDITIONAL.constrain(limit)
    allowed = [a for a in CONDITIONAL.grid() if not limit.excess(a)]
    weights = [chance(CONDITIONAL, a) if uniform == "decisions" else 1.0 for a in allowed]
    random = Random(5)
    n = 20_000
    counts = Counter(limited.key(limited.sample(random, uniform=uniform)) for _ in range(n))
    assert counts.keys() <= set(map(limited.key, allowed))
    expected = {limited.key(a): n * w / sum(weights) for a, w in zip(allowed, weights, strict=True)}
    chi2 = sum((counts[name] - e) ** 2 / e for name, e in expected.items())
    assert chi2 < len(expected) + 5 * math.sqrt(2 * len(expected))


def test_a_continuous_decision_that_costs_nothing_is_drawn_as_ever():
    space = SearchSpace({"lr": Real(1e-4, 1e-1, log=True), "op": Categorical(range(4))})
    cost = Sum("cost", [Term(["op"], [({"op": i}, i) for i in range(4)])])
    limited = space.constrain(Limit(cost, most=1))
    random = Random(0)
    drawn = [limited.sample(random) for _ in range(500)]
    assert {a["op"] for a in drawn} == {0, 1}
    assert sorted(a["lr"] for a in drawn)[250] == pytest.approx(10**-2.5, rel=0.3)


def test_terms_that_tie_too_much_together_are_refused(monkeypatch):
    monkeypatch.setattr(trellis, "MOST_EDGES", 5_000)
    labels = [f"d{i}" for i in range(20)]
    space = SearchSpace({label: Categorical(range(8)) for label in labels})
    ends = [Term([labels[i], labels[-1 - i]], [({labels[i]: a, labels[-1 - i]: b}, a * b)
            for a in range(8) for b in range(8)]) for i in range(10)]  # fmt: skip
    with pytest.raises(TooWide):
        Trellis(space.positioned, Sum("cost", ends), "decisions")


def test_a_space_without_decisions_keeps_a_limit_or_does_not():
    cost = Sum("cost", [], 5)
    made = Trellis([], cost, "decisions")
    assert (made.limit(Limit(cost, most=5)), made.limit(Limit(cost, most=4)), made.draw(Random(0))) == (
        1,
        0,
        [],
    )


def test_two_decisions_are_drawn_far_out_in_the_tail():
    random = Random(1)
    space = SearchSpace({f"d{i}": Categorical(range(6)) for i in range(25)})
    amounts = [[random.uniform(0, 1e6) for _ in range(6)] for _ in range(25)]
    cost = Sum("cost", [Term([f"d{i}"], [({f"d{i}": v}, amounts[i][v]) for v in range(6)]) for i in range(25)])
    made = Trellis(space.positioned, cost, "decisions")
    most = made.least * 1.5
    limited = space.constrain(Limit(cost, most=most))
    assert all(cost.of(limited.sample(random)) <= most for _ in range(200))
    assert limited.acceptance.rate > 0.5


@pytest.mark.parametrize(
    ("limit", "ones"), [((60, None), {60}), ((60, 60), {60}), ((59, 59.5), {59}), ((58, None), {58, 59, 60})]
)
@pytest.mark.parametrize("scale", [1, 0.1])
def test_the_dearest_few_of_very_many_are_found(limit, ones, scale):
    space = SearchSpace({f"d{i}": Integer(0, 1) for i in range(60)})
    cost = Sum("cost", [Term([label], [({label: 0}, 0), ({label: 1}, scale)]) for label in space.labels])
    least, most = (None if bound is None else bound * scale for bound in limit)
    limited = space.constrain(Limit(cost, least - 1e-9, None if most is None else most + 1e-9))
    random = Random(0)
    assert {sum(limited.sample(random).values()) for _ in range(20)} <= ones


def test_a_limit_in_a_gap_of_the_costs_keeps_nothing():
    space = SearchSpace({"op": Categorical([0, 10])})
    cost = Sum("cost", [Term(["op"], [({"op": value}, value) for value in (0, 10)])])
    assert Trellis(space.positioned, cost, "decisions").limit(Limit(cost, 3, 7)) == 0
    with pytest.raises(SpaceError, match="at least 3 and at most 7: cost is from 0 to 10, with gaps"):
        space.constrain(Limit(cost, 3, 7))
