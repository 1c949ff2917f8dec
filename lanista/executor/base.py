"""The contract between an experiment and the place where its trials run."""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from lanista.errors import Pruned
from lanista.trial import State, Trial, checked_metrics

Work = Callable[[Trial], dict[str, float]]
"""Evaluates a trial and returns its final metrics. Picklable with cloudpickle; raises what the evaluation raises."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    state: State
    metrics: dict[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Started:
    """An attempt at trial `number` begins; `attempt` counts from 1 and `log` is its output file, if any."""

    number: int
    attempt: int
    log: str | None


@dataclass(frozen=True)
class Reported:
    """Trial `number` reported intermediate metrics at `step`."""

    number: int
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Finished:
    """Trial `number` ended, after `attempts` attempts."""

    number: int
    outcome: Outcome
    attempts: int


Event = Started | Reported | Finished

Listener = Callable[[Event], bool | None]
"""Is told what happens. Its answer to Reported, if true, ends the trial: `Trial.report` raises Pruned."""


def perform(work: Work, trial: Trial, notify: Callable[[Reported], bool | None]) -> Outcome:
    """Run `work` on `trial` and turn whatever happens into an outcome: the boundary where failures become data.

    `notify` receives each report as it is made, and says whether the trial is to end there: then it counts as pruned,
    also where the evaluation catches Pruned and goes on. KeyboardInterrupt passes through.
    """
    last, stopped = Reported(trial.number, -1, {}), False

    def reporter(metrics: dict[str, float], step: int | None) -> None:
        nonlocal last, stopped
        last = Reported(trial.number, last.step + 1 if step is None else step, metrics)
        if notify(last):
            stopped = True
            raise Pruned(f"trial {trial.number} is stopped at step {last.step}")

    try:
        metrics = checked_metrics(work(replace(trial, reporter=reporter)), "the evaluation")
        return Outcome(State.PRUNED, last.metrics) if stopped else Outcome(State.COMPLETED, metrics)
    except Pruned:
        return Outcome(State.PRUNED, last.metrics)
    except (Exception, SystemExit):  # noqa: BLE001 (the worker's boundary)
        if stopped:
            return Outcome(State.PRUNED, last.metrics)
        return Outcome(State.FAILED, error=traceback.format_exc())


class Executor(ABC):
    """Runs trials, `slots` at a time.

    Order of calls, all from one thread: `start`, then any number of `submit` and `wait`, then `stop`; after that
    `start` may follow again. Events reach the listener in the caller's thread, during `wait` (or `submit`).
    Each submitted trial gets at least one Started and exactly one Finished, unless `stop` comes first. An evaluation
    that reports waits for the listener's answer.
    """

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many trials run at once."""

    @abstractmethod
    def start(self, work: Work, listener: Listener, logs: Path) -> None:
        """Get ready: ship `work` to the workers once. Trial outputs go to files in the folder `logs`."""

    @abstractmethod
    def submit(self, trial: Trial) -> None:
        """Begin `trial`. Raises ExecutorError when no slot is free or the executor is not started."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> None:
        """Deliver events until at least one Finished was delivered, or `timeout` seconds passed (None: no limit)."""

    @abstractmethod
    def stop(self) -> None:
        """End all workers now and forget running trials. May be called at any time, and twice."""
