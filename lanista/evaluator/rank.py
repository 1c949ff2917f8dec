"""A process that trains a model together with a trial's own process, which started it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType

import cloudpickle

from lanista.evaluator.distributed import JOB, Ranks
from lanista.evaluator.framework import quiet
from lanista.evaluator.task import seed_all

WATCH = 0.5
"""Seconds between two looks at whether the first process is alive."""


def main(folder: str, rank: int, size: int, parent: int) -> None:
    """Do the job in `folder` as number `rank` of `size` processes, the first of which has the process id `parent`.

    Anything that is raised is left in the file `<rank>.error`, and the process ends.
    """
    place = Path(folder)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()

    def fail(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        aside = place / f"{rank}.tmp"
        aside.write_text("".join(traceback.format_exception(kind, error, trace)), encoding="utf-8")
        aside.replace(place / f"{rank}.error")
        _end(1)

    sys.excepthook = fail
    with quiet():
        training, build, model, trial = cloudpickle.loads((place / JOB).read_bytes())
        seed_all(trial.seed)
        (place / f"{rank}.ready").touch()
        training.perform(build, model, trial, Ranks(rank, size, place))
    _end(0)


def _end(code: int) -> None:
    """End now: threads that the user's code left behind must not keep the others waiting."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os.kill(os.getpid(), signal.SIGKILL)
