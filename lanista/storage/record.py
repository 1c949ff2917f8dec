"""What storage gives back: an experiment, its summary, a line of its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lanista.trial import State

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """An experiment as stored.

    Attributes:
        id: key in the database.
        name: unique in the database.
        space: the search space as JSON.
        fingerprint: what tells this search space from another one.
        objectives: metric -> direction, in order; `{"": direction}` means the only metric.
        strategy: description of the strategy.
        seed: of the experiment, below 2**63.
        source: where the code of the experiment is, if known.
        versions: library -> version, when the experiment was created.
        created: seconds since the epoch.
    """

    id: int
    name: str
    space: dict[str, Any]
    fingerprint: str
    objectives: dict[str, Direction]
    strategy: str
    seed: int
    source: str | None
    versions: dict[str, str]
    created: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """An experiment at a glance.

    Attributes:
        record: the experiment.
        counts: number of trials in each state.
        started, updated: time of the first and of the last entry in its log, seconds since the epoch; None
            before the first.
        running: whether a process runs it now.
    """

    record: Record
    counts: dict[State, int]
    started: float | None
    updated: float | None
    running: bool


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of an experiment's log.

    Attributes:
        id: grows from entry to entry of an experiment, with gaps.
        kind: `proposed`, `started` (a trial began once more), `finished`, or what `Storage.log` was given.
        number: the trial that it is about, if any.
        time: seconds since the epoch.
        detail: free text.
    """

    id: int
    kind: str
    number: int | None
    time: float
    detail: str | None
