from __future__ import annotations

import functools
import logging

import pytest

from lanista.errors import ExperimentError
from lanista.strategy import Deduplicated, Filtered, GridSearch, Random, RegularizedEvolution, Strategy
from lanista.testing.strategies import SPACES, drive, hashed, slope, strategy_laws
from lanista.trial import State

FLAT = SPACES["flat"]


def lucky(architecture):
    """Some architectures of any space, and all of those with one decision."""
    return len(architecture) < 2 or hashed(architecture) < 0.7


def light(architecture):
    return slope(architecture) <= 10


def at_most(bound, architecture):
    return slope(architecture) <= bound


class Inner(Strategy):
    """A random search that keeps what it is told."""

    def reset(self, space, seed):
        self.random = Random(dedup=False)
        self.random.reset(space, seed)
        self.proposed, self.told = [], []

    def propose(self):
        self.proposed.append(self.random.propose())
        return self.proposed[-1]

    def observe(self, trial):
        self.told.append(trial)


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
@pytest.mark.parametrize("crossover", [False, 0.5])
def test_contract(law, crossover):
    law(lambda: Filtered(RegularizedEvolution(population_size=10, sample_size=4, crossover=crossover), lucky))


@pytest.mark.parametrize("law", strategy_laws())
@pytest.mark.parametrize("make", [Random, lambda: Deduplicated(Random(dedup=False))], ids=["random", "dedup"])
def test_contract_around_random(law, make):
    law(lambda: Filtered(make(), lucky))


def test_a_filtered_grid_is_the_grid_filtered():
    trials = drive(Filtered(GridSearch(), light), FLAT, hashed, 20_000)
    assert [trial.architecture for trial in trials] == [a for a in FLAT.grid() if light(a)]


def test_evolution_climbs_up_to_the_bound():
    strategy = Filtered(RegularizedEvolution(population_size=10, sample_size=4), light)
    reached = [slope(trial.architecture) for trial in drive(strategy, FLAT, slope, 200)]
    assert max(reached) == 10
    assert sum(reached[-50:]) / 50 > 8


def test_the_inner_one_learns_of_each_refusal_before_it_is_asked_again():
    inner = Inner()
    trials = drive(Filtered(inner, light), FLAT, slope, 50)
    assert [trial.architecture for trial in inner.told] == inner.proposed
    refused = [trial for trial in inner.told if not light(trial.architecture)]
    assert 0 < len(refused) == len(inner.told) - len(trials)
    assert {(t.number, t.state, t.error) for t in refused} == {(-1, State.FAILED, "filtered: light is false")}
    assert [trial for trial in inner.told if light(trial.architecture)] == trials


def test_it_ends_when_patience_does(caplog):
    strategy = Filtered(Random(), functools.partial(at_most, -1), patience=9)
    with caplog.at_level(logging.INFO, "lanista"):
        assert drive(strategy, FLAT, hashed, 10) == []
    assert "refused 9 proposals in a row" in caplog.text
    with pytest.raises(StopIteration, match="refused 9"):
        strategy.propose()


def test_what_the_predicate_raises_is_not_hidden():
    strategy = Filtered(Random(), lambda architecture: architecture["no such label"])
    with pytest.raises(KeyError, match="no such label"):
        drive(strategy, FLAT, hashed, 1)


def test_settings_are_checked_and_shown_alike_in_every_process():
    assert repr(Filtered(GridSearch(), light, patience=5)) == (
        "Filtered(GridSearch(shuffle=False, granularity=None), light, patience=5)"
    )
    assert "functools.partial(<function at_most>, 3)" in repr(Filtered(Random(), functools.partial(at_most, 3)))
    with pytest.raises(ExperimentError, match="patience is 'long'"):
        Filtered(Random(), light, patience="long")
