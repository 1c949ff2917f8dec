"""A process that trains models together with a trial's own process, which started it."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import cloudpickle

from lanista.errors import Pruned
from lanista.evaluator.distributed import TICK, Post, Ranks
from lanista.evaluator.framework import quiet
from lanista.evaluator.task import seed_all

WATCH = 0.5
"""Seconds between two looks at whether the first process is alive."""


def main(folder: str, rank: int, size: int, parent: int) -> None:
    """Do one job in `folder` after the other, as number `rank` of `size` processes.

    The first of them has the process id `parent`, and this one ends soon after it. Anything else than `Pruned` that is
    raised is left as a file, and ends this process.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    training: Any = None
    for number in itertools.count():
        post = Post(Path(folder), number)

        def fail(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None, post: Post = post
        ) -> None:
            post.leave("error", "".join(traceback.format_exception(kind, error, trace)).encode(), rank)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)  # threads that the user's code left behind must not keep the others waiting

        sys.excepthook = fail
        while not post.file("job").exists():
            time.sleep(TICK)
        with quiet():
            job, model, trial = cloudpickle.loads(post.file("job").read_bytes())
            training = job or training
            seed_all(trial.seed)
            post.leave("ready", rank=rank)
            with suppress(Pruned):
                training.perform(model, trial, Ranks(rank, size, post))
        post.leave("done", rank=rank)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH)
    os.kill(os.getpid(), signal.SIGKILL)
