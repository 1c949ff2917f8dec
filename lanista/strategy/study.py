"""Strategies that rest on Optuna's samplers, through its public interface.

Akiba, Sano, Yanase, Ohta and Koyama, "Optuna: A Next-generation Hyperparameter Optimization Framework",
https://arxiv.org/abs/1907.10902.
"""

from __future__ import annotations

import random
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Value
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.strategy.parameter import parameters
from lanista.trial import State, Trial

RETRIES = 5
"""How often the sampler is asked anew for a proposal within the limits, before one is repaired."""

NAME = "lanista"
"""Of every study: each is alone in its storage."""

_STATES = {State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


class StudyStrategy(Strategy):
    """Asks a study in memory, and tells it what became of each proposal.

    A study has so many objectives from its beginning to its end, but a strategy learns their number with the first
    completed trial. So it begins with one; where there are more, another study, with another sampler, takes over what
    was proposed so far.

    The study has each trial with the parameters of the architecture that is evaluated: if a proposal misses the limits
    of the space and is repaired, what the sampler had asked for counts as failed, and a trial of the repaired
    parameters takes its place. Trials that were not proposed here are added in the same way.

    Args:
        joint: ask for all decisions each time, also for those that do not exist in the architecture. The study has the
            latter at their defaults. For samplers that otherwise draw at random what is not in every trial.
        worst: tell of failed and pruned trials as completed with the worst scores so far. For samplers that learn from
            completed trials alone, and would ask for the same again and again.
    """

    def __init__(self, *, joint: bool, worst: bool = False) -> None:
        self._joint, self._worst = joint, worst

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """A new sampler; `seed` is in [0, 2**31)."""

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, with an empty study."""
        self._space, self._rng = space, random.Random(seed)
        self._parameters = parameters(space)
        self._distributions = {name: d for p in self._parameters.values() for name, d in p.distributions.items()}
        self._open: dict[str, deque[int]] = {}  # numbers in the study of the proposals that have not ended
        self._least: list[float] = []  # the worst scores so far
        self._begin(1)

    def propose(self) -> Architecture:
        """What the sampler suggests, within the limits; StopIteration when it says that it has tried everything."""
        with _quiet():
            asked, architecture = self._ask()
            for _ in range(RETRIES):
                if not self._space.violations(architecture):
                    break
                self._study.tell(asked, state=TrialState.FAIL)
                asked, architecture = self._ask()
            architecture = self._space.repair(architecture, self._rng)
            number, params = asked.number, self._params(architecture)
            if params != asked.params:
                # What the sampler noted on its proposal (of which generation it is, say) goes along.
                notes = self._study.get_trials(deepcopy=False)[number].system_attrs
                self._study.tell(asked, state=TrialState.FAIL)
                number = self._add(params, notes)
        self._open.setdefault(self._space.key(architecture), deque()).append(number)
        return architecture

    def observe(self, trial: Trial) -> None:
        """Tell the study of an ended trial, whoever proposed it."""
        with _quiet():
            if trial.state is State.COMPLETED and len(trial.scores) != len(self._study.directions):
                self._begin(len(trial.scores), self._study.get_trials(deepcopy=False))
            open_ = self._open.get(self._space.key(trial.architecture))
            number = open_.popleft() if open_ else self._add(self._params(trial.architecture))
            if trial.state is State.COMPLETED:
                self._study.tell(number, trial.scores)
                self._least = [min(pair) for pair in zip(self._least or trial.scores, trial.scores, strict=True)]
            elif self._worst and self._least:
                self._study.tell(number, self._least)
            else:
                self._study.tell(number, state=_STATES[trial.state])

    def _begin(self, objectives: int, trials: Iterable[FrozenTrial] = ()) -> None:
        """A new study that takes over trials, none of which is completed, under their numbers."""
        self._generation = 0
        with _quiet():
            self._study = _Study(self._sampler(self._rng.getrandbits(31)), objectives)
            for trial in trials:
                self._add(trial.params, state=trial.state)

    def _ask(self) -> tuple[optuna.trial.Trial, Architecture]:
        """A new trial in the study, with the architecture that it means."""
        if self._study.stopped:
            raise StopIteration(f"{self!r} has tried everything")
        asked = self._study.ask()

        def answer(decision: Decision) -> Value:
            return self._parameters[decision.label].ask(asked, self._rng)

        if not self._joint:
            return asked, self._space.decide(answer)
        answers = {decision.label: answer(decision) for decision in self._space}
        return asked, self._space.decide(lambda decision: answers[decision.label])

    def _params(self, architecture: Architecture) -> dict[str, Any]:
        """What the study has of an architecture."""
        if self._joint:
            architecture = {d.label: architecture.get(d.label, d.domain.default()) for d in self._space}
        return {n: v for label, value in architecture.items() for n, v in self._parameters[label].write(value).items()}

    def _add(
        self, params: dict[str, Any], notes: dict[str, Any] | None = None, state: TrialState = TrialState.RUNNING
    ) -> int:
        """Put a trial into the study that the sampler did not ask for; its number."""
        distributions = {name: self._distributions[name] for name in params}
        self._study.add_trial(
            optuna.trial.create_trial(state=state, params=params, distributions=distributions, system_attrs=notes)
        )
        added = self._study.get_trials(deepcopy=False)[-1]
        sampler = self._study.sampler
        if isinstance(sampler, BaseGASampler) and state is TrialState.RUNNING:
            generation = sampler.get_trial_generation(self._study, added)  # it joins the population of today
            if generation > self._generation:
                # Optuna 5.0 chooses parents by a recursion over all generations whose parents are not chosen yet.
                sampler.get_parent_population(self._study, generation)
                self._generation = generation
        return added.number


class _Study(optuna.study.Study):
    """A study in memory, of scores to maximise, that a sampler may stop from outside of `optimize`."""

    def __init__(self, sampler: BaseSampler, objectives: int) -> None:
        storage = InMemoryStorage()
        storage.create_new_study([StudyDirection.MAXIMIZE] * objectives, NAME)
        super().__init__(NAME, storage, sampler)
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log and its warnings that something is experimental; the user's own studies keep theirs."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
