from __future__ import annotations

import logging
from collections import Counter

import pytest

from lanista.errors import ExperimentError, SpaceError
from lanista.space import Categorical, Decision, Real, SearchSpace
from lanista.strategy import Random
from lanista.testing.strategies import SPACES, drive, hashed, strategy_laws
from lanista.trial import Trial

THREE = SPACES["tiny"]
"""conv/3, conv/5 and pool."""

CHAIN = SearchSpace(
    Decision(f"go{i}", Categorical([False, True]), {f"go{i - 1}": [True]} if i else ()) for i in range(60)
)
"""61 architectures, the deepest of which random decisions meet once in 2**60 draws."""


@pytest.mark.parametrize("settings", [{}, {"dedup": False}], ids=str)
@pytest.mark.parametrize("law", strategy_laws())
def test_contract(law, settings):
    law(lambda: Random(**settings))


@pytest.mark.parametrize("name", ["nested", "tiny", "single", "empty"])
@pytest.mark.parametrize("uniform", ["decisions", "architectures"])
def test_every_architecture_comes_once_and_then_it_ends(name, uniform, caplog):
    space = SPACES[name]
    with caplog.at_level(logging.INFO, "lanista"):
        trials = drive(Random(uniform=uniform), space, hashed, 20_000)
    proposed = [space.key(trial.architecture) for trial in trials]
    assert set(proposed) == {space.key(architecture) for architecture in space.grid()}
    assert len(proposed) == space.size
    assert f"all {space.size:,} architectures" in caplog.text


def test_a_space_of_thousands_is_exhausted():
    assert len({SPACES["flat"].key(t.architecture) for t in drive(Random(), SPACES["flat"], hashed, 20_000)}) == 15_625


def test_a_space_is_exhausted_however_skewed_it_is():
    assert len(drive(Random(), CHAIN, hashed, 100)) == 61


@pytest.mark.parametrize("shown", [1, 5, 55])
def test_what_was_observed_is_not_proposed(shown):
    foreign = [Trial(number=n, architecture=a) for n, a in enumerate(CHAIN.grid()) if n < shown]
    strategy = Random()
    strategy.reset(CHAIN, 0)
    proposals = [strategy.propose()]
    for trial in foreign:
        strategy.observe(trial)
    while len(proposals) < 100:
        try:
            proposals.append(strategy.propose())
        except StopIteration:
            break
    keys = {CHAIN.key(architecture) for architecture in proposals}
    assert not keys & {CHAIN.key(trial.architecture) for trial in foreign} - {CHAIN.key(proposals[0])}
    assert len(keys | {CHAIN.key(trial.architecture) for trial in foreign}) == 61
    assert len(proposals) == len(keys)


def test_independent_draws_may_repeat_what_was_observed():
    strategy = Random(dedup=False)
    strategy.reset(THREE, 0)
    for number, architecture in enumerate(THREE.grid()):
        strategy.observe(Trial(number=number, architecture=architecture))
    assert strategy.propose() in list(THREE.grid())


def test_what_remains_comes_in_random_order():
    last = {CHAIN.key(drive(Random(), CHAIN, hashed, 61, seed=seed)[-1].architecture) for seed in range(20)}
    assert len(last) > 10  # of the 50 or so that random decisions never meet


def test_what_is_improbable_comes_before_what_remains_is_listed():
    # 999 architectures have all but 1/1,000 of the probability, and 2**40 have the rest.
    space = SearchSpace(
        [
            Decision("a", Categorical(range(1000))),
            *(Decision(f"b{i}", Categorical([0, 1]), {"a": [7]}) for i in range(40)),
        ]
    )
    keys = {space.key(trial.architecture) for trial in drive(Random(), space, hashed, 1500)}
    assert len(keys) == 1500


@pytest.mark.parametrize("position", [0, 1, 2])
def test_orders_are_uniform(position):
    counts: Counter[str] = Counter()
    for seed in range(900):
        strategy = Random(uniform="architectures")
        strategy.reset(THREE, seed)
        counts[[THREE.key(strategy.propose()) for _ in range(3)][position]] += 1
    assert chi_square(counts, 3) < 18.4  # 2 degrees of freedom, p = 1e-4


@pytest.mark.parametrize(("uniform", "expected"), [("architectures", [300, 300, 300]), ("decisions", [225, 225, 450])])
def test_independent_draws_follow_the_measure(uniform, expected):
    trials = drive(Random(dedup=False, uniform=uniform), THREE, hashed, 900)
    counts = Counter(trial.architecture.get("kernel", 0) for trial in trials)
    assert sum((counts[k] - n) ** 2 / n for k, n in zip([3, 5, 0], expected, strict=True)) < 18.4


def test_an_infinite_space_without_anything_new_ends(caplog):
    space = SearchSpace({"x": Real(1.0, 1.0 + 2**-52)})  # two floats
    with caplog.at_level(logging.INFO, "lanista"):
        trials = drive(Random(), space, hashed, 10)
    assert sorted(trial.architecture["x"] for trial in trials) == [1.0, 1.0 + 2**-52]
    assert "100,000 draws gave nothing new" in caplog.text


def test_settings_are_checked_and_shown():
    assert repr(Random()) == "Random(dedup=True, uniform='decisions')"
    with pytest.raises(ExperimentError, match="'fair'; give 'decisions' or 'architectures'"):
        Random(uniform="fair")
    with pytest.raises(SpaceError, match="infinite"):
        Random(uniform="architectures").reset(SPACES["mixed"], 0)


def chi_square(counts, categories):
    expected = sum(counts.values()) / categories
    assert len(counts) <= categories
    return sum((n - expected) ** 2 / expected for n in counts.values()) + expected * (categories - len(counts))
