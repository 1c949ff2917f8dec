from __future__ import annotations

import functools
import statistics

import optuna
import pytest
from optuna.samplers import BruteForceSampler, CmaEsSampler, QMCSampler, RandomSampler, TPESampler

from lanista.errors import ExperimentError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace
from lanista.strategy import OptunaStrategy
from lanista.testing.strategies import SPACES, drive, hashed, objectives_may_be_several, slope, strategy_laws
from lanista.trial import State


def cmaes(**settings):
    return OptunaStrategy(lambda seed: CmaEsSampler(seed=seed, **settings), joint=True)


@pytest.mark.parametrize("law", [law for law in strategy_laws() if law is not objectives_may_be_several])
def test_contract_of_cmaes(law, one_seed):
    pytest.importorskip("cmaes")
    law(lambda: cmaes(with_margin=True, popsize=4))


@pytest.mark.parametrize("law", strategy_laws())
def test_contract_of_quasi_random_numbers(law, one_seed):
    pytest.importorskip("scipy")
    law(lambda: OptunaStrategy(QMCSampler, joint=True))


HILLS = SearchSpace(
    [
        *(Decision(f"x{i}", Real(-1.0, 1.0)) for i in range(3)),
        Decision("n", Integer(1, 1000, log=True)),
        Decision("branch", Categorical(["plain", "deep"])),
        Decision("depth", Integer(1, 32), {"branch": ["deep"]}),
    ]
)


def height(architecture):
    return -sum((architecture[f"x{i}"] - 0.5) ** 2 for i in range(3)) - architecture["n"] / 1000


def gain(space, strategy, trials=150):
    """By how many standard deviations of chance the last third of the trials is better than chance."""
    last = [trial.scores[0] for trial in drive(strategy, space, height, trials)][-trials // 3 :]
    chance = [height(space.sample(seed)) for seed in range(500)]
    return (statistics.fmean(last) - statistics.fmean(chance)) / statistics.stdev(chance)


@pytest.mark.parametrize("settings", [{}, {"with_margin": True}], ids=str)
def test_cmaes_learns_also_from_what_was_repaired_and_where_a_decision_is_conditional(settings):
    pytest.importorskip("cmaes")
    limited = HILLS.constrain(lambda architecture: architecture["x0"] + architecture["x1"] <= -0.5)
    assert gain(HILLS, cmaes(**settings)) > 1
    assert gain(limited, cmaes(**settings)) > 0.8
    assert gain(HILLS, OptunaStrategy(RandomSampler)) < 0.5


@pytest.mark.parametrize("name", ["tiny", "nested"])
def test_a_sampler_that_has_tried_everything_ends_the_search(name):
    space, strategy = SPACES[name], OptunaStrategy(BruteForceSampler)
    ended = drive(strategy, space, hashed, 1000, parallel=3)
    assert len({space.key(trial.architecture) for trial in ended}) == len(ended) == space.size
    for _ in range(2):
        with pytest.raises(StopIteration, match="tried everything"):
            strategy.propose()


def test_a_sampler_that_has_tried_everything_within_limits_ends_the_search():
    space = SearchSpace({"a": Categorical(range(4)), "b": Categorical(range(4))})
    space = space.constrain(lambda architecture: architecture["a"] + architecture["b"] <= 2)
    ended = drive(OptunaStrategy(BruteForceSampler), space, hashed, 1000)
    known = {space.key(trial.architecture) for trial in ended}
    assert known == {space.key(architecture) for architecture in space.grid()}


def test_one_objective_is_all_that_some_samplers_can_do_and_they_say_so():
    pytest.importorskip("cmaes")
    space = SearchSpace({"x": Real(0, 1), "y": Real(0, 1)})
    with pytest.raises(ValueError, match=r"multi-objective.*CmaEsSampler cannot be used"):
        drive(cmaes(), space, lambda architecture: (architecture["x"], architecture["y"]), 10)


def test_each_search_has_a_new_sampler_with_a_seed_of_its_own():
    seeds = []

    def make(seed):
        seeds.append(seed)
        return RandomSampler(seed)

    strategy = OptunaStrategy(make)
    for seed in (0, 1, 0, -(10**30)):
        strategy.reset(SPACES["flat"], seed)
    assert seeds[0] == seeds[2]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_settings_are_checked_and_shown():
    assert repr(OptunaStrategy(TPESampler)) == "OptunaStrategy(TPESampler, joint=False)"
    assert "0x" not in repr(OptunaStrategy(functools.partial(QMCSampler, scramble=True)))
    assert repr(cmaes()) == "OptunaStrategy(cmaes.<locals>.<lambda>, joint=True)"
    with pytest.raises(ExperimentError, match=r"RandomSampler.*a function that makes it.*RandomSampler\(seed=seed\)"):
        OptunaStrategy(RandomSampler())
    with pytest.raises(ExperimentError, match=r"sampler is 'tpe'.*TPESampler\(seed=seed\)"):
        OptunaStrategy("tpe")
    with pytest.raises(ExperimentError, match=r"lambda> returned None.*BaseSampler"):
        OptunaStrategy(lambda seed: None).reset(SPACES["flat"], 0)


def test_it_is_what_optuna_does_by_itself():
    space, seeds = SPACES["flat"], []

    def make(seed):
        seeds.append(seed)
        return TPESampler(seed=seed)

    ours = [trial.architecture for trial in drive(OptunaStrategy(make), space, slope, 60)]
    theirs = []

    def objective(trial):
        theirs.append({label: trial.suggest_categorical(label, range(5)) for label in space.labels})
        return slope(theirs[-1])

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(direction="maximize", sampler=TPESampler(seed=seeds[0])).optimize(objective, n_trials=60)
    optuna.logging.set_verbosity(verbosity)
    assert ours == theirs


def test_failures_do_not_stop_cmaes():
    pytest.importorskip("cmaes")
    fates = [State.COMPLETED, State.FAILED, State.PRUNED]
    assert len(drive(cmaes(), HILLS, height, 60, parallel=4, fail=lambda number: fates[number % 3])) == 60
