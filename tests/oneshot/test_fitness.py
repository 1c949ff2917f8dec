import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanista.nn.mixture import one_of
from lanista.oneshot.fitness import LEAST, Fitness
from lanista.space.decision import Decision
from lanista.space.domain import Categorical
from lanista.space.limit import Limit, Sum, Term
from lanista.space.search import SearchSpace


def problem(options, seed, most=None, kind="sum"):
    """A space of so many decisions of so many options each, their strengths, and a limit on the sum of their prices.

    The last decision exists with the first option of the first one only.
    """
    random = Random(seed)
    names = [f"d{i}" for i in range(len(options))]
    decisions = [
        Decision(name, Categorical(list(range(count))), [{"d0": [0]}] if name == names[-1] and len(names) > 1 else [])
        for name, count in zip(names, options, strict=True)
    ]
    prices = {name: [random.randint(0, 20) for _ in range(count)] for name, count in zip(names, options, strict=True)}
    strengths = {name: [[math.exp(random.gauss(0, 1) + p / 8) for p in prices[name]]] for name in names}
    space = SearchSpace(decisions)
    if most is not None:
        least = sum(min(row) for row in prices.values())
        bound = least + most * (sum(max(row) for row in prices.values()) - least)
        terms = [
            Term([name], [({name: v}, p) for v, p in enumerate(row)] + [({}, 0)] * (name == names[-1]))
            for name, row in prices.items()
        ]
        total = Sum("price", terms)
        space = space.constrain(
            Limit(total, most=bound) if kind == "sum" else lambda architecture: total.of(architecture) <= bound
        )
    return space, {d.label: one_of(d.label, list(d.domain.grid())) for d in space}, strengths


@settings(max_examples=60, deadline=None)
@given(
    options=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    most=st.none() | st.floats(0, 1),
    kind=st.sampled_from(["sum", "rule"]),
    k=st.integers(1, 5),
    small=st.booleans(),
)
def test_the_best_within_limits_are_those_of_an_exhaustive_search(options, seed, most, kind, k, small):
    space, relaxations, strengths = problem(options, seed, most, kind)
    fitness = Fitness(space, relaxations, strengths)
    expected = sorted(space.grid(), key=lambda a: (-fitness.of(a), space.key(a)))[:k]
    with pytest.MonkeyPatch.context() as patch:
        if not small:
            patch.setattr("lanista.oneshot.fitness.SMALL", 0)
            patch.setattr("lanista.oneshot.fitness.FREE_LIMITED", 3)
        assert fitness.best(k) == expected


@pytest.mark.parametrize("most", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(2))
def test_the_best_of_a_large_space_is_found(seed, most):
    """Beside a dynamic program over prices. The fittest options are dear, so that no limit is kept by chance."""
    space, relaxations, strengths = problem([4] * 12, seed, most)
    fitness = Fitness(space, relaxations, strengths)
    [limit] = space.limits
    best = {}

    def log(label, value):
        return math.log(strengths[label][0][value] / max(strengths[label][0]))

    for first in range(4):
        least = {0.0: 0.0}
        for term in limit.cost.terms:
            if term.labels == ("d11",) and first:
                continue
            grown = {}
            for values, price in term.table:
                if not values or (term.labels == ("d0",) and values["d0"] != first):
                    continue
                [(label, value)] = values.items()
                for spent, sofar in least.items():
                    total = sofar + log(label, value)
                    grown[spent + price] = max(grown.get(spent + price, -math.inf), total)
            least = {spent: log for spent, log in grown.items() if spent <= limit.most}
        best[first] = max(least.values(), default=-math.inf)
    found = fitness.best(2)
    assert not any(space.violations(architecture) for architecture in found)
    assert fitness.of(found[0]) == pytest.approx(max(best.values()))
    assert len(found) == 2 or space.size == 1 or most == 0


def test_without_limits_the_best_come_in_order():
    space, relaxations, strengths = problem([3] * 10, 0)
    fitness = Fitness(space, relaxations, strengths)
    found = fitness.best(20)
    assert len(found) == 20
    values = [fitness.of(architecture) for architecture in found]
    assert values == sorted(values, reverse=True)
    assert values[0] == 0
    assert values[-1] >= sorted(map(fitness.of, map(space.sample, range(1000))))[-20]


def test_strengths_of_zero_are_the_weakest():
    space, relaxations, _ = problem([2, 2], 0)
    fitness = Fitness(space, relaxations, {"d0": [[0.0, 1.0]], "d1": [[1.0, 0.0]]})
    assert fitness.best(9) == [{"d0": 1}, {"d0": 0, "d1": 0}, {"d0": 0, "d1": 1}]
    assert [round(fitness.of(a)) for a in fitness.best(9)] == [0, round(math.log(LEAST)), round(2 * math.log(LEAST))]


def test_fewer_decisions_are_no_merit():
    space, relaxations, _ = problem([2, 4], 0)
    strengths = {"d0": [[0.6, 0.4]], "d1": [[0.4, 0.3, 0.2, 0.1]]}
    assert Fitness(space, relaxations, strengths).best(3) == [{"d0": 0, "d1": 0}, {"d0": 0, "d1": 1}, {"d0": 1}]
