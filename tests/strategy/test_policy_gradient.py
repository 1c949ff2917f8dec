from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from lanista.errors import ExperimentError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, Subset
from lanista.strategy import PolicyBasedRL
from lanista.testing.strategies import SPACES, drive, hashed, scores_improve, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]
SMALL = {"samples_per_update": 20, "epochs": 4, "learning_rate": 0.03, "hidden": 8}


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law):
    law(lambda: PolicyBasedRL(**SMALL))


def test_the_default_settings_learn():
    scores_improve(PolicyBasedRL)


def fresh(space, seed=0, **settings):
    strategy = PolicyBasedRL(**settings)
    strategy.reset(space, seed)
    return strategy


def completed(architecture, *scores):
    return Trial(number=0, architecture=architecture, state=State.COMPLETED, scores=scores)


def mean(trials):
    return sum(trial.scores[0] for trial in trials) / len(trials)


def test_before_it_learns_it_draws_by_the_priors_of_the_space():
    space = SearchSpace(
        {
            "op": Categorical(["a", "b", "c"], [1, 2, 1]),
            "some": Subset(["x", "y"], prior=[3, 1]),
            "rate": Real(1e-4, 1.0, log=True),
        }
    )
    strategy = fresh(space)
    draws = [strategy.propose() for _ in range(2000)]
    counts = Counter(draw["op"] for draw in draws)
    assert sum((counts[op] - n) ** 2 / n for op, n in [("a", 500), ("b", 1000), ("c", 500)]) < 18.4  # p = 1e-4
    members = Counter(option for draw in draws for option in draw["some"])
    assert 1420 < members["x"] < 1580  # 1500 expected, deviation 19
    assert 910 < members["y"] < 1090
    assert 910 < sum(draw["rate"] < 1e-2 for draw in draws) < 1090


