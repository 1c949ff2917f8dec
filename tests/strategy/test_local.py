from __future__ import annotations

from collections import Counter

import pytest

from lanista.space import Categorical, Real, SearchSpace
from lanista.strategy import LocalSearch
from lanista.testing.strategies import SPACES, drive, hashed, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law):
    law(LocalSearch)


def constant(value):
    return dict.fromkeys(FLAT.labels, value)


def distance(one, other):
    return sum(one[label] != other[label] for label in FLAT.labels)


def started(architecture, *scores, space=FLAT, seed=0):
    """A search that stands at an architecture."""
    strategy = LocalSearch()
    strategy.reset(space, seed)
    tell(strategy, architecture, *scores)
    return strategy


def tell(strategy, architecture, *scores):
    state = State.COMPLETED if scores else State.FAILED
    strategy.observe(Trial(number=0, architecture=architecture, state=state, scores=scores))


def test_a_single_slope_is_climbed_without_a_detour():
    # Each decision has four other values: a climb sees at most so many of each before all are at their best.
    trials = drive(LocalSearch(), FLAT, slope, 200)
    scores = [trial.scores[0] for trial in trials]
    assert 24.0 in scores
    best = scores[0]
    centre = trials[0].architecture
    for trial in trials[1 : scores.index(24.0) + 1]:
        assert distance(trial.architecture, centre) == 1
        if trial.scores[0] > best:
            best, centre = trial.scores[0], trial.architecture


def test_all_neighbours_are_tried_once_in_random_order_before_it_begins_again():
    orders = []
    for seed in range(3):
        strategy = started(constant(2), 1.0, seed=seed)
        tried = [strategy.propose() for _ in range(25)]
        assert Counter(distance(architecture, constant(2)) for architecture in tried[:24]) == {1: 24}
        assert len({FLAT.key(architecture) for architecture in tried}) == 25
        assert distance(tried[24], constant(2)) > 1
        orders.append([FLAT.key(architecture) for architecture in tried[:24]])
    assert orders[0] != orders[1] != orders[2]


def test_an_improvement_is_gone_to_at_once_and_equals_are_not():
    strategy = started(constant(2), 1.0)
    first = strategy.propose()
    tell(strategy, first, 1.0)
    second = strategy.propose()
    assert distance(second, constant(2)) == 1
    tell(strategy, second, 1.5)
    assert {distance(strategy.propose(), second) for _ in range(15)} == {1}


def test_a_known_neighbour_that_is_better_is_gone_to_without_a_trial():
    better, worse = constant(2), constant(2) | {"layer0": 3}
    climbed = set()
    for seed in range(5):
        strategy = started(better, 2.0, seed=seed)
        for _ in range(25):  # all neighbours are out, and a start
            tell(strategy, strategy.propose())
        tell(strategy, worse, 1.0)
        tried = [distance(strategy.propose(), worse) for _ in range(21)]
        climbed.add(next(n for n, steps in enumerate(tried) if steps > 1))
    # It left for the better one before all 20 unknown neighbours were tried; that one has no more to try.
    assert min(climbed) < 20


def test_late_neighbours_that_are_no_improvement_do_not_stop_a_new_climb():
    strategy = started(constant(2), 1.0)
    late = [strategy.propose() for _ in range(24)]
    start = strategy.propose()
    tell(strategy, start, 0.1)
    tell(strategy, late[0], 0.5)  # better than the new start, but not than where it was tried
    assert {distance(strategy.propose(), start) for _ in range(5)} == {1}
    tell(strategy, late[1], 2.0)
    assert {distance(strategy.propose(), late[1]) for _ in range(5)} == {1}


def test_what_fails_is_no_improvement_and_is_not_tried_again():
    strategy = started(constant(2), 1.0)
    failed = strategy.propose()
    tell(strategy, failed)
    others = [strategy.propose() for _ in range(23)]
    assert failed not in others
    assert {distance(architecture, constant(2)) for architecture in others} == {1}


def test_with_several_objectives_better_is_what_dominates():
    strategy = started(constant(2), 1.0, 1.0)
    tell(strategy, strategy.propose(), 5.0, 0.9)
    moved = strategy.propose()
    assert distance(moved, constant(2)) == 1
    tell(strategy, moved, 1.0, 1.1)
    assert {distance(strategy.propose(), moved) for _ in range(15)} == {1}


@pytest.mark.parametrize("name", ["nested", "tiny", "single", "empty"])
@pytest.mark.parametrize("parallel", [1, 4])
def test_it_sees_each_architecture_once_and_ends(name, parallel):
    space = SPACES[name]
    trials = drive(LocalSearch(), space, hashed, 1000, parallel=parallel)
    assert sorted(space.key(trial.architecture) for trial in trials) == sorted(map(space.key, space.grid()))


def test_neighbours_that_miss_a_limit_are_passed_by():
    space = FLAT.constrain(lambda architecture: architecture["layer0"] != 3)
    strategy = started(constant(2), 1.0, space=space)
    tried = [strategy.propose() for _ in range(23)]
    assert {distance(architecture, constant(2)) for architecture in tried} == {1}
    assert all(architecture["layer0"] != 3 for architecture in tried)


def test_an_infinite_space_is_climbed():
    space = SearchSpace({"x": Real(0.0, 1.0), "op": Categorical(["a", "b"])})
    trials = drive(LocalSearch(), space, lambda a: -abs(a["x"] - 0.7) - (a["op"] == "a"), 60)
    assert max(trial.scores[0] for trial in trials) > -0.05


def test_settings_are_shown():
    assert repr(LocalSearch()) == "LocalSearch()"
