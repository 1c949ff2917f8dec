"""Optuna's pruners as schedulers."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import final

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState

from lanista.errors import ExperimentError
from lanista.scheduler.base import Scheduler
from lanista.trial import State, Trial

STATES = {State.COMPLETED: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAILED: TrialState.FAIL}


class PrunerScheduler(Scheduler):
    """Asks a pruner of Optuna, which sees the trials of the experiment in a study in memory.

    Optuna's step is the number of reports that the trial has made so far, this one included: 1 at the first, whatever
    the evaluation calls it.

    Attributes:
        last: reports of a trial that runs to its end, which is not stopped at the last one; None: not known.
    """

    last: int | None = None

    @abstractmethod
    def pruner(self) -> BasePruner:
        """A fresh pruner."""

    def reset(self) -> None:
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(direction="maximize", pruner=self.pruner(), study_name="lanista")
        finally:
            optuna.logging.set_verbosity(verbosity)
        self._trials: list[optuna.Trial] = []
        self._answers: dict[int, dict[int, bool]] = {}

    def report(self, number: int, step: int, score: float) -> bool:
        answers = self._answers.setdefault(number, {})
        if step not in answers:  # else the worker died, and this is another attempt
            trial = self._trial(number)
            made = len(answers) + 1
            trial.report(score, made)
            answers[step] = trial.should_prune() and not (self.last is not None and made >= self.last)
        return answers[step]

    def end(self, trial: Trial) -> None:
        value = trial.scores[0] if trial.state is State.COMPLETED else None
        self._study.tell(self._trial(trial.number), value, state=STATES[trial.state])
        self._answers.pop(trial.number, None)

    def _trial(self, number: int) -> optuna.Trial:
        """The study's trial of that number: what Hyperband does with one depends on its number alone."""
        while len(self._trials) <= number:
            self._trials.append(self._study.ask())
        return self._trials[number]


@final
class OptunaScheduler(PrunerScheduler):
    """Any pruner of Optuna: `OptunaScheduler(optuna.pruners.PercentilePruner(25.0))`.

    Args:
        pruner: is copied, so that it can be used again. Its steps are numbers of reports, from 1.

    Raises:
        ExperimentError: it is no pruner.
    """

    def __init__(self, pruner: BasePruner) -> None:
        if not isinstance(pruner, BasePruner):
            raise ExperimentError(f"pruner is {pruner!r}; give one of optuna.pruners, such as PercentilePruner(25.0)")
        self._pruner = pruner

    def __repr__(self) -> str:
        return f"OptunaScheduler({type(self._pruner).__name__})"

    def pruner(self) -> BasePruner:
        return copy.deepcopy(self._pruner)
