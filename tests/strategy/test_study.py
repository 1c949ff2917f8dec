"""What Optuna's study gets to see, seen by a sampler that looks at it."""

from __future__ import annotations

import logging
from collections import Counter

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from lanista.space import Categorical, SearchSpace, Subset
from lanista.strategy import OptunaStrategy, Random
from lanista.strategy.parameter import parameters
from lanista.strategy.study import RETRIES
from lanista.testing.strategies import SPACES, drive, hashed, slope, some_fail, strategy_laws
from lanista.trial import State, Trial

FLAT, NESTED = SPACES["flat"], SPACES["nested"]
STATES = {State.COMPLETED: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


class Watching(RandomSampler):
    """Draws at random, and remembers the study."""

    def before_trial(self, study, trial):
        self.study = study


class Watched:
    """A strategy, and the samplers that it made."""

    def __init__(self, **settings):
        self.samplers = []
        self.strategy = OptunaStrategy(self.make, **settings)

    def make(self, seed):
        self.samplers.append(Watching(seed))
        return self.samplers[-1]

    @property
    def study(self):
        return self.samplers[-1].study


@pytest.mark.parametrize("law", strategy_laws())
@pytest.mark.parametrize("joint", [False, True])
def test_contract(law, joint, one_seed):
    law(lambda: OptunaStrategy(RandomSampler, joint=joint))


def meaning(trial, space):
    """The architecture that a trial of the study stands for."""
    every = parameters(space)
    return space.decide(lambda decision: every[decision.label].read(trial.params, None))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("joint", [False, True])
def test_the_study_has_what_was_evaluated(name, joint):
    space, watched = SPACES[name], Watched(joint=joint)
    ended = drive(watched.strategy, space, hashed, 60, parallel=3, fail=some_fail)
    known = Counter((space.key(meaning(t, space)), t.state, tuple(t.values or ())) for t in watched.study.trials)
    for trial in ended:
        known[space.key(trial.architecture), STATES[trial.state], trial.scores] -= 1
    left = {state: n for (_, state, _), n in known.items() if n}
    assert set(left) <= {TrialState.FAIL}, "besides what ended there are only proposals that were replaced"
    assert min(known.values()) == 0


def test_parameters_of_what_does_not_exist_are_left_out_or_at_their_default():
    for joint in (False, True):
        watched = Watched(joint=joint)
        drive(watched.strategy, NESTED, hashed, 40)
        told = [trial for trial in watched.study.trials if trial.state is TrialState.COMPLETE]
        assert len(told) == 40
        for trial in told:
            architecture = meaning(trial, NESTED)
            others = {d.label: d.domain.default() for d in NESTED if d.label not in architecture}
            assert others
            every = parameters(NESTED)
            expected = {label: every[label].write(value)[label] for label, value in others.items()} if joint else {}
            assert {label: v for label, v in trial.params.items() if label not in architecture} == expected


def test_what_misses_the_limits_is_asked_anew_some_times_and_then_repaired():
    space = SearchSpace({f"x{i}": Categorical(range(5)) for i in range(6)})
    space = space.constrain(lambda architecture: sum(architecture.values()) <= 6)
    watched = Watched()
    ended = drive(watched.strategy, space, slope, 30)
    assert all(slope(trial.architecture) <= 6 for trial in ended)
    told = Counter(trial.state for trial in watched.study.trials)
    assert told[TrialState.COMPLETE] == 30
    assert 30 * RETRIES / 2 < told[TrialState.FAIL] <= 30 * (1 + RETRIES)
    assert set(told) == {TrialState.COMPLETE, TrialState.FAIL}


def test_open_proposals_run_in_the_study_and_equal_ones_end_one_by_one():
    watched, space = Watched(), SPACES["tiny"]
    watched.strategy.reset(space, 0)
    proposals = [watched.strategy.propose() for _ in range(12)]
    assert {trial.state for trial in watched.study.trials} == {TrialState.RUNNING}
    for number, architecture in enumerate(proposals):
        watched.strategy.observe(
            Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=(float(number),))
        )
    assert [trial.value for trial in watched.study.trials] == list(range(12))
    assert [meaning(trial, space) for trial in watched.study.trials] == proposals


def test_trials_of_others_are_added():
    watched = Watched()
    watched.strategy.reset(NESTED, 0)
    own = watched.strategy.propose()
    ended = [t for t in drive(Random(), NESTED, hashed, 15, seed=7, fail=some_fail) if t.architecture != own]
    for trial in ended:
        watched.strategy.observe(trial)
    first, *others = watched.study.trials
    assert (meaning(first, NESTED), first.state) == (own, TrialState.RUNNING)
    assert [(meaning(t, NESTED), t.state, tuple(t.values or ())) for t in others] == [
        (trial.architecture, STATES[trial.state], trial.scores) for trial in ended
    ]


def test_the_number_of_objectives_is_learnt_and_nothing_is_lost():
    watched = Watched()
    states = [State.FAILED, State.PRUNED, State.COMPLETED]
    watched.strategy.reset(FLAT, 0)
    proposals = [watched.strategy.propose() for _ in range(5)]
    assert len(watched.study.directions) == 1
    for number, state in enumerate(states):
        scores = (1.0, -2.0, 3.0) if state is State.COMPLETED else ()
        watched.strategy.observe(Trial(number=number, architecture=proposals[number], state=state, scores=scores))
    sixth = watched.strategy.propose()
    one, three = (sampler.study for sampler in watched.samplers)
    assert [d.name for d in one.directions] == ["MAXIMIZE"]
    assert [d.name for d in three.directions] == ["MAXIMIZE"] * 3
    assert [meaning(trial, FLAT) for trial in three.trials] == [*proposals, sixth]
    assert [trial.state for trial in three.trials] == [STATES[s] for s in states] + [TrialState.RUNNING] * 3
    assert three.trials[2].values == [1.0, -2.0, 3.0]


def test_the_second_sampler_does_not_repeat_what_the_first_one_drew():
    both = drive(Watched().strategy, FLAT, lambda architecture: (hashed(architecture), 0.0), 20, parallel=10)
    assert len({FLAT.key(trial.architecture) for trial in both}) == 20


def test_optunas_voice_is_as_loud_as_it_was():
    logger, before, heard = logging.getLogger("optuna"), optuna.logging.get_verbosity(), []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    logger.addHandler(handler)
    try:
        for verbosity in (optuna.logging.INFO, optuna.logging.CRITICAL):
            optuna.logging.set_verbosity(verbosity)
            heard.clear()
            drive(Watched().strategy, SPACES["limited"], lambda architecture: (hashed(architecture), 1.0), 20)
            assert heard == []
            assert logger.level == verbosity
            optuna.create_study(study_name="the user's own")
            assert len(heard) == (verbosity == optuna.logging.INFO)
    finally:
        optuna.logging.set_verbosity(before)
        logger.removeHandler(handler)


def test_a_subset_of_many_combinations_keeps_its_number():
    from_many = SearchSpace({"inputs": Subset(range(12), 4)})
    watched = Watched()
    ended = drive(watched.strategy, from_many, hashed, 40)
    assert {len(trial.architecture["inputs"]) for trial in ended} == {4}
    told = [trial for trial in watched.study.trials if trial.state is TrialState.COMPLETE]
    assert {sum(trial.params.values()) for trial in told} == {4}
