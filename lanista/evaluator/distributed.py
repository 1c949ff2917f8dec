"""`Ranks`: the processes that train one model together, each on a device.

The first is the trial's own process. It starts the others itself, as Lightning would run the user's script again
for each of them, or fork a process that may have threads and locks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import distributed

import lanista
from lanista.errors import EvaluatorError
from lanista.evaluator.framework import pl

TICK = 0.02
"""Seconds between two looks at whether the processes are ready."""

GRACE = 2.0
"""Seconds that a process gets to end, or to leave its error, after another one has found the connection broken."""

JOB, STORE = "job", "store"

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


class Ranks(ClusterEnvironment):
    """What tells Lightning that the processes exist already, and which one this is.

    Args:
        rank: of this process, from 0.
        size: how many there are; the first process learns it later.
        folder: where they meet, on this machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, folder: Path | None = None) -> None:
        self.rank, self.size, self._folder = rank, size, folder

    @contextmanager
    def gathered(self, size: int, arguments: dict[str, Any], seed: int, job: Callable[[], bytes]) -> Iterator[None]:
        """In this block the processes are connected, if there are several; the first one starts and ends the others.

        Args:
            size: number of processes; 0: this one trains as Lightning does without us.
            arguments: of the Trainer; we add what makes it use the processes.
            seed: of the trial, for the samplers that deal out the data.
            job: what the others get: pickled `(training, build, model, trial)`.

        Raises:
            EvaluatorError: another process failed; the message has its error.
        """
        if not size:
            yield
            return
        if distributed.is_initialized():
            raise EvaluatorError(
                "torch.distributed is initialized in this process already; end that first, as a trial on several "
                "devices makes a process group of its own: torch.distributed.destroy_process_group()"
            )
        self.size = size
        arguments["plugins"] = [*arguments["plugins"], self]
        share = str(max(1, torch.get_num_threads() // size))
        with _environment(PL_GLOBAL_SEED=str(seed), OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", share)):
            if self.rank:
                assert self._folder is not None
                with _group(self, arguments, self._folder):
                    yield
                return
            folder = Path(tempfile.mkdtemp(prefix="lanista-ranks-"))
            others: list[_Other] = []
            try:
                (folder / JOB).write_bytes(job())
                others += [_Other(rank, size, folder) for rank in range(1, size)]
                while not all(other.ready for other in others):
                    _check(others)
                    time.sleep(TICK)
                yield from _guarded(self, arguments, folder, others)
            finally:
                for other in others:
                    other.end()
                shutil.rmtree(folder, ignore_errors=True)

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


def processes(arguments: dict[str, Any], ranks: Ranks) -> int:
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


class _Other:
    """The first process's side of another one."""

    def __init__(self, rank: int, size: int, folder: Path) -> None:
        self._rank, self._size = rank, size
        self._ready, self._error = folder / f"{rank}.ready", folder / f"{rank}.error"
        root = str(Path(lanista.__file__).resolve().parents[1])
        path = [str(Path.cwd() / entry) for entry in sys.path]
        setup = {
            "path": path if root in path else [*path, root],
            "argv": sys.argv,
            "main": (str(folder), rank, size, os.getpid()),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", "-c", BOOT, json.dumps(setup)], stdin=subprocess.DEVNULL
        )

    @property
    def ready(self) -> bool:
        return self._ready.exists()

    @property
    def failed(self) -> float | None:
        """When it failed, in seconds of the file system's clock: 0 if it left no error; None if it did not fail."""
        if not self._process.poll():
            return None
        return self._error.stat().st_mtime if self._error.exists() else 0.0

    @property
    def failure(self) -> EvaluatorError:
        """Its error, once it has failed."""
        code = self._process.returncode
        text = self._error.read_text("utf-8") if self._error.exists() else f"it ended with exit code {code}"
        return EvaluatorError(f"process {self._rank} of {self._size} (counted from 0) failed:\n{text}")

    def wait(self, seconds: float) -> None:
        """Wait for its end, for so long."""
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:
            time.sleep(TICK)

    def end(self) -> None:
        """Kill it, if it is there."""
        self._process.kill()
        self._process.wait()


def _guarded(ranks: Ranks, arguments: dict[str, Any], folder: Path, others: list[_Other]) -> Iterator[None]:
    """Be the first process; where its connection breaks, raise the error of the process that broke it."""
    with _group(ranks, arguments, folder):
        try:
            yield
        except RuntimeError as error:
            end = time.monotonic() + GRACE
            while time.monotonic() < end:  # while our side of the connection is up: the others fail without it
                _check(others, error)
                time.sleep(TICK)
            raise
        for other in others:
            other.wait(GRACE)
        _check(others)


def _check(others: list[_Other], cause: BaseException | None = None) -> None:
    """Raise the error of the one that failed first, if any did: those after it only lost their connection."""
    failed = [(other.failed, other) for other in others if other.failed is not None]
    if failed:
        raise min(failed, key=lambda entry: entry[0] or 0.0)[1].failure from cause


@contextmanager
def _group(ranks: Ranks, arguments: dict[str, Any], folder: Path) -> Iterator[None]:
    """The process group. They meet in a file: a port that was free a moment ago may be taken."""
    strategy, threads = arguments["strategy"], torch.get_num_threads()
    cuda = arguments.get("accelerator", "auto") in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    distributed.init_process_group(
        strategy.process_group_backend or ("nccl" if cuda else "gloo"),
        init_method=(folder / STORE).resolve().as_uri(),
        rank=ranks.rank,
        world_size=ranks.size,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()
        torch.set_num_threads(threads)


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
