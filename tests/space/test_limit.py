import json
import math
import pickle
from random import Random

import pytest

from lanista.errors import SpaceError
from lanista.space import Categorical, Decision, Integer, SearchSpace
from lanista.space.limit import ABSENT, Function, Limit, Sum, Term, limit_from_json, rule

SPACE = SearchSpace(
    [
        Decision("body", Categorical(["conv", "pool"])),
        Decision("kernel", Categorical([3, 5]), {"body": ["conv"]}),
        Decision("width", Integer(1, 4)),
    ]
)
KERNEL = Term(
    ["body", "kernel"],
    [({"body": "conv", "kernel": 3}, 9), ({"body": "conv", "kernel": 5}, 25), ({"body": "pool"}, 0)],
)
WIDTH = Term(["width"], [({"width": n}, 100 * n) for n in range(1, 5)])
COST = Sum("parameters", [KERNEL, WIDTH], 7)


def test_a_sum_adds_what_the_decisions_that_exist_cost():
    assert COST.of({"body": "conv", "kernel": 5, "width": 2}) == 7 + 25 + 200
    assert COST.of({"body": "pool", "width": 1}) == 107
    assert KERNEL.key({"body": "pool"}) == ("pool", ABSENT)
    with pytest.raises(SpaceError, match="not known"):
        COST.of({"body": "conv", "kernel": 7, "width": 1})


def test_a_mixed_sum_weighs_its_parts():
    mixed = Sum.mixed([(2.0, COST), (0.5, COST)])
    for architecture in SPACE.grid():
        assert mixed.of(architecture) == pytest.approx(2.5 * COST.of(architecture))


@pytest.mark.parametrize("table", [[({"width": 1}, "many")], [({"depth": 1}, 1.0)]])
def test_a_term_needs_numbers_for_its_labels(table):
    with pytest.raises(SpaceError, match="needs numbers"):
        Term(["width"], table)


def test_excess_is_relative_to_the_bound_that_is_missed():
    small = {"body": "pool", "width": 1}
    assert Limit(COST, most=200).excess(small) == 0
    assert Limit(COST, most=53.5).excess(small) == pytest.approx(1.0)
    assert Limit(COST, least=214).excess(small) == pytest.approx(0.5)
    assert Limit(Function("nan", lambda _: math.nan), most=1).excess(small) == math.inf


@pytest.mark.parametrize(("least", "most"), [(None, None), (2, 1), (math.nan, None), ("1", None), (None, True)])
def test_a_limit_needs_bounds_that_fit(least, most):
    with pytest.raises(SpaceError, match="limit"):
        Limit(COST, least, most)


def test_a_limit_says_what_it_is():
    assert Limit(COST, most=5e6).describe() == "parameters at most 5,000,000"
    assert Limit(Sum("latency", [], unit="ms"), 1, 2.5).describe() == "latency at least 1 and at most 2.5 ms"
    assert rule(lambda a: True, "even").describe() == "the rule even holds"


def test_a_dear_function_is_asked_once_for_an_architecture():
    asked = []

    def count(architecture):
        asked.append(architecture)
        return len(architecture)

    dear, cheap = Function("n", count, cheap=False), Function("n", count)
    for architecture in [{"a": 1}, {"a": 1}, {"a": 2}]:
        assert dear.of(architecture) == 1
    assert len(asked) == 2
    cheap.of({"a": 1})
    assert len(asked) == 3
    assert pickle.loads(pickle.dumps(Function("len", len, cheap=False))).of({"a": 1}) == 1
    with pytest.raises(SpaceError, match="must be a number"):
        Function("none", lambda _: None).of({})


def test_json_keeps_sums_whole_and_knows_what_functions_were_called():
    limited = SPACE.constrain(Limit(COST, most=300), lambda architecture: True)
    text = json.dumps(limited.to_json())
    read = SearchSpace.from_json(json.loads(text))
    assert json.dumps(read.to_json()) == text
    assert read == limited
    assert read.fingerprint == limited.fingerprint != SPACE.fingerprint
    [total, function] = read.limits
    for architecture in SPACE.grid():
        assert total.cost.of(architecture) == COST.of(architecture)
    with pytest.raises(SpaceError, match="which a stored space does not hold"):
        function.excess({})
    with pytest.raises(SpaceError, match="this is not a space"):
        SearchSpace.from_json({**limited.to_json(), "limits": [{"least": 1}]})
    assert limit_from_json(Limit(COST, 1, 2).to_json()).describe() == Limit(COST, 1, 2).describe()


