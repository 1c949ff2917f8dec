"""Trials in worker processes on this machine, each with its share of the processors or with its own GPU."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import PathFinder
from multiprocessing import connection
from pathlib import Path
from typing import IO

import lanista
from lanista.errors import ExecutorError, LanistaError
from lanista.executor.base import Executor, Finished, Listener, Outcome, Reported, Started, Work
from lanista.serialize import dumps
from lanista.trial import State, Trial

TICK = 0.2
"""Seconds between two looks for workers that died while a child of theirs holds the socket open."""

GRACE = 1.0
"""Seconds that a worker which closed its socket gets to exit by itself, so that its exit code can be told."""

STILLBIRTHS = 3
"""How many workers in a row may die before they are ready."""

TAIL = 20
"""How many last lines of a log an error quotes."""

# Not `-m lanista.executor.worker`: with `-P` that finds lanista only where it is installed, without it a
# `random.py` in the working directory hides the standard module. So what such a file would hide from the
# worker, but did not hide from the main process, is imported first; only then the path becomes that one's.
BOOT = """
import importlib, json, sys
setup = json.loads(sys.argv[1])
for name in setup["hidden"]:
    importlib.import_module(name)
sys.path[:], sys.argv[:] = setup["path"], setup["argv"]
importlib.import_module("lanista.executor.worker").main(*setup["main"])
"""


class ProcessExecutor(Executor):
    """Worker processes that stay warm between trials, one for each slot.

    Workers are fresh interpreters with the main process's `sys.path`, `sys.argv` and working directory.
    What the work refers to in `__main__` travels by value (no `if __name__ == "__main__":` is needed, and
    notebooks work), everything else by import. Children that an evaluation starts with the `spawn` or
    `forkserver` method of `multiprocessing` (data loader workers, where that is the default) find classes in
    modules only.

    A worker's death (segmentation fault, out of memory, `os._exit`) or an attempt that passes the time limit
    ends the worker with all its children, and costs the trial an attempt; other trials go on. An exception in
    an evaluation is an outcome, and is not tried again. Each trial's output goes to `<logs>/<number>.log`,
    attempts one after the other; an empty file is removed at the trial's end.

    Workers end with the main process, however that ends: within a second, unless they then hold Python's
    global lock in a call of compiled code.

    Args:
        workers: number of slots, at least 1. Default: one for each entry of `devices`, or one for each
            processor this process may use, where there is neither `devices` nor a GPU.
        devices: "cpu", or GPUs as 0, "cuda:0" or `torch.device`s, numbered as this process sees them; dealt
            out in turn if there are more workers, and an entry may repeat. A worker sees its own GPU only, or
            none. Default: all GPUs, else "cpu".
        threads: computing threads in each worker, at least 1; default: its share of the processors.
        time_limit: seconds for each attempt, more than 0; default: no limit.
        retries: how many more attempts a trial gets, at least 0.

    Raises:
        ExecutorError: an argument is out of range, a GPU is not there, or the system lacks process groups.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        devices: Sequence[object] | None = None,
        threads: int | None = None,
        time_limit: float | None = None,
        retries: int = 1,
    ) -> None:
        if not hasattr(os, "killpg"):
            raise ExecutorError(
                f"ProcessExecutor needs process groups, which {sys.platform} lacks; use InlineExecutor()"
            )
        for name, value, least in (("workers", workers, 1), ("threads", threads, 1), ("retries", retries, 0)):
            _check_integer(name, value, least)
        if time_limit is not None and not (isinstance(time_limit, int | float) and 0 < time_limit < math.inf):
            raise ExecutorError(
                f"time_limit={time_limit!r}; give seconds as a finite number above 0, or None for no limit"
            )
        self._environments = _environments(workers, devices, threads)
        self._time_limit = math.inf if time_limit is None else time_limit
        self._tries = 1 + retries
        self._session: _Session | None = None
        self._queue: deque[_Job] = deque()
        self._workers: list[_Worker] = []
        self._stillbirths = 0
        self._delivered = False
        weakref.finalize(self, _end, self._workers, os.getpid())

    @property
    def slots(self) -> int:
        """The number of workers."""
        return len(self._environments)

    def start(self, work: Work, listener: Listener, logs: Path) -> None:
        """Pickle `work`, make the folder `logs`, and launch the workers without waiting for them.

        Raises:
            ExecutorError: it is started already, `work` cannot be pickled, or no process can be started.
        """
        if self._session:
            raise ExecutorError("ProcessExecutor is started already; call stop() before the next start()")
        try:
            content = dumps(work)
        except LanistaError as error:
            raise ExecutorError(f"{error}, or use InlineExecutor()") from error
        logs.mkdir(parents=True, exist_ok=True)
        self._session = _Session(listener, logs.resolve(), Path.cwd(), content)
        self._stillbirths = 0
        for slot in range(self.slots):
            self._launch(self._session, slot)

    def submit(self, trial: Trial) -> None:
        """Give `trial` to a free worker, or keep it for the first that becomes ready.

        Raises:
            ExecutorError: no slot is free, or the executor is not started.
        """
        session = self._running()
        if len(self._queue) + sum(worker.job is not None for worker in self._workers) >= self.slots:
            raise ExecutorError(
                f"no slot is free for trial {trial.number}: all {self.slots} are taken; "
                "call wait() until a trial has finished"
            )
        self._queue.append(_Job(trial, session.logs / f"{trial.number}.log"))
        self._dispatch(session)

    def wait(self, timeout: float | None = None) -> None:
        """Deliver events until a trial has finished, `timeout` seconds have passed, or no trial is left.

        Raises:
            ExecutorError: the executor is not started, or workers die before they are ready, time after time;
                it is then stopped.
        """
        session = self._running()
        end = math.inf if timeout is None else time.monotonic() + timeout
        self._delivered = False
        while True:
            for worker in tuple(self._workers):
                if worker in self._workers:  # the listener may have stopped us
                    self._tend(session, worker)
            self._dispatch(session)
            busy = [worker.job for worker in self._workers if worker.job]
            pause = min([end, *(job.deadline for job in busy)]) - time.monotonic()
            if self._delivered or not (busy or self._queue) or time.monotonic() >= end:
                return
            sockets = [worker.channel for worker in self._workers]
            connection.wait(sockets, max(0.0, min(TICK, pause)))

    def stop(self) -> None:
        """Kill all workers and their children now, and forget the trials they had."""
        if self._session:
            self._session.work.close()
        self._session = None
        self._queue.clear()
        _end(self._workers, os.getpid())

    def _running(self) -> _Session:
        if not self._session:
            raise ExecutorError("ProcessExecutor is not started; call start() first")
        return self._session

    def _launch(self, session: _Session, slot: int) -> None:
        try:
            self._workers.append(_Worker(slot, session, self._environments[slot]))
        except OSError as error:
            self.stop()
            raise ExecutorError(f"no worker process can be started: {error}") from error

    def _dispatch(self, session: _Session) -> None:
        for worker in tuple(self._workers):
            if not self._queue:
                return
            if not worker.ready or worker.job:
                continue
            job = self._queue[0]
            try:
                worker.send(replace(job.trial, reporter=None, attempts=job.attempt, log=str(job.log)))
            except OSError:
                continue  # it died idle: `_tend` will find out
            worker.job = self._queue.popleft()
            job.deadline = time.monotonic() + self._time_limit
            session.listener(Started(job.trial.number, job.attempt, str(job.log)))

    def _tend(self, session: _Session, worker: _Worker) -> None:
        """Deliver what the worker sent, and replace it if it is dead or late."""
        dead = worker.process.poll() is not None  # looked at first: what a dead one sent has all arrived
        ended = worker.receive(everything=dead)
        while worker.inbox and worker in self._workers:
            self._handle(session, worker, json.loads(worker.inbox.popleft()))
        if worker not in self._workers:
            return
        if dead or ended:
            self._replace(session, worker, worker.fate())
        elif worker.job and time.monotonic() >= worker.job.deadline:
            self._replace(session, worker, f"the trial took longer than time_limit={self._time_limit:g} s")

    def _handle(self, session: _Session, worker: _Worker, message: list[object]) -> None:
        job = worker.job
        match message:
            case ["ready"]:
                worker.ready = True
                self._stillbirths = 0
            case ["reported", int(number), int(step), dict(metrics)]:
                stops = bool(job and session.listener(Reported(number, step, metrics)))
                worker.answer(stops)
            case ["finished", str(state), dict(metrics), error] if job:
                worker.job = None
                reason = None if error is None else str(error)
                self._finish(session, job, Outcome(State(state), metrics, reason))

    def _finish(self, session: _Session, job: _Job, outcome: Outcome) -> None:
        self._delivered = True
        session.listener(Finished(job.trial.number, outcome, job.attempt))

    def _replace(self, session: _Session, worker: _Worker, cause: str) -> None:
        worker.kill()
        output = worker.close()
        self._workers.remove(worker)
        self._stillbirths += not worker.ready
        if self._stillbirths >= STILLBIRTHS:
            self.stop()
            raise ExecutorError(
                f"{STILLBIRTHS} workers in a row ended before they were ready; {cause}. See that a new "
                f"Python process can import what the work refers to. The last one's output:\n{output}"
            )
        job, attempt = worker.job, worker.job.attempt if worker.job else 0
        if job and attempt < self._tries:
            job.attempt += 1
            self._queue.appendleft(job)
        self._launch(session, worker.slot)
        if job and attempt >= self._tries:
            error = f"{cause} in attempt {attempt} of {self._tries}\n{_tail(job.log)}"
            self._finish(session, job, Outcome(State.FAILED, error=error))


