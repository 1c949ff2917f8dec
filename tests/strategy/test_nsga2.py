from __future__ import annotations

import statistics

import pytest

from lanista.errors import ExperimentError
from lanista.objective import pareto
from lanista.space import Categorical, Decision, SearchSpace, Subset
from lanista.strategy import NSGA2, Random
from lanista.testing.strategies import SPACES, drive, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law):
    law(NSGA2)


def mean(trials):
    return statistics.fmean(slope(trial.architecture) for trial in trials)


def trade(architecture):
    """Two objectives that want opposite answers; the third and the rest count for neither, and should be 0."""
    waste = sum(value for label, value in architecture.items() if label not in ("layer0", "layer1"))
    good = architecture["layer0"] + architecture["layer1"]
    return good - waste, 8 - good - waste


def test_it_finds_the_front_and_spreads_along_it():
    trials = drive(NSGA2(), FLAT, trade, 400)
    found = {trial.scores for trial in pareto(trials)}
    true = {(float(good), float(8 - good)) for good in range(9)}
    assert len(found & true) >= 7
    by_chance = {trial.scores for trial in pareto(drive(Random(), FLAT, trade, 400))}
    assert len(by_chance & true) <= 3


def test_it_learns_from_trials_that_it_did_not_propose():
    strategy = NSGA2()
    strategy.reset(FLAT, 0)
    others = drive(Random(), FLAT, slope, 60, seed=5)
    for trial in others:
        strategy.observe(trial)
    assert mean(others) < 13
    assert statistics.fmean(slope(strategy.propose()) for _ in range(20)) > 15


def test_thousands_of_trials_of_others_are_learnt_from():
    strategy, space = NSGA2(population_size=2), SPACES["tiny"]
    strategy.reset(space, 0)
    for number in range(2200):  # more generations than Python lets functions call each other
        architecture = space.sample(number)
        strategy.observe(
            Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=(float(len(architecture)),))
        )
    assert [len(strategy.propose()) for _ in range(9)].count(2) > 6


def test_proposals_that_are_open_when_the_objectives_become_known_become_parents():
    # 40 at once: all of them were proposed before it was known that there are two objectives. When the first generation
    # of 40 is complete, 40 others are open; without those of the beginning it would be complete 40 trials later.
    gains = []
    for seed in range(8):
        strategy = NSGA2(population_size=40, mutation_probability=0.01)
        trials = drive(strategy, FLAT, lambda a: (slope(a), slope(a)), 120, parallel=40, seed=seed)
        first, second = (sorted(trials, key=lambda t: t.number)[part] for part in (slice(40), slice(80, 120)))
        gains.append(mean(second) - mean(first))
    assert statistics.fmean(gains) > 0.8  # by chance 0, with a deviation of 0.3


def test_failed_and_pruned_trials_never_become_parents():
    fates = [State.COMPLETED, State.FAILED, State.PRUNED]
    trials = drive(NSGA2(), FLAT, slope, 300, parallel=3, fail=lambda number: fates[number % 3])
    assert mean(trials[-60:]) > 16


BRANCHES = SearchSpace(
    [
        Decision("body", Categorical(["conv", "cell"])),
        *(Decision(f"conv{i}", Categorical(range(5)), {"body": ["conv"]}) for i in range(4)),
        *(Decision(f"cell{i}", Categorical(range(5)), {"body": ["cell"]}) for i in range(4)),
        Decision("inputs", Subset(range(12), 4)),
    ]
)


def test_conditional_decisions_and_subsets_are_inherited():
    def value(architecture):
        inner = sum(v for label, v in architecture.items() if label not in ("body", "inputs"))
        return float(inner + sum(architecture["inputs"]))

    trials = drive(NSGA2(), BRANCHES, value, 300)
    chance = [value(BRANCHES.sample(seed)) for seed in range(500)]
    last = statistics.fmean(trial.scores[0] for trial in trials[-100:])
    assert last > statistics.fmean(chance) + 1.5 * statistics.stdev(chance)


def test_limits_are_kept_and_learnt_under():
    limited = FLAT.constrain(lambda architecture: slope(architecture) <= 14)
    trials = drive(NSGA2(), limited, lambda a: (slope(a), float(a["layer0"])), 200)
    assert max(trial.scores[0] for trial in trials) == 14
    assert mean(trials[-60:]) > 12


def test_settings_are_checked_and_shown():
    assert repr(NSGA2(mutation_probability=None, crossover_probability=False)) == (
        "NSGA2(population_size=10, mutation_probability=None, crossover_probability=False, swapping_probability=0.5)"
    )
    for settings, words in [
        ({"population_size": 1}, "population_size is 1; two parents"),
        ({"population_size": 0}, "population_size is 0"),
        ({"mutation_probability": 0}, "mutation_probability is 0.*None for one"),
        ({"crossover_probability": 2}, "crossover_probability is 2.*False for none"),
        ({"swapping_probability": 0}, "swapping_probability is 0.*crossover_probability=False"),
    ]:
        with pytest.raises(ExperimentError, match=words):
            NSGA2(**settings)
