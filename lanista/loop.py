"""The loop that keeps an executor busy with an experiment's trials."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

from lanista.errors import ExperimentError
from lanista.evaluator.task import REHEARSAL
from lanista.executor.base import Event, Executor, Finished, Outcome
from lanista.progress import Progress
from lanista.session import Session, Setup
from lanista.trial import State, Trial

logger = logging.getLogger("lanista")

TICK_SECONDS = 0.5
"""How often a run that waits for trials looks at the clock."""


class Loop:
    """One call of `Experiment.run`.

    Args:
        setup: the experiment, whose lock the caller holds.
        executor: runs the trials.
        max_trials, max_duration: see `Experiment.run`.
    """

    def __init__(self, setup: Setup, executor: Executor, max_trials: int | None, max_duration: float | None) -> None:
        self._setup, self._executor = setup, executor
        self._storage, self._record = setup.storage, setup.record
        self._max_trials = max_trials
        self._limits = {"max_trials": max_trials, "max_duration": max_duration}
        self._deadline = None if max_duration is None else time.monotonic() + max_duration
        self._rehearsed: Outcome | None = None

    def run(self) -> None:
        """Replay what happened, then go on; raises as `Experiment.run` does."""
        self._session = Session(self._setup)
        self._storage.log(self._record, "run", json.dumps(self._limits))
        with Progress(self._record.name, self._max_trials, self._deadline) as self._progress:
            self._progress.replayed(self._storage.counts(self._record), self._session.leader)
            try:
                self._executor.start(self._setup.task, self._listen, self._logs)
                self._rehearse()
                self._loop(list(self._session.live.values()))
            except KeyboardInterrupt:
                logger.warning("interrupted; run experiment %r again and it goes on", self._record.name)
                raise
            finally:
                self._executor.stop()
        counts = self._storage.counts(self._record)
        self._storage.log(self._record, "stop", ", ".join(f"{n} {state}" for state, n in counts.items() if n))
        self._report(counts)
        if self._setup.decisions.limits:
            logger.info("limits of experiment %r: %s", self._record.name, self._setup.decisions.acceptance)

    @property
    def _logs(self) -> Path:
        return self._storage.folder(self._record.name) / "logs"

    def _rehearse(self) -> None:
        """Let the evaluator try itself out before anything is proposed, if it can; raises ExperimentError."""
        if self._storage.counts(self._record)[State.COMPLETED] or not self._setup.task.rehearses:
            return
        architecture = self._setup.decisions.default()
        self._executor.submit(Trial(number=REHEARSAL, architecture=architecture))
        while self._rehearsed is None:
            self._executor.wait(TICK_SECONDS)
        if self._rehearsed.state is State.FAILED:
            ended = Trial(number=REHEARSAL, architecture=architecture, error=self._rehearsed.error)
            raise ExperimentError(
                f"the evaluator is broken: its rehearsal, before the first trial, failed with {ended.reason}\n"
                f"The architecture was {architecture}. {self._rehearsed.error}"
            )

    def _loop(self, interrupted: list[Trial]) -> None:
        waiting = interrupted[::-1]
        running = 0
        exhausted = False
        while True:
            while running < self._executor.slots and not self._session.mismatch:
                if waiting and not self._late():
                    trial = waiting.pop()
                    self._session.restart(trial)
                elif exhausted or self._spent():
                    break
                else:
                    try:
                        trial = self._session.propose()
                    except StopIteration:
                        logger.warning("the strategy has nothing left to try after %d trials", self._session.proposed)
                        exhausted = True
                        break
                self._executor.submit(trial)
                running += 1
            if not running:
                break
            self._executor.wait(TICK_SECONDS)
            running = len(self._session.live) - len(waiting)
            self._progress.tick(running)
        if self._session.mismatch is not None:
            raise self._session.mismatch

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _spent(self) -> bool:
        if self._late():
            return True
        return self._max_trials is not None and self._session.proposed >= self._max_trials

    def _listen(self, event: Event) -> bool:
        if event.number == REHEARSAL:
            if isinstance(event, Finished):
                self._rehearsed = event.outcome
            return False
        if isinstance(event, Finished):
            self._progress.ended(self._session.finish(event))
            return False
        return self._session.listen(event)

    def _report(self, counts: Mapping[State, int]) -> None:
        if counts[State.FAILED] and not counts[State.COMPLETED]:
            logger.error("all %d trials failed; the last error: %s", counts[State.FAILED], self._progress.last_error)
        logger.info("experiment %r: %s", self._record.name, ", ".join(f"{n} {s}" for s, n in counts.items() if n))
