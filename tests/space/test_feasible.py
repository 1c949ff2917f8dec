import math
from random import Random

import pytest

from lanista.errors import SpaceError
from lanista.space import Categorical, SearchSpace
from lanista.space import trellis as trellis_module
from lanista.space.limit import Function, Limit, Sum, Term

SPACE = SearchSpace({f"d{i}": Categorical(range(8)) for i in range(8)})


def total(labels=SPACE.labels, factor=1):
    return Sum("total", [Term([label], [({label: v}, factor * v) for v in range(8)]) for label in labels])


def test_a_rule_is_kept_by_rejection_and_the_rate_is_told():
    limited = SPACE.constrain(lambda architecture: architecture["d0"] == architecture["d1"])
    random = Random(0)
    for _ in range(300):
        drawn = limited.sample(random)
        assert drawn["d0"] == drawn["d1"]
    assert limited.acceptance.rate == pytest.approx(1 / 8, rel=0.3)
    assert str(limited.acceptance).endswith("draws kept the limits")


def test_a_dear_cost_is_kept_by_repair_where_draws_rarely_keep_it():
    asked = []

    def measure(architecture):
        asked.append(architecture)
        return float(sum(architecture.values()))

    limited = SPACE.constrain(Limit(Function("total", measure, cheap=False), most=9))
    random = Random(0)
    for _ in range(5):
        assert sum(limited.sample(random).values()) <= 9
    assert limited.acceptance.repaired > 0
    assert "repaired" in str(limited.acceptance)
    assert len(asked) < 5000


def test_several_sums_and_a_rule_hold_together():
    left, right = total(SPACE.labels[:5]), total(SPACE.labels[3:], 10)
    limited = SPACE.constrain(
        Limit(left, most=6), Limit(right, most=80), lambda a: a["d0"] < 4, Limit(total(), least=3)
    )
    random = Random(0)
    drawn = [limited.sample(random) for _ in range(300)]
    for architecture in drawn:
        assert left.of(architecture) <= 6 and right.of(architecture) <= 80
        assert architecture["d0"] < 4 and sum(architecture.values()) >= 3
    assert len({SPACE.key(a) for a in drawn}) > 250


def test_sums_that_cannot_be_kept_together_are_named_at_once():
    rest = Sum("rest", [Term([label], [({label: v}, 7 - v) for v in range(8)]) for label in SPACE.labels])
    with pytest.raises(SpaceError, match="keeps these limits together: total at most 20 and rest at most 20; loosen"):
        SPACE.constrain(Limit(total(), most=20), Limit(rest, most=20))


def test_an_infinite_bound_allows_everything_or_nothing():
    assert SPACE.constrain(
        Limit(total(), most=math.inf), Limit(total(), most=9), Limit(total(), least=-math.inf)
    ).sample(0)
    with pytest.raises(SpaceError, match="no architecture has total at most -inf: total is from 0 to 56"):
        SPACE.constrain(Limit(total(), most=-math.inf))


def test_a_cost_that_ties_all_together_is_kept_by_rejection(monkeypatch):
    monkeypatch.setattr(trellis_module, "MOST_EDGES", 10)
    limited = SPACE.constrain(Limit(total(), most=20))
    assert all(sum(limited.sample(seed).values()) <= 20 for seed in range(50))
    assert limited.acceptance.rate < 0.9


def test_mutations_stay_within_limits_that_few_architectures_keep():
    limited = SPACE.constrain(Limit(total(), most=2))
    random = Random(0)
    architecture = limited.sample(random)
    seen = set()
    for _ in range(300):
        moved = limited.mutate(architecture, random)
        assert moved != architecture
        assert sum(moved.values()) <= 2
        architecture = moved
        seen.add(SPACE.key(moved))
    assert len(seen) > 20


def test_where_one_architecture_is_left_a_mutation_gives_it_back():
    limited = SPACE.constrain(Limit(total(), most=0))
    only = dict.fromkeys(SPACE.labels, 0)
    assert limited.sample(1) == limited.mutate(only, Random(0)) == limited.crossover(only, only, Random(0)) == only


def test_the_default_is_repaired():
    limited = SPACE.constrain(Limit(total(), least=50))
    assert sum(limited.default().values()) >= 50
    assert limited.default() == limited.default()
    assert SPACE.constrain(Limit(total(), most=50)).default() == SPACE.default()


def test_a_space_of_one_architecture_is_not_repaired_forever():
    single = SearchSpace({"op": Categorical(["conv"])})
    with pytest.raises(SpaceError, match="no architecture within the limits was found"):
        single.constrain(lambda architecture: False)
