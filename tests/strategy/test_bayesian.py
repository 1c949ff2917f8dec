"""A proposal takes a tenth of a second and more, so searches are short here."""

from __future__ import annotations

import statistics
import subprocess
import sys

import pytest

from lanista.errors import ExperimentError
from lanista.space import Categorical, Integer, Real, SearchSpace
from lanista.strategy import BayesianOptimization, Random
from lanista.testing import strategies
from lanista.testing.strategies import SPACES, drive, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]

pytest.importorskip("scipy")


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law, one_seed, monkeypatch):
    # As for all others, on the same spaces, only that 6 trials are looked at in place of 40; of these, 4 are random.
    monkeypatch.setattr(strategies, "TRIALS", 6)
    monkeypatch.setattr(strategies, "EXHAUSTIBLE", 3)
    monkeypatch.setattr(strategies, "IMPROVEMENT_TRIALS", 18)
    law(lambda: BayesianOptimization(n_startup_trials=4))


@pytest.mark.parametrize("sign", [1, -1])
def test_it_learns_from_few_trials_and_from_those_of_others(sign):
    strategy = BayesianOptimization()
    strategy.reset(FLAT, 0)
    for trial in drive(Random(), FLAT, lambda architecture: sign * slope(architecture), 30, seed=5):
        strategy.observe(trial)
    proposals = [strategy.propose() for _ in range(4)]
    assert sign * (statistics.fmean(map(slope, proposals)) - 12) > 6
    assert len({FLAT.key(architecture) for architecture in proposals}) == 4  # what runs is taken into account


def test_ranges_are_learnt():
    space = SearchSpace({"x": Real(1e-4, 1.0, log=True), "n": Integer(1, 100), "op": Categorical(["conv", "pool"])})

    def value(architecture):
        return -abs(architecture["n"] - 30) / 100 - abs(architecture["x"] - 0.01) + (architecture["op"] == "pool")

    trials = drive(BayesianOptimization(n_startup_trials=6), space, value, 20)
    chance = sorted(value(space.sample(seed)) for seed in range(1000))
    assert max(trial.scores[0] for trial in trials) > chance[990]


def test_a_replay_goes_on_as_it_was_with_failed_and_pruned_trials_and_two_objectives():
    fates = [State.COMPLETED, State.COMPLETED, State.FAILED, State.PRUNED]
    space = SPACES["nested"]
    trials = drive(
        BayesianOptimization(n_startup_trials=3),
        space,
        lambda architecture: (float(len(architecture)), 1.0),
        14,
        fail=lambda number: fates[number % 4],
    )
    again = BayesianOptimization(n_startup_trials=3)
    again.reset(space, 0)
    for trial in trials:
        assert again.propose() == trial.architecture
        again.observe(trial)


WITHOUT = """
import sys
sys.modules["scipy"] = None
from lanista.strategy import BayesianOptimization, TPE, NSGA2
from lanista.testing.strategies import SPACES, drive, slope
for strategy in (TPE(), NSGA2()):
    assert len(drive(strategy, SPACES["flat"], slope, 30)) == 30
try:
    BayesianOptimization()
except Exception as error:
    print(type(error).__name__, error)
"""


def test_without_scipy_it_says_what_to_install_and_the_others_work():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ExperimentError BayesianOptimization needs scipy: pip install 'lanista[samplers]'"


def test_settings_are_checked_and_shown():
    assert repr(BayesianOptimization()) == "BayesianOptimization(n_startup_trials=10)"
    with pytest.raises(ExperimentError, match="n_startup_trials is 0"):
        BayesianOptimization(n_startup_trials=0)


def test_what_is_stopped_counts_as_the_worst_so_that_it_is_not_asked_for_again_and_again():
    strategy = BayesianOptimization(n_startup_trials=4)
    strategy.reset(SearchSpace({"x": Integer(0, 60)}), 0)
    asked = []
    for number in range(24):
        x = strategy.propose()["x"]
        asked.append(x)
        told = {"number": number, "architecture": {"x": x}}
        if abs(x - 30) < 3:  # the most promising ones are always stopped
            strategy.observe(Trial(state=State.PRUNED, **told))
        else:
            strategy.observe(Trial(state=State.COMPLETED, scores=(-abs(x - 30.0),), **told))
    assert max(asked.count(x) for x in range(28, 33)) <= 3
