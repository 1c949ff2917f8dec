"""`Ranks`: the processes that train one model together, each on a device.

The first is the trial's own process. It starts the others itself: Lightning would run the user's script again for
each of them, or fork a process that may have threads and locks. They stay for the next trial, as a start takes seconds.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import distributed

import lanista
from lanista.errors import EvaluatorError, Pruned
from lanista.evaluator.framework import pl

TICK = 0.02
"""Seconds between two looks at what the other processes have left in the folder."""

GRACE = 2.0
"""Seconds in which a process that broke the connection is found out."""

FAREWELL = 60.0
"""Seconds that the others get to be done with a trial after the first process is."""

# Lightning is imported before the path becomes the first process's: a `random.py` beside the user's script must
# not hide the standard module from it, where it did not hide it there.
BOOT = """
import contextlib, importlib, json, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
setup = json.loads(sys.argv[1])
with contextlib.suppress(ImportError):
    import lightning.pytorch
sys.path[:], sys.argv[:] = setup["path"], setup["argv"]
importlib.import_module("lanista.evaluator.rank").main(*setup["main"])
"""


class Post:
    """The folder in which the processes of a trial leave each other files, one after the other complete.

    Args:
        folder: on this machine.
        number: of the trial in this folder, from 0.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number = folder, number

    def file(self, what: str, rank: int = 0) -> Path:
        """A file for this trial: `job`, `store`, `ready`, `done`, `error`."""
        return self._folder / f"{self._number}.{rank}.{what}"

    def leave(self, what: str, content: bytes = b"", rank: int = 0) -> None:
        """Write a file that appears as a whole."""
        aside = self.file(f"{what}.tmp", rank)
        aside.write_bytes(content)
        aside.replace(self.file(what, rank))


