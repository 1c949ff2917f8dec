import json

import pytest

from lanista.benchmark.synthetic import PROBLEMS, additive, biobjective, chain, conditional, deceptive
from lanista.errors import BenchmarkError
from lanista.objective import dominates
from lanista.strategy import RegularizedEvolution
from lanista.trial import State, Trial

SMALL = [additive(4, 3), deceptive(2, 3), chain(4, 3), biobjective(3, 3), conditional()]


@pytest.mark.parametrize("problem", SMALL, ids=lambda problem: problem.name)
def test_the_optimum_is_what_looking_at_everything_finds(problem):
    scores = {problem.score(one) for one in problem.space.grid(granularity=5)}
    best = {score for score in scores if not any(dominates(other, score) for other in scores)}
    assert best == set(problem.optimum)
    assert list(problem.optimum) == sorted(best, reverse=True)
    assert all(problem.regret(one) >= 0 for one in problem.space.grid(granularity=5))
    assert problem(problem.space.default()) == problem.score(problem.space.default())[0]


def test_each_is_ready_to_use():
    names = [make().name for make in PROBLEMS]
    assert names == [make.__name__ for make in PROBLEMS]
    for make in PROBLEMS:
        problem = make()
        json.dumps(problem.space.to_json())
        assert len(problem.score(problem.space.sample(0))) == len(problem.optimum[0])


def test_a_trap_deceives_a_climber():
    problem = deceptive()
    here = problem.space.default() | {"d0": 1, "d4": 1, "d8": 1}
    while True:
        better = max(problem.space.neighbours(here), key=problem)
        if problem(better) <= problem(here):
            break
        here = better
    assert set(here.values()) == {0}
    assert problem(here) == 8 < problem.optimum[0][0] == 12


def test_evolution_solves_the_additive_one():
    problem, strategy = additive(), RegularizedEvolution(population_size=20, sample_size=5)
    strategy.reset(problem.space, 0)
    best = -99.0
    for number in range(400):
        architecture = strategy.propose()
        score = problem.score(architecture)
        best = max(best, *score)
        strategy.observe(Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=score))
    assert best == 0


def test_sizes_that_are_none_are_errors():
    with pytest.raises(BenchmarkError, match="0 decisions of 5 values"):
        additive(0)
    with pytest.raises(BenchmarkError, match="3 traps of 1 bits"):
        deceptive(3, 1)
