from __future__ import annotations

import logging
from collections import Counter

import pytest

from lanista.errors import ExperimentError, SpaceError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace
from lanista.strategy import GridSearch
from lanista.testing.strategies import SPACES, drive, hashed, strategy_laws

FINITE = [name for name, space in SPACES.items() if space.size < 1e6]


@pytest.mark.parametrize("law", strategy_laws(seeded=False))
def test_contract_in_order(law):
    law(lambda: GridSearch(granularity=3))


@pytest.mark.parametrize("law", strategy_laws())
def test_contract_shuffled(law):
    law(lambda: GridSearch(shuffle=True, granularity=3))


@pytest.mark.parametrize("name", FINITE)
def test_the_order_is_that_of_the_grid(name, caplog):
    space = SPACES[name]
    with caplog.at_level(logging.INFO, "lanista"):
        trials = drive(GridSearch(), space, hashed, 20_000)
    assert [trial.architecture for trial in trials] == list(space.grid())
    assert ("that keep the limits" if space.limits else f"all {space.size:,} architectures") in caplog.text


@pytest.mark.parametrize("name", FINITE[1:])
def test_shuffled_it_is_the_same_set(name):
    space = SPACES[name]
    proposed = [space.key(trial.architecture) for trial in drive(GridSearch(shuffle=True), space, hashed, 20_000)]
    assert sorted(proposed) == sorted(map(space.key, space.grid()))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", FINITE[1:])
def test_what_was_observed_before_is_left_out(name, shuffle):
    space = SPACES[name]
    strategy = GridSearch(shuffle=shuffle)
    strategy.reset(space, 0)
    every = [space.key(architecture) for architecture in space.grid()]
    foreign = drive(GridSearch(shuffle=True), space, hashed, len(every) // 2, seed=1)
    for trial in foreign:
        strategy.observe(trial)
    left = []
    with pytest.raises(StopIteration):
        while True:
            left.append(space.key(strategy.propose()))
    assert sorted(left + [space.key(trial.architecture) for trial in foreign]) == sorted(every)


def test_every_order_is_equally_likely():
    space = SPACES["tiny"]
    orders = Counter(
        tuple(space.key(t.architecture) for t in drive(GridSearch(shuffle=True), space, hashed, 3, seed=seed))
        for seed in range(1200)
    )
    assert len(orders) == 6
    assert sum((n - 200) ** 2 / 200 for n in orders.values()) < 25.7  # 5 degrees of freedom, p = 1e-4


def test_ranges_take_evenly_spaced_values_on_their_scale():
    space = SearchSpace({"rate": Real(0.01, 1.0, log=True), "dropout": Real(0.0, 0.5)})
    trials = drive(GridSearch(granularity=3), space, hashed, 100)
    assert [tuple(t.architecture.values()) for t in trials] == [
        (pytest.approx(rate), pytest.approx(dropout)) for rate in (0.01, 0.1, 1.0) for dropout in (0.0, 0.25, 0.5)
    ]


def test_a_range_of_two_floats_gives_two_values():
    space = SearchSpace({"x": Real(1.0, 1.0 + 2**-52)})
    assert len(drive(GridSearch(granularity=5), space, hashed, 10)) == 2


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_huge_space_is_walked_lazily(shuffle):
    space = SearchSpace(
        [
            Decision("n", Integer(1, 10**9)),
            *(Decision(f"op{i}", Categorical(range(10)), {"n": [1]}) for i in range(100)),
        ]
    )
    trials = drive(GridSearch(shuffle=shuffle), space, hashed, 50)
    assert len({space.key(trial.architecture) for trial in trials}) == 50


def test_settings_are_checked_and_shown():
    assert repr(GridSearch(granularity=2)) == "GridSearch(shuffle=False, granularity=2)"
    for granularity in (0, -1, 2.5, True, "5"):
        with pytest.raises(ExperimentError, match=r"granularity is .*; give an integer of at least 1"):
            GridSearch(granularity=granularity)
    with pytest.raises(SpaceError, match=r"'rate' is a number from .*GridSearch\(granularity=5\)"):
        GridSearch().reset(SPACES["mixed"], 0)
