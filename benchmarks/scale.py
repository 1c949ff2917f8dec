"""How storage and command line bear 100,000 trials. Prints one JSON line for each figure.

    python benchmarks/scale.py [--trials N] [--keep FILE]

The trials go through `Experiment.run`, its strategy and its storage; only their evaluation costs nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from figure import emit
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, Trial, choice, integer, real
from lanista.executor import Executor, Finished, Listener, Outcome, Started, Work
from lanista.nn import LayerChoice
from lanista.storage import Storage
from lanista.strategy import Random
from lanista.trial import State

SHARES = {"small": 0.005, "medium": 0.05, "big": 1.0}
"""The experiments in the file, and their trials as shares of what was asked for."""

CHECKPOINTS = (0.1, 0.25, 0.5, 1.0)
REPEATS = 5


def network() -> nn.Module:
    """Asks 18 questions, some of them within others' answers."""
    for block in range(5):
        choice([16, 32, 64, 128], label=f"block {block}/width")
        choice([3, 5, 7], label=f"block {block}/kernel")
        LayerChoice(
            {
                "conv": nn.Identity,
                "attention": lambda b=block: nn.Identity(choice([2, 4, 8], label=f"block {b}/heads")),  # type: ignore[misc]
            },
            label=f"block {block}/operation",
        )
    for label in ("activation", "norm", "pool"):
        choice(["first", "second", "third"], label=label)
    return nn.Identity()


def evaluator() -> FunctionalEvaluator:
    """Asks two more; is never called."""
    real(1e-4, 1e-1, log=True, label="learning rate")
    integer(1, 1000, label="warm-up")
    return FunctionalEvaluator(lambda model: {})


class Instant(Executor):
    """Ends each trial at once, with two metrics that depend on its seed."""

    slots = 1

    def start(self, work: Work, listener: Listener, logs: Path) -> None:
        """As the contract says."""
        self._listener = listener

    def submit(self, trial: Trial) -> None:
        """As the contract says."""
        self._trial: Trial | None = trial

    def wait(self, timeout: float | None = None) -> None:
        """As the contract says."""
        trial, self._trial = self._trial, None
        if trial is not None:
            metrics = {"accuracy": math.sin(trial.seed) / 2 + 0.5, "latency": float(trial.seed % 9973) / 7}
            self._listener(Started(trial.number, 1, None))
            self._listener(Finished(trial.number, Outcome(State.COMPLETED, metrics), 1))

    def stop(self) -> None:
        """As the contract says."""
        self._trial = None


def run(file: Path, name: str, trials: int) -> float:
    """Run an experiment until it has so many trials, and give the seconds."""
    experiment = Experiment(
        ModelSpace(network),
        evaluator,
        Random(),
        objectives={"accuracy": "maximize", "latency": "minimize"},
        name=name,
        storage=file,
        executor=Instant(),
    )
    began = time.perf_counter()
    experiment.run(max_trials=trials)
    seconds = time.perf_counter() - began
    experiment.storage.close()
    return seconds


def write(file: Path, trials: int) -> None:
    """Fill the file; its size must grow with the trials, and no faster."""
    total, rates = 0, []
    for name, share in SHARES.items():
        ends = [share] if name != "big" else CHECKPOINTS
        count = 0
        for end in ends:
            before, count = count, round(end * trials)
            seconds = run(file, name, count)
            total += count - before
            rates.append(file.stat().st_size / total)
            emit(
                f"file at {name} {count}", file.stat().st_size / 2**20, "MiB", "linear",
                trials=total, bytes_per_trial=round(rates[-1]), seconds=round(seconds, 1),
            )  # fmt: skip
    growth = rates[-1] / rates[-len(CHECKPOINTS)]
    emit(
        "growth of the file",
        growth,
        "x bytes per trial",
        "<= 1.1",
        first=CHECKPOINTS[0],
        last=CHECKPOINTS[-1],
    )


def replay(file: Path, trials: int) -> None:
    """Resume an experiment that has ended: nothing is done but replay."""
    seconds = run(file, "big", trials)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    emit(
        "resume",
        seconds,
        "s",
        "",
        trials=trials,
        trials_per_second=round(trials / seconds),
        peak_mib=round(peak),
    )


def commands(file: Path, trials: int) -> None:
    """Wall time of the command line, each time in a process of its own."""
    for limit, *command in (
        ("the floor", "--help"),
        ("< 1", "list"),
        ("< 1", "top", "big"),
        ("< 1", "show", "big"),
        ("< 1", "show", "big", str(trials // 2)),
        ("< 1", "trials", "big"),
    ):
        where = [] if command[-1] == "--help" else ["--storage", str(file)]
        wall, processor = [], []
        for _ in range(REPEATS):
            before, began = processor_seconds(), time.perf_counter()
            whole = [sys.executable, "-m", "lanista.cli", *command, *where]
            subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
            wall.append(time.perf_counter() - began)
            processor.append(processor_seconds() - before)
        least = round(min(processor), 4)
        emit(f"lanista {' '.join(command)}", statistics.median(wall), "s", limit, least_processor_seconds=least)


def processor_seconds() -> float:
    """What the processes that ended have used, which says more than time on a busy machine."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000, help="of the big experiment (default 100,000)")
    parser.add_argument("--keep", type=Path, help="where to keep the file; one that is there is not made anew")
    options = parser.parse_args()
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    with tempfile.TemporaryDirectory() as folder:
        file = options.keep or Path(folder) / "scale.db"
        if not file.exists():
            write(file, options.trials)
        with Storage(file) as storage:
            print(json.dumps({"torch": torch.__version__, "storage": storage.engine, **machine}), flush=True)
        replay(file, options.trials)
        commands(file, options.trials)


if __name__ == "__main__":
    main()