@dataclass
class _Job:
    """A submitted trial; `deadline` is on the monotonic clock."""

    trial: Trial
    log: Path
    attempt: int = 1
    deadline: float = math.inf


class _Session:
    """What is fixed between start and stop.

    `work` is an open file without a name: each worker reads it on its own time, so that neither side waits
    for the other, and it is gone with the last of them.
    """

    def __init__(self, listener: Listener, logs: Path, folder: Path, content: bytes) -> None:
        self.listener = listener
        self.logs = logs
        self.folder = folder
        self.hidden = _hidden()
        self.path = [str(folder / entry) for entry in sys.path]
        root = str(Path(lanista.__file__).resolve().parents[1])
        if root not in self.path:
            self.path.append(root)
        self.work = tempfile.TemporaryFile()  # noqa: SIM115 (`stop` closes it)
        self.work.write(content)
        self.work.flush()


class _Worker:
    """The main process's side of one worker process, which leads a process group of its own."""

    def __init__(self, slot: int, session: _Session, environment: Mapping[str, str]) -> None:
        self.slot = slot
        self.ready = False
        self.job: _Job | None = None
        self.inbox: deque[bytes] = deque()
        self._rest = b""
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        self.channel, far = socket.socketpair()
        with far:
            for end in (self.channel, far):
                end.settimeout(None)  # socket.setdefaulttimeout() holds for these, too
            inherited = (far.fileno(), session.work.fileno())
            setup = {
                "hidden": session.hidden,
                "path": session.path,
                "argv": sys.argv,
                "main": (*inherited, os.getpid()),
            }
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-c", BOOT, json.dumps(setup)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                cwd=session.folder,
                env={**os.environ, **environment},
                pass_fds=inherited,
                start_new_session=True,
            )

    def send(self, trial: Trial) -> None:
        """Hand over a trial; OSError if the worker is gone."""
        self.channel.sendall(pickle.dumps(trial))

    def answer(self, stops: bool) -> None:
        """Say whether the trial that reported is to end; a worker that is gone does not mind."""
        with contextlib.suppress(OSError):
            self.channel.sendall(pickle.dumps(stops))

    def receive(self, *, everything: bool) -> bool:
        """Move what has arrived (at most 64 KiB, unless `everything`) to the inbox, without waiting.

        Returns whether the stream has ended.
        """
        try:
            while chunk := self.channel.recv(1 << 16, socket.MSG_DONTWAIT):
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                self.inbox.extend(lines)
                if not everything:
                    return False
        except BlockingIOError:
            return False
        except ConnectionResetError:
            pass
        return True

    def fate(self) -> str:
        """How the process ended, in words."""
        try:
            code = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "the worker closed its connection to the main process"
        if code >= 0:
            return f"the worker exited with code {code}"
        known = -code in set(signal.Signals)
        name = signal.Signals(-code).name if known else str(-code)
        return f"the worker died with signal {name}{' (out of memory?)' if code == -signal.SIGKILL else ''}"

    def kill(self) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter: a dead group on macOS
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> str:
        """Collect the killed process, drop an empty log, return what it printed before its first trial."""
        self.process.wait()
        self.channel.close()
        with contextlib.suppress(OSError):
            if self.job and self.job.log.stat().st_size == 0:
                self.job.log.unlink()
        with self._output:
            self._output.seek(0)
            return self._output.read().decode(errors="replace").strip()


