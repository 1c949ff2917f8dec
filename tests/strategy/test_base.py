"""The contract suite finds what is wrong, and what no suite in one process can see is seen here."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lanista.space import Categorical, SearchSpace
from lanista.strategy import (
    BANANAS,
    NSGA2,
    TPE,
    Deduplicated,
    Filtered,
    GridSearch,
    LocalSearch,
    PolicyBasedRL,
    RegularizedEvolution,
    Strategy,
)
from lanista.strategy import Random as RandomSearch
from lanista.testing import strategies
from lanista.testing.strategies import SPACES, drive, hashed, slope, some_fail, strategy_laws
from lanista.trial import State


class Sampler(Strategy):
    """Independent draws: right, and the base of what is wrong below."""

    def reset(self, space, seed):
        self.space, self.random, self.count = space, random.Random(seed), 0

    def propose(self):
        self.count += 1
        return self.space.sample(self.random)

    def observe(self, trial):
        pass


class GlobalRandom(Sampler):
    def propose(self):
        return self.space.sample(random)


class SeedsGlobalRandom(Sampler):
    def reset(self, space, seed):
        super().reset(space, seed)
        random.seed(seed)
        self.random = random


class SharesState(Sampler):
    calls: list[int] = []  # noqa: RUF012 (the fault)

    def propose(self):
        self.calls.append(0)
        return self.space.sample(len(self.calls))


class RemembersAcrossResets(Sampler):
    count = 0

    def reset(self, space, seed):
        super().reset(space, seed + self.count)


class IgnoresTheSeed(Sampler):
    def reset(self, space, seed):
        super().reset(space, 0)


class IgnoresDirection(Strategy):
    """An evolution that takes the smallest for the best."""

    def __init__(self):
        self.inner = RegularizedEvolution(population_size=10, sample_size=5)

    def reset(self, space, seed):
        self.inner.reset(space, seed)

    def propose(self):
        return self.inner.propose()

    def observe(self, trial):
        self.inner.observe(replace(trial, scores=tuple(-score for score in trial.scores)))


class NeedsScores(Sampler):
    def observe(self, trial):
        self.best = max(getattr(self, "best", 0.0), trial.scores[0])


class NeedsOneScore(Sampler):
    def observe(self, trial):
        if trial.state is State.COMPLETED:
            (self.last,) = trial.scores


class NeedsOrder(Sampler):
    """Expects the trial of the last proposal."""

    def propose(self):
        self.open = super().propose()
        return self.open

    def observe(self, trial):
        if trial.architecture != self.open:
            raise RuntimeError("this is not what I proposed")


class NeedsItsOwn(Sampler):
    """Looks up what it was thinking when it proposed this."""

    def reset(self, space, seed):
        super().reset(space, seed)
        self.thoughts = {}

    def propose(self):
        architecture = super().propose()
        self.thoughts[self.space.key(architecture)] = self.count
        return architecture

    def observe(self, trial):
        self.last = self.thoughts[self.space.key(trial.architecture)]


class IgnoresOthers(Strategy):
    """An evolution from which the trials that it did not propose are kept."""

    def __init__(self):
        self.inner = RegularizedEvolution(population_size=10, sample_size=5)

    def reset(self, space, seed):
        self.inner.reset(space, seed)
        self.space, self.own = space, set()

    def propose(self):
        architecture = self.inner.propose()
        self.own.add(self.space.key(architecture))
        return architecture

    def observe(self, trial):
        if self.space.key(trial.architecture) in self.own:
            self.inner.observe(trial)


class NotCanonical(Sampler):
    def propose(self):
        return {label: str(value) for label, value in super().propose().items()}


class AnswersInactive(Sampler):
    def propose(self):
        return {label: self.space[label].draw(self.random) for label in self.space.labels}


class ComesBack(Sampler):
    def propose(self):
        if self.count == 3:
            self.count = 0
            raise StopIteration
        return super().propose()


@pytest.mark.parametrize("law", strategy_laws())
def test_a_right_strategy_breaks_no_law(law):
    law(Sampler)


@pytest.mark.parametrize(
    ("faulty", "law"),
    [
        (GlobalRandom, "replay_continues"),
        (GlobalRandom, "global_generators_rest"),
        (SeedsGlobalRandom, "seed_decides"),
        (SeedsGlobalRandom, "global_generators_rest"),
        (SharesState, "replay_continues"),
        (RemembersAcrossResets, "seed_decides"),
        (IgnoresTheSeed, "seeds_differ"),
        (IgnoresDirection, "scores_improve"),
        (Sampler, "scores_improve"),
        (NeedsScores, "failures_are_survived"),
        (NeedsOneScore, "objectives_may_be_several"),
        (NeedsOrder, "order_is_free"),
        (NeedsItsOwn, "foreign_trials_are_survived"),
        (GlobalRandom, "foreign_trials_are_survived"),
        (IgnoresOthers, "foreign_trials_teach"),
        (NotCanonical, "proposals_are_canonical"),
        (AnswersInactive, "proposals_are_canonical"),
        (ComesBack, "exhaustion_is_final"),
    ],
)
def test_a_faulty_strategy_breaks_the_law_and_the_message_says_where(faulty, law):
    spaces = "|".join(SPACES)
    message = rf"{faulty.__name__}.* breaks the law '.+' on the space '({spaces})' with seed \d: ."
    with pytest.raises(AssertionError, match=message):
        getattr(strategies, law)(faulty)


def test_what_ignores_others_keeps_all_other_laws():
    for law in strategy_laws(optimises=True):
        if law is not strategies.foreign_trials_teach:
            law(IgnoresOthers)


def test_drive_ends_with_the_budget_or_with_the_strategy():
    space = SearchSpace({"x": Categorical(range(6))})
    assert [t.scores for t in drive(GridSearch(), space, lambda a: a["x"] / 2, 4)] == [
        (0.0,),
        (0.5,),
        (1.0,),
        (1.5,),
    ]
    assert len(drive(GridSearch(), space, hashed, 10)) == 6
    assert drive(GridSearch(), space, hashed, 0) == []


def test_drive_keeps_so_many_open_as_it_is_told_and_ends_them_in_any_order():
    class Counting(Sampler):
        open = most = 0

        def propose(self):
            self.open += 1
            self.most = max(self.most, self.open)
            return super().propose()

        def observe(self, trial):
            self.open -= 1

    strategy = Counting()
    numbers = [trial.number for trial in drive(strategy, SPACES["flat"], slope, 50, parallel=4)]
    assert strategy.most == 4
    assert numbers != sorted(numbers) == list(range(50))


def test_drive_lets_trials_fail_as_told():
    trials = drive(Sampler(), SPACES["flat"], slope, 10, fail=some_fail)
    assert [trial.state for trial in trials] == [some_fail(number) for number in range(10)]
    assert all(bool(trial.scores) is (trial.state is State.COMPLETED) for trial in trials)
    lost = drive(Sampler(), SPACES["flat"], slope, 10, fail=lambda number: State.RUNNING)
    assert lost == []


def even(architecture):
    return sum(map(len, map(str, architecture.values()))) % 2 == 0


def proposals_of_all():
    """What each strategy proposes on spaces full of strings."""
    evolution = RegularizedEvolution(population_size=10, sample_size=4, crossover=0.5)
    every = [
        BANANAS(initial=5, mutations=10, draws=5),
        LocalSearch(),
        PolicyBasedRL(samples_per_update=5),
        RandomSearch(),
        GridSearch(shuffle=True, granularity=3),
        evolution,
        Deduplicated(Filtered(evolution, even)),
        TPE(),
        NSGA2(),
    ]
    return [
        [trial.architecture for trial in drive(strategy, SPACES[name], hashed, 60, parallel=3, fail=some_fail)]
        for strategy in every
        for name in ("nested", "mixed")
    ]


ELSEWHERE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_base import proposals_of_all
print(json.dumps(proposals_of_all()))
"""


def test_another_process_with_other_hashes_of_strings_proposes_the_same():
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(Path(__file__).parent)],
        env=os.environ | {"PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(run.stdout) == proposals_of_all()
