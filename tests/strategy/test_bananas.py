from __future__ import annotations

import random

import numpy as np
import pytest

from lanista.errors import ExperimentError
from lanista.space import Categorical, Real, SearchSpace
from lanista.strategy import BANANAS, Random
from lanista.testing.strategies import SPACES, drive, hashed, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]
SMALL = {"initial": 5, "refit": 10, "mutations": 10, "draws": 5, "memory": 60}


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law):
    law(lambda: BANANAS(**SMALL))


def interaction(architecture):
    """Greatest, 6, where neighbouring layers differ by two, in a ring: no decision is good by itself."""
    values = [architecture[label] for label in FLAT.labels]
    return float(sum(abs(a - b) == 2 for a, b in zip(values, values[1:] + values[:1], strict=True)))


def best(trials):
    return max(trial.scores[0] for trial in trials)


def test_it_learns_what_decisions_do_together():
    found = [best(drive(BANANAS(), FLAT, interaction, 100, seed=seed)) for seed in range(3)]
    chance = [best(drive(Random(), FLAT, interaction, 100, seed=seed)) for seed in range(3)]
    assert np.mean(found) >= 5.5 > np.mean(chance) + 1


def test_the_optimum_of_a_slope_is_found_at_once_whatever_the_scale_of_scores():
    trials = drive(BANANAS(), FLAT, slope, 60)
    scaled = drive(BANANAS(), FLAT, lambda architecture: -np.exp(-slope(architecture)), 60)
    assert best(trials) == 24
    assert [t.architecture for t in trials] == [t.architecture for t in scaled]


def test_ranges_and_categories_are_predicted_together():
    space = SearchSpace({"rate": Real(1e-4, 1.0, log=True), "op": Categorical(["a", "b", "c"])})
    trials = drive(BANANAS(), space, lambda a: -abs(np.log10(a["rate"]) + 2) - 2.0 * (a["op"] != "b"), 60)
    found = max(trials, key=lambda trial: trial.scores[0]).architecture
    assert found["op"] == "b"
    assert 0.005 < found["rate"] < 0.02


def test_the_front_of_two_objectives_is_approached():
    def objectives(architecture):
        high = sum(value == 4 for value in architecture.values())
        return float(high), float(sum(value == 0 for value in architecture.values()))

    trials = drive(BANANAS(), FLAT, objectives, 150)
    assert len({trial.scores for trial in trials if sum(trial.scores) == 6}) >= 3


@pytest.mark.parametrize("name", ["nested", "tiny", "single", "empty"])
def test_it_sees_each_architecture_once_and_ends(name):
    space = SPACES[name]
    trials = drive(BANANAS(**SMALL), space, hashed, 1000, parallel=3)
    assert sorted(space.key(trial.architecture) for trial in trials) == sorted(map(space.key, space.grid()))


def test_what_fails_is_avoided():
    strategy = BANANAS()
    strategy.reset(FLAT, 0)
    failed = []
    for number in range(80):
        architecture = strategy.propose()
        failed.append(architecture["layer0"] > 1)
        state, scores = (State.FAILED, ()) if failed[-1] else (State.COMPLETED, (slope(architecture),))
        strategy.observe(Trial(number=number, architecture=architecture, state=state, scores=scores))
    assert sum(failed[40:]) < 10  # 24 by chance


def test_memory_keeps_the_best_and_bounds_what_is_fitted():
    strategy = BANANAS(memory=50)
    strategy.reset(FLAT, 0)
    rng = random.Random(1)
    top = dict.fromkeys(FLAT.labels, 4)
    shown = [top] + [FLAT.sample(rng) for _ in range(500)]
    for number, architecture in enumerate(shown):
        trial = Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=(slope(architecture),))
        strategy.observe(trial)
    proposals = [strategy.propose() for _ in range(5)]
    assert np.mean([slope(proposal) for proposal in proposals]) > 18
    assert not any(proposal in shown for proposal in proposals)


@pytest.mark.parametrize("name", list(SMALL | {"parents": 1}))
def test_settings_are_checked(name):
    with pytest.raises(ExperimentError, match=f"{name} is 0; give an integer of at least 1"):
        BANANAS(**{name: 0})


def test_settings_are_shown():
    assert repr(BANANAS(refit=3)) == ("BANANAS(initial=10, refit=3, parents=10, mutations=100, draws=20, memory=400)")
