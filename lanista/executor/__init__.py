"""Where trials run: in this process (`InlineExecutor`) or in worker processes (`ProcessExecutor`)."""

from lanista.executor.base import (
    Event,
    Executor,
    Finished,
    Listener,
    Outcome,
    Reported,
    Started,
    Work,
    perform,
)
from lanista.executor.inline import InlineExecutor
from lanista.executor.process import ProcessExecutor

__all__ = [
    "Event",
    "Executor",
    "Finished",
    "InlineExecutor",
    "Listener",
    "Outcome",
    "ProcessExecutor",
    "Reported",
    "Started",
    "Work",
    "perform",
]
