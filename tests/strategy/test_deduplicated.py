from __future__ import annotations

import logging
from collections import Counter

import pytest

from lanista.errors import ExperimentError
from lanista.strategy import Deduplicated, Filtered, GridSearch, Random, RegularizedEvolution, Strategy
from lanista.testing.strategies import SPACES, drive, hashed, slope, some_fail, strategy_laws
from lanista.trial import State

FLAT = SPACES["flat"]


def evolution():
    return RegularizedEvolution(population_size=10, sample_size=4)


class Spy(Strategy):
    """Passes everything on, and counts."""

    def __init__(self, inner):
        self.inner, self.proposed, self.observed = inner, Counter(), Counter()

    def reset(self, space, seed):
        self.inner.reset(space, seed)
        self.space = space

    def propose(self):
        architecture = self.inner.propose()
        self.proposed[self.space.key(architecture)] += 1
        return architecture

    def observe(self, trial):
        self.observed[self.space.key(trial.architecture)] += 1
        self.inner.observe(trial)


class Stuck(Strategy):
    """Proposes one and the same."""

    def reset(self, space, seed):
        self.only = space.default()

    def propose(self):
        return self.only

    def observe(self, trial):
        pass


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
@pytest.mark.parametrize(
    "make",
    [
        lambda: Deduplicated(evolution()),
        lambda: Deduplicated(Filtered(evolution(), lambda architecture: hashed(architecture) != 0.5)),
        lambda: Deduplicated(Deduplicated(evolution())),
    ],
    ids=["evolution", "filtered", "twice"],
)
def test_contract(law, make):
    law(make)


@pytest.mark.parametrize("law", strategy_laws(seeded=False))
def test_contract_around_a_grid(law):
    law(lambda: Deduplicated(GridSearch(granularity=2)))


def test_it_is_the_inner_search_without_its_repeats():
    repeating = [FLAT.key(t.architecture) for t in drive(evolution(), FLAT, slope, 600, seed=5)]
    trials = drive(Deduplicated(evolution()), FLAT, slope, 150, seed=5)
    unique = list(dict.fromkeys(repeating))
    assert len(unique) < len(repeating)
    assert [FLAT.key(t.architecture) for t in trials] == unique[:150]


@pytest.mark.parametrize("parallel", [1, 6])
def test_each_proposal_of_the_inner_one_is_observed_once(parallel):
    spy = Spy(evolution())
    trials = drive(Deduplicated(spy), FLAT, slope, 150, parallel=parallel, fail=some_fail)
    assert len({FLAT.key(trial.architecture) for trial in trials}) == len(trials) == 150
    assert spy.proposed == spy.observed
    assert spy.proposed.total() > 150


def test_what_is_interrupted_for_good_stays_without_an_answer():
    spy = Spy(Random(dedup=False))
    drive(Deduplicated(spy), SPACES["tiny"], hashed, 9, parallel=3, fail=lambda number: State.RUNNING)
    assert len(spy.proposed) == 3
    assert not spy.observed


def test_it_ends_when_all_architectures_are_known(caplog):
    space = SPACES["nested"]
    with caplog.at_level(logging.INFO, "lanista"):
        trials = drive(Deduplicated(Random(dedup=False), patience=10_000), space, hashed, 1000)
    assert len(trials) == space.size
    assert f"all {space.size:,} architectures of the space are known" in caplog.text


def test_it_ends_when_patience_does(caplog):
    with caplog.at_level(logging.INFO, "lanista"):
        trials = drive(Deduplicated(Stuck(), patience=7), FLAT, hashed, 10)
    assert [trial.architecture for trial in trials] == [FLAT.default()]
    assert "7 proposals in a row were repeats" in caplog.text


def test_an_architecture_that_others_tried_is_not_proposed():
    space = SPACES["tiny"]
    strategy = Deduplicated(Random())
    foreign = drive(Random(), space, hashed, 1, seed=1)[0]
    strategy.reset(space, 0)
    strategy.observe(foreign)
    assert foreign.architecture not in [strategy.propose(), strategy.propose()]
    with pytest.raises(StopIteration):
        strategy.propose()


def test_settings_are_checked_and_shown():
    assert repr(Deduplicated(Random(), patience=5)) == (
        "Deduplicated(Random(dedup=True, uniform='decisions'), patience=5)"
    )
    with pytest.raises(ExperimentError, match="patience is 0; give an integer of at least 1"):
        Deduplicated(Random(), patience=0)
