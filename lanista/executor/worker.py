"""A worker process of `ProcessExecutor`: performs the trials that the main process sends, until that ends.

The main process sends pickled trials through a socket, and a pickled answer to each report. Back come lines of JSON,
not pickles: whatever an evaluation makes of the worker, the main process cannot trip over what it reads.
"""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle

from lanista.errors import ExecutorError
from lanista.executor.base import Outcome, Reported, Work, perform
from lanista.trial import Trial

WATCH = 0.5
"""Seconds between two looks at whether the main process is alive."""


class Channel:
    """The worker's end of the socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._source = self._socket.makefile("rb")
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._open: int | None = None

    def trials(self) -> Iterator[Trial]:
        """Yield trials as they come, until the main process closes its end."""
        with contextlib.suppress(EOFError):
            while True:
                trial: Trial = pickle.load(self._source)
                self._open = trial.number
                yield trial

    def send(self, *message: object) -> None:
        """Send one line.

        Raises:
            ExecutorError: called in a process that the evaluation forked.
        """
        if os.getpid() != self._owner:
            raise ExecutorError(
                "trial.report was called in a process that the evaluation started; hand the value to the "
                "evaluation's own process and report it there"
            )
        line = json.dumps(message).encode() + b"\n"
        self._socket.sendall(line)

    def report(self, event: Reported) -> bool:
        """Send an intermediate result, and wait for the answer: whether the trial is to end here.

        May be called from any thread of the evaluation.

        Raises:
            ExecutorError: the trial has ended, or this is a process that the evaluation forked.
        """
        with self._lock:
            if event.number != self._open:  # a thread that outlives its trial must not read what is for the next one
                raise ExecutorError(f"trial {event.number} has ended; a thread that it left behind cannot report")
            self.send("reported", event.number, event.step, event.metrics)
            try:
                answer: bool = pickle.load(self._source)
            except EOFError:  # the main process is gone
                os.killpg(os.getpgrp(), signal.SIGKILL)
                raise
            return answer

    def finish(self, outcome: Outcome) -> None:
        """Send how the trial ended; from now on it cannot report."""
        with self._lock:
            self._open = None
            self.send("finished", outcome.state, outcome.metrics, outcome.error)

    def close(self) -> None:
        """End the connection, even if processes that the evaluation forked still hold the socket."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def main(descriptor: int, work: int, parent: int) -> None:
    """Serve the process `parent` through the socket `descriptor`; the file `work` has the pickled work."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # The socket is shut down before Python waits for threads that an evaluation may have left behind.
    with contextlib.closing(Channel(descriptor)) as channel:
        # Mapped, not read: all workers share the file's position.
        with mmap.mmap(work, 0, access=mmap.ACCESS_READ) as content:
            task: Work = cloudpickle.loads(content)
        os.close(work)
        _serve(channel, task)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _serve(channel: Channel, work: Work) -> None:
    owner, null = os.getpid(), os.open(os.devnull, os.O_RDWR)
    channel.send("ready")
    for trial in channel.trials():
        assert trial.log  # the main process chooses it
        log = Path(trial.log)
        _redirect(null, log, trial.attempts)
        outcome = perform(work, trial, channel.report)
        if os.getpid() != owner:
            os._exit(0)  # the evaluation forked, and this is the child
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size == 0:
                log.unlink()
        channel.finish(outcome)


def _redirect(null: int, log: Path, attempt: int) -> None:
    """Point standard output and error, also of C code and child processes, at the end of `log`."""
    for descriptor in (1, 2):  # an earlier evaluation may have closed them: keep `open` off their numbers
        os.dup2(null, descriptor)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)
    if os.fstat(1).st_size:  # of an earlier attempt, or an earlier run
        os.write(1, f"\n--- attempt {attempt} ---\n".encode())
    # New objects, as an evaluation may have closed or replaced them; unbuffered, so a crash loses nothing.
    sys.stdout, sys.stderr = _stream(1), _stream(2)


def _stream(descriptor: int) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)


def _watch(parent: int) -> None:
    """End this process and its children soon after the main process, however that one ended."""
    while os.getppid() == parent:
        time.sleep(WATCH)
    os.killpg(os.getpgrp(), signal.SIGKILL)
