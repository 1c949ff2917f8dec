from __future__ import annotations

from collections import Counter

import pytest

from lanista.errors import ExperimentError
from lanista.space import Categorical, SearchSpace
from lanista.strategy import Random, RegularizedEvolution
from lanista.testing.strategies import SPACES, drive, hashed, slope, strategy_laws
from lanista.trial import State, Trial

FLAT = SPACES["flat"]
SMALL = {"population_size": 10, "sample_size": 4}


@pytest.mark.parametrize(
    "settings", [{}, SMALL, SMALL | {"crossover": 0.5}, SMALL | {"mutation_probability": 0.2}], ids=str
)
@pytest.mark.parametrize("law", strategy_laws(optimises=True))
def test_contract(law, settings):
    law(lambda: RegularizedEvolution(**settings))


@pytest.mark.parametrize("law", strategy_laws())
def test_contract_without_selection(law):
    law(lambda: RegularizedEvolution(population_size=1, sample_size=1))


def constant(value):
    """The architecture of the flat space in which every answer is `value`."""
    return dict.fromkeys(FLAT.labels, value)


def distance(one, other):
    return sum(one[label] != other[label] for label in FLAT.labels)


def populated(individuals, **settings):
    """A strategy whose population are these (architecture, scores), the oldest first."""
    strategy = RegularizedEvolution(population_size=len(individuals), **settings)
    strategy.reset(FLAT, 0)
    grow(strategy, individuals)
    return strategy


def grow(strategy, individuals):
    for number, (architecture, scores) in enumerate(individuals):
        strategy.observe(Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=scores))


def test_it_draws_at_random_until_the_population_is_full():
    random = drive(Random(dedup=False), FLAT, slope, 30, seed=3)
    evolved = drive(RegularizedEvolution(population_size=29, sample_size=5), FLAT, slope, 30, seed=3)
    assert [t.architecture for t in evolved[:29]] == [t.architecture for t in random[:29]]
    assert min(distance(evolved[29].architecture, t.architecture) for t in evolved[:29]) == 1
    assert min(distance(random[29].architecture, t.architecture) for t in random[:29]) > 1


def test_a_child_differs_from_an_individual_of_the_population_in_one_decision():
    trials = drive(RegularizedEvolution(**SMALL), FLAT, slope, 200)
    for i, child in enumerate(trials[10:], start=10):
        population = [trial.architecture for trial in trials[i - 10 : i]]
        assert 1 in {distance(child.architecture, individual) for individual in population}


def test_a_mutation_probability_changes_several():
    strategy = populated([(constant(0), (1.0,))], mutation_probability=0.5)
    changed = Counter(distance(strategy.propose(), constant(0)) for _ in range(400))
    assert set(changed) == {1, 2, 3, 4, 5, 6}


def test_the_oldest_dies_however_good_it_is():
    strategy = populated([(constant(0), (9.0,)), (constant(4), (1.0,))], sample_size=50)
    assert distance(strategy.propose(), constant(0)) == 1
    grow(strategy, [(constant(4), (0.0,))])
    assert {distance(strategy.propose(), constant(4)) for _ in range(50)} == {1}


def test_a_tournament_of_one_is_fair_and_a_large_one_is_won_by_the_best():
    individuals = [(constant(value), (float(-abs(value - 2)),)) for value in range(5)]
    for sample_size, expected in [(1, {0, 1, 2, 3, 4}), (100, {2})]:
        strategy = populated(individuals, sample_size=sample_size)
        parents = Counter(Counter(strategy.propose().values()).most_common(1)[0][0] for _ in range(500))
        assert set(parents) == expected
        assert sum((n - 500 / len(parents)) ** 2 / (500 / len(parents)) for n in parents.values()) < 23.5  # p=1e-4


def test_individuals_are_drawn_with_replacement():
    # The better of two individuals wins a tournament of two with probability 3/4, not always.
    strategy = populated([(constant(0), (1.0,)), (constant(4), (0.0,))], sample_size=2)
    won = sum(distance(strategy.propose(), constant(0)) == 1 for _ in range(1000))
    assert 690 < won < 810


def test_with_several_objectives_any_non_dominated_individual_wins():
    scores = [(1.0, 0.0), (0.0, 1.0), (0.4, 0.4), (0.3, 0.3), (0.0, 0.9)]
    individuals = [(constant(value), pair) for value, pair in enumerate(scores)]
    strategy = populated(individuals, sample_size=100)
    assert {Counter(strategy.propose().values()).most_common(1)[0][0] for _ in range(300)} == {0, 1, 2}


@pytest.mark.parametrize("state", [State.FAILED, State.PRUNED])
def test_what_does_not_complete_never_enters_the_population(state):
    told, untold = (populated([(constant(0), (1.0,))], sample_size=5) for _ in range(2))
    for number in range(20):
        told.observe(Trial(number=number, architecture=constant(4), state=state))
        assert told.propose() == untold.propose()


def test_a_cross_has_decisions_of_both_winners():
    individuals = [(constant(0), (0.0, 1.0)), (constant(4), (1.0, 0.0))]
    crossed = populated(individuals, sample_size=20, crossover=1.0)
    mixed = [Counter(crossed.propose().values()) for _ in range(100)]
    assert any(child[0] >= 2 and child[4] >= 2 for child in mixed)
    assert all(child[0] + child[4] >= 5 for child in mixed)  # one decision was mutated
    plain = populated(individuals, sample_size=20)
    assert not any(child[0] >= 2 and child[4] >= 2 for child in (Counter(plain.propose().values()) for _ in mixed))


def test_a_single_architecture_is_proposed_again_and_again():
    space = SearchSpace({"op": Categorical(["conv"])})
    trials = drive(RegularizedEvolution(population_size=2), space, hashed, 10)
    assert [trial.architecture for trial in trials] == [{"op": "conv"}] * 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population_size": 0}, "population_size is 0; give an integer of at least 1"),
        ({"sample_size": 2.5}, "sample_size is 2.5; give an integer of at least 1"),
        ({"mutation_probability": 0}, "mutation_probability is 0; .* or None to change exactly one decision"),
        ({"crossover": 1.5}, "crossover is 1.5; give a number above 0 and at most 1, or False"),
        ({"crossover": True}, "crossover is True; give a number"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ExperimentError, match=message):
        RegularizedEvolution(**settings)


def test_settings_are_shown():
    assert repr(RegularizedEvolution(sample_size=5, crossover=0.5)) == (
        "RegularizedEvolution(population_size=100, sample_size=5, mutation_probability=None, crossover=0.5)"
    )
