"""A trial: one architecture, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Real
from pathlib import Path

from lanista.errors import LanistaError, MetricError
from lanista.space.domain import Architecture

DEFAULT_METRIC = "score"
"""Name of the metric when an evaluator returns or reports a bare number."""

TRACEBACK = "Traceback (most recent call last):"
"""The line with which Python begins a traceback, and each further one of a chain of exceptions."""

REASON = 300
"""Characters of an error that a table or a line of a log shows."""

STEPS = 2**63
"""Steps are below this: what an integer column of every database holds."""


class State(StrEnum):
    """Where a trial stands. A `running` trial whose experiment is not running was interrupted."""

    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"


def checked_metrics(value: object, source: str) -> dict[str, float]:
    """Turn what an evaluator gave into `{name: finite float}`.

    A number `x` (Python, NumPy or a one-element tensor) becomes `{"score": float(x)}`.

    Raises:
        MetricError: names are not strings, there is no metric, or a value is not a finite number.
    """
    named = value if isinstance(value, Mapping) else {DEFAULT_METRIC: value}
    if not named:
        raise MetricError(f"{source} gave no metric; give a number or a mapping of names to numbers")
    metrics = {}
    for name, raw in named.items():
        if not isinstance(name, str) or not name or name.encode(errors="ignore").decode() != name:
            raise MetricError(f"{source} gave a metric named {name!r}; names are non-empty strings of whole characters")
        number = _unwrapped(raw)
        if isinstance(number, bool) or not isinstance(number, Real):
            raise MetricError(f"{source} gave {raw!r} ({type(raw).__name__}) for metric {name!r}; give a finite number")
        metrics[name] = float(number)
        if not math.isfinite(metrics[name]):
            raise MetricError(
                f"{source} gave {metrics[name]} for metric {name!r}; give a finite number, "
                "or raise an exception (the trial then counts as failed)"
            )
    return metrics


def _unwrapped(raw: object) -> object:
    """The number in a one-element tensor or NumPy value; anything else as it is."""
    item = getattr(raw, "item", None)
    try:
        return item() if callable(item) else raw
    except (RuntimeError, TypeError, ValueError):  # several elements, or no values at all
        return raw


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One architecture under evaluation, or evaluated.

    Attributes:
        number: position in the order of proposal, from 0.
        architecture: label -> JSON value, canonical form.
        seed: what the random generators of `random`, NumPy and torch are seeded with before the model is
            built.
        state: see `State`.
        metrics: final metrics by name; empty unless completed (a pruned trial keeps its last reported ones).
        scores: the objectives in their order, signs turned so that greater is better; empty unless completed.
        error: traceback or reason of a failed trial.
        attempts: how often it was started; more than 1 after a worker died under it.
        started, finished: seconds since the epoch.
        log: file with the trial's output, where the executor writes one.
        weights: safetensors file with the model's weights, where the evaluator keeps them.
        folder: a folder of the trial's own, which may not exist yet; it outlives a killed worker and a killed search,
            and is deleted when the trial ends. None outside of experiments.
        reporter: where `report` goes; only set while the trial is being evaluated.
    """

    number: int
    architecture: Architecture
    seed: int = 0
    state: State = State.RUNNING
    metrics: dict[str, float] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    error: str | None = None
    attempts: int = 1
    started: float | None = None
    finished: float | None = None
    log: str | None = None
    weights: str | None = None
    folder: Path | None = field(default=None, compare=False)
    reporter: Callable[[dict[str, float], int | None], None] | None = field(default=None, compare=False, repr=False)

    @property
    def duration(self) -> float | None:
        """Seconds from the start of the last attempt to the end, or None while it is not known."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started

    @property
    def reason(self) -> str:
        """The error in one line: the exception without traceback, or how the worker ended; empty if there is none."""
        error = (self.error or "").strip()
        if error.startswith(TRACEBACK):
            error = error.rpartition(f"{TRACEBACK}\n")[2]
        line = next((line for line in error.splitlines() if not line.startswith(" ")), "")
        return line if len(line) <= REASON else f"{line[:REASON]}..."

    def report(self, value: float | Mapping[str, float], step: int | None = None) -> None:
        """Record an intermediate result; call it from the evaluation.

        Args:
            value: a number (metric `score`) or numbers by name.
            step: non-negative position on the learning curve, such as the epoch; default: one more than
                the last one, from 0.

        Raises:
            MetricError: a value is not a finite number, or the step is no such position.
            Pruned: the experiment stops this trial here; let it pass.
            LanistaError: the trial is not being evaluated.
        """
        if self.reporter is None:
            raise LanistaError(f"trial {self.number} is {self.state}; only an evaluation in progress can report")
        if step is not None and (isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < STEPS):
            raise MetricError(f"trial.report got step {step!r}; a step is an integer of at least 0 and below 2**63")
        self.reporter(checked_metrics(value, "trial.report"), step)
