import os
import subprocess
import sys
from collections import Counter
from itertools import product
from math import inf, sqrt
from random import Random

import pytest
from hypothesis import given, settings

from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, Subset
from lanista.space.census import INACTIVE, Census
from lanista.space.domain import key
from lanista.testing.spaces import search_spaces

laws = settings(deadline=None, derandomize=True, max_examples=60)
ABSENT = object()


def brute(space):
    """All architectures by the definition of a condition alone, from all combinations of values."""
    decisions = list(space)
    for values in product(*([ABSENT, *decision.domain.grid()] for decision in decisions)):
        chosen = {d.label: v for d, v in zip(decisions, values, strict=True) if v is not ABSENT}
        if all((d.label in chosen) == exists(d, chosen) for d in decisions):
            yield chosen


def exists(decision, chosen):
    return not decision.when or any(
        all(parent in chosen and chosen[parent] in allowed for parent, allowed in clause.items())
        for clause in decision.when
    )


@laws
@given(search_spaces(continuous=False, size=3))
def test_the_size_is_the_number_of_architectures(space):
    assert space.size == sum(1 for _ in brute(space))


@settings(laws, max_examples=30)
@given(search_spaces(continuous=False, size=3, decisions=3))
def test_a_uniform_draw_is_an_architecture_and_can_be_any(space):
    everything = {space.key(architecture) for architecture in brute(space)}
    random = Random(0)
    drawn = {space.key(space.sample(random, uniform="architectures")) for _ in range(12 * len(everything) + 40)}
    assert drawn == everything


CONDITIONAL = SearchSpace(
    [
        Decision("body", Categorical(["conv", "pool", "none"])),
        Decision("kernels", Subset([[3, 3], [5, 5]]), {"body": ["conv"]}),
        Decision("norm", Categorical([None, "batch"]), [{"body": ["pool"]}, {"kernels": [[[3, 3]], []]}]),
        Decision("groups", Integer(1, 3), [{"norm": ["batch"]}, {"body": ["none"]}]),
    ]
)


def misfit(space, draws, **kwargs):
    """Chi-square of draws against a uniform distribution, in standard deviations above its mean."""
    random, free = Random(3), space.size - 1
    counts = Counter(space.key(space.sample(random, **kwargs)) for _ in range(draws))
    expected = draws / space.size
    square = sum((n - expected) ** 2 / expected for n in counts.values())
    square += expected * (space.size - len(counts))
    return (square - free) / sqrt(2 * free)


@pytest.mark.parametrize(
    "space",
    [
        CONDITIONAL,
        SearchSpace([Decision("a", Integer(0, 40)), Decision("b", Integer(0, 40), {"a": [3, 7]})]),
        SearchSpace([Decision("a", Integer(1, 40, log=True)), Decision("b", Categorical(["x", "y"]), {"a": [1]})]),
    ],
)
def test_uniform_over_architectures(space):
    assert misfit(space, 12000, uniform="architectures") < 4
    assert misfit(space, 12000, uniform="decisions") > 20  # which shows that the test can tell


def test_uniform_over_decisions():
    random = Random(5)
    drawn = [CONDITIONAL.sample(random) for _ in range(12000)]
    for decision in CONDITIONAL:
        values = [key(architecture[decision.label]) for architecture in drawn if decision.label in architecture]
        expected = len(values) / decision.domain.size
        counts = Counter(values)
        assert len(counts) == decision.domain.size
        assert all(abs(n - expected) < 5 * sqrt(expected) for n in counts.values())


@pytest.mark.parametrize(
    ("when", "infinite"),
    [({}, True), ({"a": [1]}, True), ({"a": [1], "b": [0]}, False), ({"a": []}, False)],
)
def test_infinite_exactly_if_a_real_can_be_active(when, infinite):
    space = SearchSpace(
        [
            Decision("a", Categorical([0, 1])),
            Decision("b", Categorical([0, 1]), {"a": [0]}),
            Decision("rate", Real(0, 1), when),
        ]
    )
    assert (space.size == inf) == infinite
    if not infinite:
        assert space.size == len(list(space.grid())) == 3


def test_long_spaces_count_fast_whatever_the_order():
    # Each child directly after its parent: the states are few. As given, there would be 3 to the 300th.
    parents = [Decision(f"p{i}", Categorical([0, 1, 2])) for i in range(300)]
    children = [Decision(f"c{i}", Integer(0, 9), {f"p{i}": [1]}) for i in range(300)]
    shared = Decision("shared", Integer(0, 4), [{f"p{i}": [2]} for i in range(300)])
    space = SearchSpace([*parents, *children, shared])
    without = 11**300  # no parent has the value 2
    assert space.size == without + 5 * (12**300 - without)
    assert space.validate(space.sample(1, uniform="architectures"))
    assert "e+324 architectures" in repr(space)


def test_positions_and_absences():
    census = Census([(Categorical(["x"]), []), (Integer(0, 3), [{0: []}])])
    assert census.sample(Random(0)) == ["x", INACTIVE]
    assert Census([]).size == 1
    assert Census([]).sample(Random(0)) == []


def test_draws_do_not_depend_on_the_hash_seed():
    code = (
        "from lanista.space import Categorical, Decision, Integer, SearchSpace; from random import Random;"
        "names, random = 'a bc def gh i jkl mn o pq rst uvw xyz'.split(), Random(0);"
        "when = [{'a': names[5:]}, {'a': names[:4]}];"
        "space = SearchSpace([Decision('a', Categorical(names)), Decision('b', Integer(0, 3), when)]);"
        "drawn = [space.sample(random, uniform='architectures') for _ in range(20)], space.fingerprint"
    )
    here: dict[str, object] = {}
    exec(code, here)
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run(
        [sys.executable, "-c", code + "; print(drawn)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == str(here["drawn"])