def _end(workers: list[_Worker], owner: int) -> None:
    """End `workers`; does nothing in a fork of the process that owns them."""
    if os.getpid() != owner:
        return
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.close()
    workers.clear()


def _tail(log: Path) -> str:
    """Quote the last lines of `log`."""
    if not log.exists():
        return "it printed nothing"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()[-TAIL:]
    return "\n".join(["the last lines of its log:", *lines])


def _check_integer(name: str, value: object, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ExecutorError(f"{name}={value!r}; give an integer of at least {least}")


def _environments(workers: int | None, devices: Sequence[object] | None, threads: int | None) -> list[dict[str, str]]:
    """Environment variables of each slot."""
    listed = isinstance(devices, Sequence) and not isinstance(devices, str)
    if devices is not None and not (listed and devices):
        raise ExecutorError(f'devices={devices!r}; give a list, such as [0, 1], ["cuda:1"] or ["cpu"]')
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    visible = _visible(devices)
    count = workers or (processors if devices is None and visible == [""] else len(visible))
    share = threads or max(1, processors // count)
    # Set before the process starts, these hold for torch, NumPy and others, whenever they are imported.
    shared = {"OMP_NUM_THREADS": str(share), "MKL_NUM_THREADS": str(share)}
    if threads:
        shared["MKL_DYNAMIC"] = "FALSE"  # else MKL, and torch after it, takes no more than there are cores
    return [{**shared, "CUDA_VISIBLE_DEVICES": visible[slot % len(visible)]} for slot in range(count)]


def _visible(devices: Sequence[object] | None) -> list[str]:
    """CUDA_VISIBLE_DEVICES for each device; empty for a CPU."""
    names = None if devices is None else [str(device) for device in devices]
    if names is not None and set(names) == {"cpu"}:
        return [""] * len(names)
    # Only torch knows what the workers' torch will see. It is imported here, because nothing else in this
    # package needs it; counting does not initialise CUDA.
    found: int = importlib.import_module("torch").cuda.device_count()
    if names is None:
        names = [str(index) for index in range(found)] or ["cpu"]
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = [str(index) for index in range(found)] if own is None else own.split(",")
    result = []
    for name in names:
        match = re.fullmatch(r"cpu|(?:cuda:)?(\d+)", name)
        if not match or (match[1] and int(match[1]) >= found):
            gpus = f'0 to {found - 1}, also as "cuda:0"' if found else "no GPU, as torch sees none"
            raise ExecutorError(f'devices has {name!r}; this process can use "cpu" and {gpus}')
        result.append(cards[int(match[1])].strip() if match[1] else "")
    return result


def _hidden() -> list[str]:
    """Standard modules in use here of which a new process with this path would find namesakes instead."""
    names = []
    for name in sys.stdlib_module_names & sys.modules.keys():
        spec = getattr(sys.modules[name], "__spec__", None)
        found = PathFinder.find_spec(name) if spec and spec.has_location else None
        if spec and found and found.origin != spec.origin:
            names.append(name)
    return sorted(names)
