from __future__ import annotations

import pytest

from lanista.errors import ArchitectureError
from lanista.space import Categorical, SearchSpace
from lanista.strategy import Deduplicated, Initial, LocalSearch, Random, RegularizedEvolution
from lanista.testing.strategies import SPACES, drive, hashed, slope, strategy_laws

FLAT = SPACES["flat"]
GOOD = dict.fromkeys(FLAT.labels, 4)


@pytest.mark.parametrize("law", strategy_laws(optimises=True))
@pytest.mark.parametrize(
    "make",
    [
        lambda: Initial(LocalSearch(), []),
        lambda: Initial(RegularizedEvolution(population_size=10, sample_size=4), []),
    ],
    ids=["local", "evolution"],
)
def test_contract(law, make):
    law(make)


def test_the_given_come_first_in_canonical_form_and_in_their_order():
    space = SearchSpace({"op": Categorical(["conv", "pool"]), "width": Categorical([16, 32])})
    given = [{"width": 32.0, "op": 1}, {"op": ["conv"], "width": [False, True]}, {"width": 16, "op": "pool"}]
    trials = drive(Initial(Random(), given), space, hashed, 10)
    assert [trial.architecture for trial in trials[:3]] == [
        {"op": "pool", "width": 32},
        {"op": "conv", "width": 32},
        {"op": "pool", "width": 16},
    ]
    assert [trial.architecture for trial in trials[3:]] == [{"op": "conv", "width": 16}]  # Random repeats none


def test_the_inner_one_learns_from_them():
    trials = drive(Initial(LocalSearch(), [dict.fromkeys(FLAT.labels, 0), GOOD | {"layer3": 1}]), FLAT, slope, 26)
    assert all(sum(t.architecture[label] != 4 for label in FLAT.labels) <= 2 for t in trials[2:])
    assert GOOD in [trial.architecture for trial in trials]


def test_what_is_given_twice_is_proposed_twice_and_deduplicated_knows_how_not_to():
    twice = [GOOD, GOOD]
    assert [t.architecture for t in drive(Initial(Random(), twice), FLAT, slope, 2)] == twice
    trials = drive(Deduplicated(Initial(Random(), twice)), FLAT, slope, 3)
    assert [trial.architecture for trial in trials].count(GOOD) == 1


def test_what_is_not_of_the_space_is_refused_before_the_search():
    with pytest.raises(ArchitectureError, match=r"initial architecture 1 \(counted from 0\): .*'layer0'.*7.*allowed"):
        Initial(Random(), [GOOD, GOOD | {"layer0": 7}]).reset(FLAT, 0)


def test_what_misses_a_limit_is_refused_and_the_message_says_which():
    space = FLAT.constrain(lambda architecture: architecture["layer0"] < 4)
    with pytest.raises(ArchitectureError, match=r"initial architecture 0 .*misses limits of the space: .*loosen"):
        Initial(Random(), [GOOD]).reset(space, 0)


def test_settings_are_shown():
    assert repr(Initial(Random(), [{"a": 1}])) == "Initial(Random(dedup=True, uniform='decisions'), [{'a': 1}])"