class Ranks(ClusterEnvironment):
    """What tells Lightning that the processes exist already, and which one this is.

    Args:
        rank: of this process, from 0.
        size: how many there are; the first process learns it later.
        post: where they meet; the first process makes that later.
    """

    def __init__(self, rank: int = 0, size: int = 1, post: Post | None = None) -> None:
        self.rank, self.size, self._post = rank, size, post

    @contextmanager
    def gathered(self, arguments: dict[str, Any], seed: int, job: Callable[[bool], bytes]) -> Iterator[None]:
        """In this block the processes are connected; the first one calls the others in and sees that they end.

        Args:
            arguments: of the Trainer, from `processes`; this environment is added.
            seed: of the trial, for samplers that deal out the data.
            job: `job(again)` is what the others get, pickled: how to train (left out if they have it from the last
                time: `again`), the model, the trial.

        Raises:
            EvaluatorError: another process failed; the message has its error. The others are then ended.
        """
        if distributed.is_initialized():
            raise EvaluatorError(
                "torch.distributed is initialized in this process already, and a trial on several devices makes a "
                "process group of its own; call torch.distributed.destroy_process_group() first"
            )
        arguments["plugins"] = [*arguments["plugins"], self]
        with _environment(PL_GLOBAL_SEED=str(seed), OMP_NUM_THREADS=_threads(self.size)):
            if self._post is not None:
                with _group(self, arguments, self._post):
                    yield
                return
            team = _team(self.size)
            with ExitStack() as failure:
                failure.callback(team.end)
                try:
                    with _group(self, arguments, team.call_in(job)):
                        try:
                            yield
                        except RuntimeError as error:
                            team.find_culprit(error)
                            raise
                except Pruned:  # in all processes
                    team.let_go()
                    failure.pop_all()
                    raise
                team.let_go()
                failure.pop_all()

    # --- what Lightning asks --------------------------------------------------------------------------------

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "localhost"

    @property
    def main_port(self) -> int:
        return 0  # never used: the process group is there before Lightning asks for one

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.size

    def set_world_size(self, size: int) -> None:
        self.size = size

    def global_rank(self) -> int:
        return self.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing: it is known."""

    def local_rank(self) -> int:
        return self.rank

    def node_rank(self) -> int:
        return 0


def processes(arguments: dict[str, Any]) -> int:
    """How many processes the Trainer's arguments ask for; 0 if it can do without a process group.

    Puts the strategy that uses them into `arguments`.

    Raises:
        EvaluatorError: several devices with another strategy than DDP, or several machines.
    """
    given = arguments.get("strategy", "auto")
    if isinstance(given, str) and given.startswith("ddp"):
        if given not in StrategyRegistry:
            known = ", ".join(name for name in StrategyRegistry if name.startswith("ddp"))
            raise EvaluatorError(f"strategy is {given!r}; those of several processes are {known}")
        given = StrategyRegistry.get(given)
    if arguments["devices"] == 1 and not isinstance(given, DDPStrategy):
        return 0
    devices = {name: arguments[name] for name in ("accelerator", "devices") if name in arguments}
    count: int = pl.Trainer(**devices, logger=False, enable_checkpointing=False, barebones=True).num_devices
    if count == 1 and not isinstance(given, DDPStrategy):
        return 0
    if given == "auto":
        given = DDPStrategy()
    if not isinstance(given, DDPStrategy) or arguments.get("num_nodes", 1) != 1:
        raise EvaluatorError(
            f"strategy is {arguments.get('strategy', 'auto')!r} on {count} devices of "
            f"{arguments.get('num_nodes', 1)} machines; a trial on several devices trains with strategy='ddp' or its "
            "variants, on one machine"
        )
    given._configure_launcher = lambda: None  # type: ignore[method-assign]
    arguments["strategy"] = given
    return count


class _Team:
    """The first process's side of the others."""

    def __init__(self, size: int) -> None:
        self.size, self.owner, self._number = size, os.getpid(), -1
        self._folder = Path(tempfile.mkdtemp(prefix="lanista-ranks-"))
        self._post = Post(self._folder, 0)
        root = str(Path(lanista.__file__).resolve().parents[1])
        path = [str(Path.cwd() / entry) for entry in sys.path]
        setup = {"path": path if root in path else [*path, root], "argv": sys.argv}
        self._others: dict[int, subprocess.Popen[bytes]] = {}
        for rank in range(1, size):
            text = json.dumps({**setup, "main": (str(self._folder), rank, size, os.getpid())})
            self._others[rank] = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-c", BOOT, text], stdin=subprocess.DEVNULL
            )

    @property
    def whole(self) -> bool:
        """Whether all others are alive."""
        return bool(self._others) and all(process.poll() is None for process in self._others.values())

    def call_in(self, job: Callable[[bool], bytes]) -> Post:
        """Give the others a job, and wait until they are ready to connect."""
        self._number += 1
        self._post = post = Post(self._folder, self._number)
        post.leave("job", job(self._number > 0))
        self._wait_for("ready")
        post.file("job").unlink()
        return post

    def let_go(self) -> None:
        """Wait until the others are done with the job; they stay. Ends them if that takes too long."""
        if not self._wait_for("done", FAREWELL):
            self.end()

    def find_culprit(self, error: RuntimeError) -> None:
        """Raise the error of another process if that is why ours lost its connection."""
        end = time.monotonic() + GRACE
        while time.monotonic() < end:  # while our side of the connection is up: the others fail without it
            self._check(error)
            time.sleep(TICK)

    def end(self) -> None:
        """Kill the others, if they are there."""
        for process in self._others.values():
            process.kill()
            process.wait()
        self._others.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_for(self, what: str, seconds: float = float("inf")) -> bool:
        end = time.monotonic() + seconds
        while not all(self._post.file(what, rank).exists() for rank in self._others):
            self._check()
            if time.monotonic() > end:
                return False
            time.sleep(TICK)
        return True

    def _check(self, cause: BaseException | None = None) -> None:
        """Raise the error of the process that failed first, if any did: those after it only lost their connection."""
        failed = [(rank, process) for rank, process in self._others.items() if process.poll() is not None]
        if not failed:
            return
        rank, process = min(failed, key=lambda entry: self._failed_at(entry[0]))
        error = self._post.file("error", rank)
        text = error.read_text("utf-8") if error.exists() else f"it ended with exit code {process.returncode}"
        raise EvaluatorError(f"process {rank} of {self.size} (counted from 0) failed:\n{text}") from cause

    def _failed_at(self, rank: int) -> int:
        """When it left its error, by the file system's clock; 0 if it left none, as one that was killed."""
        error = self._post.file("error", rank)
        return error.stat().st_mtime_ns if error.exists() else 0


_teams: list[_Team] = []
"""The processes that wait for the next trial: at most one team."""


def _team(size: int) -> _Team:
    """The team that is there, or a new one if it is of another size, broken, or a parent process's."""
    if _teams and _teams[0].owner != os.getpid():
        _teams.clear()
    if _teams and not (_teams[0].size == size and _teams[0].whole):
        _teams.pop().end()
    if not _teams:
        _teams.append(_Team(size))
    return _teams[0]


@atexit.register
def _end() -> None:
    for team in _teams:
        if team.owner == os.getpid():
            team.end()


@contextmanager
def _group(ranks: Ranks, arguments: dict[str, Any], post: Post) -> Iterator[None]:
    """The process group. They meet in a file: a port that was free a moment ago may be taken."""
    threads = torch.get_num_threads()
    cuda = arguments.get("accelerator", "auto") in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    distributed.init_process_group(
        arguments["strategy"].process_group_backend or ("nccl" if cuda else "gloo"),
        init_method=post.file("store").resolve().as_uri(),
        rank=ranks.rank,
        world_size=ranks.size,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()
        torch.set_num_threads(threads)


def _threads(size: int) -> str:
    return os.environ.get("OMP_NUM_THREADS") or str(max(1, torch.get_num_threads() // size))


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    earlier = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in earlier.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
