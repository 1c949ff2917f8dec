from __future__ import annotations

import statistics

import pytest

from lanista.errors import ExperimentError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, Subset
from lanista.strategy import TPE, Random
from lanista.testing.strategies import SPACES, drive, hashed, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law, one_seed):
    # Most laws look at 40 trials: half of them are modelled.
    law(lambda: TPE(n_startup_trials=20))


@pytest.mark.parametrize("law", [law for law in strategy_laws() if law.__name__ != "seed_decides"])
def test_contract_of_one_density_for_each_decision(law, one_seed):
    law(lambda: TPE(n_startup_trials=30, multivariate=False))


def completed(architecture, *scores):
    return Trial(number=0, architecture=architecture, state=State.COMPLETED, scores=scores)


def mean(proposals):
    return statistics.fmean(map(slope, proposals))


def test_it_is_random_until_so_many_trials_have_ended():
    strategy = TPE(n_startup_trials=15)
    trials = drive(strategy, FLAT, slope, 80)
    assert mean(t.architecture for t in trials[:15]) < 16
    assert mean(t.architecture for t in trials[50:]) > 18


@pytest.mark.parametrize("sign", [1, -1])
def test_it_learns_from_trials_that_it_did_not_propose(sign):
    strategy = TPE()
    strategy.reset(FLAT, 0)
    for trial in drive(Random(), FLAT, lambda architecture: sign * slope(architecture), 60, seed=5):
        strategy.observe(trial)
    assert sign * (mean(strategy.propose() for _ in range(20)) - 12) > 4


def test_what_is_pruned_is_avoided():
    strategy = TPE()
    strategy.reset(FLAT, 0)
    proposals = []
    for number in range(120):
        architecture = strategy.propose()
        proposals.append(architecture["layer0"])
        if architecture["layer0"] in (3, 4):
            strategy.observe(Trial(number=number, architecture=architecture, state=State.PRUNED))
        else:
            strategy.observe(completed(architecture, hashed(architecture)))
    assert sum(value in (3, 4) for value in proposals[-60:]) < 12  # chance: 24


def test_pruned_trials_and_several_objectives_go_together():
    fates = [State.PRUNED, State.COMPLETED, State.COMPLETED]
    trials = drive(
        TPE(), FLAT, lambda a: (slope(a), 2 * slope(a)), 150, parallel=4, fail=lambda number: fates[number % 3]
    )
    assert mean(trial.architecture for trial in trials[-50:]) > 16


def test_parallel_proposals_differ_more_with_the_liar():
    def distinct(constant_liar):
        strategy = TPE(constant_liar=constant_liar)
        drive(strategy, FLAT, slope, 60)
        return len({FLAT.key(strategy.propose()) for _ in range(16)})

    assert distinct(True) > distinct(False)


CONDITIONAL = SearchSpace(
    [
        Decision("body", Categorical(["conv", "pool", "cell"])),
        *(Decision(f"conv{i}", Categorical(range(5)), {"body": ["conv"]}) for i in range(4)),
        *(Decision(f"cell{i}", Categorical(range(5)), {"body": ["cell"]}) for i in range(4)),
    ]
)


def inner(architecture):
    """The better the greater the answers inside of the cell; the other branches are worth less."""
    if architecture["body"] != "cell":
        return -5.0
    return float(sum(value for label, value in architecture.items() if label != "body"))


def test_decisions_inside_of_a_branch_are_learnt():
    last = drive(TPE(), CONDITIONAL, inner, 150)[-40:]
    inside = [trial.scores[0] for trial in last if trial.architecture["body"] == "cell"]
    assert len(inside) > 25
    assert statistics.fmean(inside) > 10  # chance: 8, with a deviation of 0.5


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Real(0.0, 1.0), lambda x: -abs(x - 0.8)),
        (Real(1e-4, 1.0, log=True), lambda x: -abs(x - 1e-3) / 1e-3),
        (Integer(1, 1000, log=True), lambda x: -abs(x - 20)),
        (Integer(8, 800, 8, log=True), lambda x: -abs(x - 40)),
        (Subset(range(5), 2), sum),
        (Subset(range(5)), lambda x: sum(x) if len(x) < 3 else 0),
        (Subset(range(12), 5), sum),
    ],
    ids=lambda given: None if callable(given) else str(given),
)
def test_every_kind_of_domain_is_learnt(domain, value):
    space = SearchSpace({"x": domain, "other": Categorical(range(3))})
    last = drive(TPE(), space, lambda architecture: float(value(architecture["x"])), 100)[-30:]
    chance = [value(space.sample(seed)["x"]) for seed in range(1000)]
    better = [sum((score > c) + (score == c) / 2 for c in chance) / 1000 for (score,) in (t.scores for t in last)]
    assert statistics.fmean(better) > 0.65  # chance: 0.5, with a deviation of 0.05


def test_settings_are_checked_and_shown():
    assert repr(TPE()) == (
        "TPE(n_startup_trials=10, n_ei_candidates=24, multivariate=True, group=True, constant_liar=True)"
    )
    assert "multivariate=False, group=False" in repr(TPE(multivariate=False))
    with pytest.raises(ExperimentError, match="n_startup_trials is 0"):
        TPE(n_startup_trials=0)
    with pytest.raises(ExperimentError, match=r"n_ei_candidates is 2\.5"):
        TPE(n_ei_candidates=2.5)
    with pytest.raises(ExperimentError, match="group is True and multivariate is False"):
        TPE(multivariate=False, group=True)