def test_a_limited_space_can_be_pickled():
    limited = SPACE.constrain(Limit(COST, most=300))
    again = pickle.loads(pickle.dumps(limited))
    assert again == limited
    assert again.sample(3) == limited.sample(3)


def test_both_sides_of_a_union_keep_their_limits():
    other = SearchSpace({"lr": Categorical([1, 2, 3])}).constrain(lambda architecture: architecture["lr"] != 2)
    both = SPACE.constrain(Limit(COST, most=200)) | other
    assert len(both.limits) == 2
    for seed in range(50):
        drawn = both.sample(seed)
        assert drawn["lr"] != 2 and COST.of(drawn) <= 200


def test_violations_say_what_is_missed_and_validate_does_not_mind():
    limited = SPACE.constrain(Limit(COST, most=300))
    large = {"body": "pool", "width": 4}
    assert limited.validate(large) == large
    assert limited.violations(large) == ["parameters at most 300, but it has 407"]
    assert limited.violations({"body": "pool", "width": 1}) == []


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (Limit(COST, most=100), "no architecture has parameters at most 100: parameters is from 107 to 432"),
        (Limit(COST, least=1000), "no architecture has parameters at least 1,000"),
        (Limit(COST, least=1, most=106), "from 107 to 432"),
        (rule(lambda architecture: False, "never"), "because of the rule never holds"),
        (Limit(Sum("x", [Term(["depth"], [({}, 0)])]), most=1), "there is no decision 'depth'"),
    ],
)
def test_limits_that_nothing_keeps_are_found_at_once(limit, message):
    with pytest.raises(SpaceError, match=message):
        SPACE.constrain(limit)


def test_everything_that_chooses_keeps_the_limits():
    limited = SPACE.constrain(Limit(COST, most=320), lambda architecture: architecture.get("kernel") != 5)
    allowed = {SPACE.key(a) for a in SPACE.grid() if COST.of(a) <= 320 and a.get("kernel") != 5}
    assert {SPACE.key(a) for a in limited.grid()} == allowed
    assert SPACE.key(limited.default()) in allowed
    random = Random(0)
    mother, father = limited.sample(random), limited.sample(random)
    for _ in range(200):
        for child in (
            limited.mutate(mother, random),
            limited.mutate(mother, random, probability=0.5),
            limited.crossover(mother, father, random),
            *limited.neighbours(mother),
            limited.sample(random, uniform="architectures"),
        ):
            assert SPACE.key(child) in allowed
            assert limited.validate(child) == child
        mother = child
    assert limited.mutate(mother, random) != mother
    assert repr(limited) == "SearchSpace(3 decisions, 12 architectures, 2 limits)"


def test_a_rule_that_looks_for_what_is_not_there_says_so():
    with pytest.raises(SpaceError, match=r"<lambda> looks for 'kernel' .* architecture.get\(label\)"):
        SPACE.constrain(lambda architecture: architecture["kernel"] == 3)


def test_a_function_gets_the_decisions_that_it_depends_on():
    asked = []
    cost = Function("n", lambda a: asked.append(a) or len(a), cheap=False, labels=["body", "kernel"])
    assert cost.of({"body": "pool", "lr": 1}) == cost.of({"body": "pool", "lr": 2}) == 1
    assert asked == [{"body": "pool"}]


def test_answers_can_be_handed_over():
    told = []
    cost = Function("n", len, cheap=False, repeatable=False)
    cost.remember({'{"a": 1}': 7.0}, lambda name, value: told.append((name, value)))
    assert [cost.of({"a": 1}), cost.of({"a": 2}), cost.of({"a": 2})] == [7.0, 1.0, 1.0]
    assert told == [('{"a": 2}', 1.0)]


@pytest.mark.parametrize("limit", [{"most": 1}, {"least": 38}, {"least": 2, "most": 2}])
def test_a_grid_leaves_out_what_misses_a_sum_without_looking_at_all(limit):
    space = SearchSpace({f"x{i}": Integer(0, 1) for i in range(40)})
    count = Sum("count", [Term([label], [({label: 0}, 0), ({label: 1}, 1)]) for label in space.labels])
    kept = list(space.constrain(Limit(count, **limit)).grid())
    assert len({space.key(a) for a in kept}) == len(kept) == {1: 41, 38: 821, 2: 780}[max(limit.values())]
    assert kept == sorted(kept, key=lambda a: list(a.values()))