def test_it_learns_every_kind_of_decision():
    space = SearchSpace(
        [
            Decision("op", Categorical(["a", "b", "c"])),
            Decision("rate", Real(1e-4, 1.0, log=True), {"op": ["b"]}),
            Decision("inputs", Subset(["w", "x", "y", "z"], 2)),
            Decision("depth", Integer(1, 64, log=True)),
        ]
    )

    def score(a):
        return (2 - abs(math.log10(a["rate"]) + 2) if "rate" in a else 0) + ("x" in a["inputs"]) - abs(a["depth"] - 8)

    last = drive(PolicyBasedRL(**SMALL), space, score, 600)[-50:]
    assert sum(trial.architecture["op"] == "b" for trial in last) > 40
    assert sum("x" in trial.architecture["inputs"] for trial in last) > 40
    assert sum(4 <= trial.architecture["depth"] <= 16 for trial in last) > 40
    rates = [trial.architecture["rate"] for trial in last if "rate" in trial.architecture]
    assert 1e-3 < sorted(rates)[len(rates) // 2] < 1e-1


def test_what_decisions_do_together_is_learnt():
    space = SearchSpace({f"x{i}": Categorical([0, 1]) for i in range(6)})

    def alternations(architecture):
        return float(sum(a != b for a, b in pairwise(architecture.values())))

    trials = drive(PolicyBasedRL(learning_rate=0.02), space, alternations, 400)
    assert mean(trials[-50:]) > 4.5  # 2.5 by chance: each answer must follow the one before


def test_scores_of_any_scale_give_the_same_search():
    trials = drive(PolicyBasedRL(**SMALL), FLAT, slope, 60)
    scaled = drive(PolicyBasedRL(**SMALL), FLAT, lambda architecture: -np.exp(-slope(architecture)), 60)
    assert [t.architecture for t in trials] == [t.architecture for t in scaled]


def test_what_fails_becomes_rare():
    strategy = fresh(FLAT, **SMALL)
    failed = []
    for _ in range(300):
        architecture = strategy.propose()
        failed.append(architecture["layer0"] > 1)
        ended = completed(architecture, hashed(architecture))
        strategy.observe(Trial(number=0, architecture=architecture, state=State.FAILED) if failed[-1] else ended)
    assert sum(failed[-100:]) < 20  # 60 by chance


def test_limits_that_are_hard_to_draw_are_kept():
    space = FLAT.constrain(lambda architecture: sum(architecture.values()) >= 22)  # 28 of 15,625
    strategy = fresh(space)
    assert all(not space.violations(strategy.propose()) for _ in range(5))


def logarithms(strategy, architecture):
    """As the policy's network has them, and as single steps do."""
    _, (answers, allowed, logs) = strategy._policy.walk(architecture, strategy._rng)
    with torch.no_grad():
        batched = strategy._policy(torch.tensor([answers]), torch.tensor([allowed]))[0][0]
    return batched.tolist(), logs


@pytest.mark.parametrize("name", ["flat", "nested", "mixed", "limited"])
def test_single_steps_have_the_probabilities_of_the_network_that_is_trained(name):
    space = SPACES[name]
    strategy = fresh(space, samples_per_update=5, learning_rate=0.02)
    for _ in range(40):
        strategy.observe(completed(architecture := strategy.propose(), hashed(architecture)))
    for seed in range(5):
        batched, single = logarithms(strategy, space.sample(seed))
        assert single == pytest.approx(batched, abs=1e-4)
        assert min(single) < -0.01


def test_probabilities_of_all_architectures_sum_to_one():
    space = SPACES["nested"]
    strategy = fresh(space, samples_per_update=5, learning_rate=0.02)
    for _ in range(50):
        strategy.observe(completed(architecture := strategy.propose(), hashed(architecture)))
    total = sum(math.exp(sum(logarithms(strategy, architecture)[1])) for architecture in space.grid())
    assert total == pytest.approx(1, abs=1e-4)


def test_a_good_trial_of_others_becomes_more_likely_and_a_bad_one_less():
    good, bad = dict.fromkeys(FLAT.labels, 1), dict.fromkeys(FLAT.labels, 3)
    strategy = fresh(FLAT, samples_per_update=2, learning_rate=0.02)
    before = [sum(logarithms(strategy, architecture)[1]) for architecture in (good, bad)]
    strategy.observe(completed(good, 1.0))
    strategy.observe(completed(bad, 0.0))
    after = [sum(logarithms(strategy, architecture)[1]) for architecture in (good, bad)]
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_a_trial_that_was_next_to_impossible_does_no_harm():
    strategy = fresh(FLAT, samples_per_update=5, learning_rate=1.0)
    for _ in range(100):
        strategy.observe(completed(architecture := strategy.propose(), slope(architecture)))
    for scores in [(100.0,), (-100.0,)] * 10:
        strategy.observe(completed(dict.fromkeys(FLAT.labels, 0), *scores))
    assert all(math.isfinite(log) for log in logarithms(strategy, strategy.propose())[1])


def test_the_users_default_device_is_not_used():
    expected = [trial.architecture for trial in drive(PolicyBasedRL(**SMALL), FLAT, slope, 45)]
    with torch.device("meta"):
        assert [trial.architecture for trial in drive(PolicyBasedRL(**SMALL), FLAT, slope, 45)] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples_per_update": 0}, "samples_per_update is 0; give an integer of at least 1"),
        ({"bins": 2.0}, "bins is 2.0; give an integer of at least 1"),
        ({"learning_rate": 0}, "learning_rate is 0; give a number above 0"),
        ({"learning_rate": math.inf}, "learning_rate is inf; give a number above 0"),
        ({"clip": 1.5}, "clip is 1.5; give a number above 0 and at most 1$"),
        ({"entropy": -1}, "entropy is -1; give a number above 0 and at most 1$"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ExperimentError, match=message):
        PolicyBasedRL(**settings)


def test_settings_are_shown():
    assert repr(PolicyBasedRL(samples_per_update=5, hidden=64)) == (
        "PolicyBasedRL(samples_per_update=5, epochs=5, learning_rate=0.0025, clip=0.2, entropy=0.01, "
        "hidden=64, bins=10)"
    )
