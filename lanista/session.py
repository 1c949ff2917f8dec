"""`Session`: an experiment while it is being run; all that happens in it is stored at once."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lanista.errors import ExperimentError, MetricError
from lanista.evaluator.task import Task
from lanista.executor.base import Finished, Outcome, Reported, Started
from lanista.objective import ONLY, Objectives, best, pareto
from lanista.scheduler.base import Scheduler
from lanista.space.limit import Function
from lanista.space.search import SearchSpace
from lanista.storage import Record, Storage
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial

logger = logging.getLogger("lanista")

KEPT_WEIGHTS = 10
"""Weights of this many best trials are kept, besides those of the Pareto front."""

MEASURED = "measured.jsonl"
"""The file, beside an experiment's logs, of what measured limits measured: name, architecture, value."""


@dataclass(frozen=True)
class Setup:
    """What an experiment consists of; see `Experiment`.

    Attributes:
        storage, record: where it is remembered, and as what.
        decisions: the model's and the evaluator's.
        strategy, objectives, scheduler: as the user gave them.
        task: what workers do.
    """

    storage: Storage
    record: Record
    decisions: SearchSpace
    strategy: Strategy
    objectives: Objectives
    scheduler: Scheduler | None
    task: Task


class Session:
    """Replays an experiment's history, then proposes trials and takes in what becomes of them.

    The caller holds the experiment's lock. Strategy and scheduler are shown each trial's end, the storage is told of
    everything before they are.

    Attributes:
        live: the trials that were proposed and have not ended, by number.
        proposed: number of all trials so far.
        leader: the best trial so far, if any.
        mismatch: what is wrong with the metrics that the evaluator gives; the search cannot go on.

    Raises:
        ExperimentError: the strategy does not propose what it proposed before.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._storage, self._record = setup.storage, setup.record
        self._strategy, self._scheduler = setup.strategy, setup.scheduler
        self._folder = self._storage.folder(self._record.name)
        self._kept: list[Trial] = []
        self._named: list[str] = []
        self._curves: dict[int, int] = {}
        self._unjudged: dict[int, MetricError] = {}  # trials that are stopped for what they reported
        self.live: dict[int, Trial] = {}
        self.proposed = 0
        self.leader: Trial | None = None
        self.mismatch: MetricError | None = None
        self._remember()
        self._replay()
        self._sweep()

    # --- going on -----------------------------------------------------------------------------------------

    def propose(self) -> Trial:
        """The strategy's next trial, stored as running; raises StopIteration when there is none."""
        trial = Trial(
            number=self.proposed,
            architecture=self._strategy.propose(),
            seed=trial_seed(self._record.seed, self.proposed),
            started=time.time(),
        )
        self.proposed += 1
        # Files of an earlier database, which somebody deleted, are not this trial's.
        self._clear(trial)
        self._weights(trial).unlink(missing_ok=True)
        self._storage.propose(self._record, trial)
        self.live[trial.number] = trial
        return trial

    def restart(self, trial: Trial) -> None:
        """Note that an interrupted trial begins anew."""
        started = time.time()
        self._storage.start(self._record, trial.number, attempt=1, log=None, started=started)
        self.live[trial.number] = replace(trial, started=started, log=None, attempts=1)

    def listen(self, event: Started | Reported) -> bool:
        """Take in what a running trial does; True where it is to stop there."""
        trial = self.live[event.number]
        if isinstance(event, Reported):
            return self._reported(event)
        if event.attempt > 1:
            self._storage.start(self._record, event.number, attempt=event.attempt, log=event.log)
        self.live[event.number] = replace(trial, started=time.time(), log=event.log, attempts=event.attempt)
        self._curves.pop(event.number, None)
        return False

    def finish(self, event: Finished) -> Trial:
        """Take in how a trial ended; the trial as it is stored."""
        trial = self.live.pop(event.number)
        outcome = self._checked(event)
        if outcome.state is State.COMPLETED:
            try:
                self.check_curve(event.number)
            except MetricError as error:  # the trial is kept; its result is true
                self.mismatch = error
        weights = self._weights(trial)
        completed = outcome.state is State.COMPLETED
        ended = replace(
            trial,
            state=outcome.state,
            metrics=outcome.metrics,
            scores=self._setup.objectives.scores(outcome.metrics) if completed else (),
            error=outcome.error,
            attempts=event.attempts,
            finished=time.time(),
            log=trial.log if trial.log is not None and Path(trial.log).exists() else None,
            weights=str(weights) if completed and weights.exists() else None,
        )
        self._storage.finish(self._record, ended)
        self._clear(trial)
        self._strategy.observe(ended)
        if self._scheduler is not None:
            self._scheduler.end(ended)
            self._curves.pop(ended.number, None)
        if ended.state is State.FAILED:
            logger.warning("trial %d failed: %s", ended.number, ended.reason)
        self._note(ended)
        return ended

    # --- history ------------------------------------------------------------------------------------------

    def _remember(self) -> None:
        """Let measured limits write down what they measure, and know what was measured before: replay needs it."""
        file = self._folder / MEASURED
        if not sum(self._storage.counts(self._record).values()):
            file.unlink(missing_ok=True)  # of an earlier database, which somebody deleted
        known: dict[str, dict[str, float]] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with suppress(ValueError):  # the last line, if the process was killed while it was written
                name, architecture, value = json.loads(line)
                known.setdefault(name, {})[architecture] = value

        def tell(name: str, architecture: str, value: float) -> None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as measured:
                measured.write(json.dumps([name, architecture, value]) + "\n")

        for limit in self._setup.decisions.limits:
            if isinstance(limit.cost, Function) and not limit.cost.repeatable:
                limit.cost.remember(known.get(limit.cost.name, {}), partial(tell, limit.cost.name))

    def _replay(self) -> None:
        self._strategy.reset(self._setup.decisions, self._record.seed)
        if self._scheduler is not None:
            self._scheduler.reset()
        for kind, trial in self._storage.history(self._record):
            if kind == "proposed":
                self._check_proposal(trial)
                self.proposed += 1
                self.live[trial.number] = trial
            else:
                del self.live[trial.number]
                completed = trial.state is State.COMPLETED
                scores = self._setup.objectives.scores(trial.metrics) if completed else ()
                scored = replace(trial, scores=scores)
                self._strategy.observe(scored)
                if self._scheduler is not None:
                    self._relate(self._scheduler, scored)
                self._note(scored)

    def _relate(self, scheduler: Scheduler, ended: Trial) -> None:
        """Show the scheduler a stored curve and how it ended."""
        for step, metrics in self._storage.reports(self._record, ended.number):
            with suppress(MetricError):  # what could not be judged then was not shown to it either
                scheduler.report(ended.number, step, self._setup.objectives.scores_first(metrics))
        scheduler.end(ended)

    def _check_proposal(self, stored: Trial) -> None:
        try:
            proposed = self._strategy.propose()
        except StopIteration:
            proposed = {}
        if proposed != stored.architecture:
            raise ExperimentError(
                f"experiment {self._record.name!r} does not replay: for trial {stored.number} the strategy proposes "
                f"{proposed}, but {stored.architecture} is stored. It was started with {self._record.strategy} and is "
                f"run with {self._strategy!r}: use the same strategy, settings and lanista version, or another name"
            )

    # --- metrics ------------------------------------------------------------------------------------------

    def _reported(self, event: Reported) -> bool:
        self._storage.report(self._record, event.number, event.step, event.metrics)
        if self._scheduler is None:
            return False
        self._curves[event.number] = self._curves.get(event.number, 0) + 1
        try:
            score = self._setup.objectives.scores_first(event.metrics)
        except MetricError as error:
            self.mismatch = MetricError(f"the scheduler {self._scheduler!r} cannot judge what is reported: {error}")
            self._unjudged[event.number] = self.mismatch
            return True
        return self._scheduler.report(event.number, event.step, score)

    def _checked(self, event: Finished) -> Outcome:
        """A trial without the metrics that the objectives name is a failed one, and ends the run."""
        outcome = event.outcome
        unjudged = self._unjudged.pop(event.number, None)
        if unjudged is not None:
            return Outcome(State.FAILED, error=f"{type(unjudged).__name__}: {unjudged}")
        if outcome.state is not State.COMPLETED:
            return outcome
        try:
            self.check(event.number, outcome.metrics)
        except MetricError as error:
            self.mismatch = error
            return Outcome(State.FAILED, error=f"{type(error).__name__}: {error}")
        return outcome

    def check(self, number: int, metrics: Mapping[str, float]) -> None:
        """Raise MetricError where final metrics are not those that the objectives name, or that trials gave before."""
        names = self._setup.objectives.names(metrics)
        if ONLY in self._setup.objectives.directions and self._named and names != self._named:
            raise MetricError(
                f"trial {number} gave the metric {names[0]!r}, and earlier trials gave {self._named[0]!r}; give the "
                "same metric for all trials, or name what counts: "
                f"objectives={{{self._named[0]!r}: {self._setup.objectives.directions[ONLY]!r}}}"
            )

    def check_curve(self, number: int) -> None:
        """Raise MetricError where a scheduler was told nothing of a completed trial: it stops nothing so."""
        if self._scheduler is not None and not self._curves.get(number):
            raise MetricError(
                f"trial {number} completed without a report, so the scheduler {self._scheduler!r} can stop "
                "nothing; call trial.report(value) during the evaluation, for example after each epoch, or leave the "
                "scheduler out"
            )

    # --- files --------------------------------------------------------------------------------------------

    def _note(self, ended: Trial) -> None:
        self.leader = next(iter(best([*([self.leader] if self.leader else []), ended], 1)), None)
        if ended.state is State.COMPLETED and not self._named:
            self._named = self._setup.objectives.names(ended.metrics)
        self._keep(ended)

    def _weights(self, trial: Trial) -> Path:
        return self._setup.task.weights / f"{trial.number}.safetensors"

    def _clear(self, trial: Trial) -> None:
        """Delete what the trial put into its folder."""
        shutil.rmtree(self._setup.task.folder(trial), ignore_errors=True)

    def _keep(self, ended: Trial) -> None:
        """Keep the weights of the best trials, and delete those of others."""
        if ended.weights is None:
            # The file is there if the run was killed after it forgot these weights.
            self._weights(ended).unlink(missing_ok=True)
            return
        self._kept = best([*self._kept, ended])
        if len(self._kept) <= KEPT_WEIGHTS:
            return
        front = {trial.number for trial in pareto(self._kept)}
        for trial in [trial for trial in self._kept[KEPT_WEIGHTS:] if trial.number not in front]:
            self._kept.remove(trial)
            self._storage.forget_weights(self._record, trial.number)
            Path(str(trial.weights)).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Delete what was being written when a run or a worker was killed; safetensors writes aside, too."""
        for file in self._setup.task.weights.glob("*.tmp*"):
            file.unlink(missing_ok=True)


def trial_seed(seed: int, number: int) -> int:
    """Seed of a trial, from 0 to 2**32 - 1 (what NumPy takes): the same whoever runs it, and whenever."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")
