"""Kills searches and their workers with SIGKILL, and looks for what was lost. One JSON line for each figure.

    python benchmarks/kill.py [figure ...] [--kills N] [--trials N] [--seed N]

Exit code 1 when something was lost, done twice, or differs from a search that nobody killed. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from figure import emit
from sqlalchemy import Engine, Pool, event
from torch import Tensor, nn

from lanista import (
    Experiment,
    FunctionalEvaluator,
    InlineExecutor,
    ModelSpace,
    ProcessExecutor,
    Trial,
    choice,
)
from lanista.executor import Executor
from lanista.nn import LayerChoice
from lanista.space import Architecture, SearchSpace
from lanista.strategy import RegularizedEvolution
from lanista.strategy.base import Strategy
from lanista.trial import State

NAME = "killed"
PATIENCE = 60.0
"""Seconds for what ends by itself; no figure depends on it."""


# --- the search ---------------------------------------------------------------------------------------------


def network() -> nn.Module:
    """A small model with conditional decisions."""
    width = choice([4, 8, 12, 16, 24, 32], label="width")
    layers: list[nn.Module] = [nn.Linear(8, width)]
    for i in range(4):
        layers.append(
            LayerChoice(
                {
                    "skip": nn.Identity,
                    "tanh": nn.Tanh,
                    "linear": lambda i=i: nn.Linear(width, width, bias=choice([True, False], label=f"bias {i}")),  # type: ignore[misc]
                },
                label=f"layer {i}",
            )
        )
    return nn.Sequential(*layers)


def measure(model: nn.Module) -> dict[str, float]:
    """Depends on architecture and seed, and on nothing else."""
    with torch.no_grad():
        output: Tensor = model(torch.linspace(-1, 1, 32).reshape(4, 8))
    return {
        "loss": float((output - 1).square().mean()),
        "size": float(sum(p.numel() for p in model.parameters())),
    }


def curve(metrics: dict[str, float]) -> list[tuple[int, dict[str, float]]]:
    """What `evaluator` reports on the way to these metrics."""
    return [(step, {"loss": metrics["loss"] * (3 - step)}) for step in range(3)]


def evaluator(journal: Journal, seconds: float) -> FunctionalEvaluator:
    """Takes `seconds`, reports three times, and has its weights kept."""

    def evaluate(model: nn.Module, trial: Trial) -> dict[str, float]:
        journal.note("evaluate", trial.number)
        metrics = measure(model)
        for step, values in curve(metrics):
            time.sleep(seconds / 3)
            trial.report(values, step)
        journal.note("weights", trial.number)
        return metrics

    return FunctionalEvaluator(evaluate, keep_weights=True)


def experiment(file: Path, executor: Executor, seconds: float) -> Experiment:
    """The search in `file`; what happens to it is noted beside it."""
    journal = Journal(file.with_suffix(".journal"))
    return Experiment(
        ModelSpace(network),
        evaluator(journal, seconds),
        Noting(RegularizedEvolution(population_size=30, sample_size=6), journal),
        objectives={"loss": "minimize", "size": "minimize"},
        name=NAME,
        storage=file,
        executor=executor,
    )


def run(file: Path, workers: int, trials: int, seconds: float) -> None:
    """What a user's script does: start the search or go on with it. No workers: in this process."""
    search = experiment(file, ProcessExecutor(workers) if workers else InlineExecutor(), seconds)
    search.run(max_trials=trials)
    search.storage.close()


# --- what it was doing when it was killed -------------------------------------------------------------------


@dataclass(frozen=True)
class Note:
    """Process `pid` began `phase` at `time` (monotonic clock, seconds), for trial `number` or none (-1)."""

    time: float
    pid: int
    phase: str
    number: int


@dataclass
class Journal:
    """A file to which all processes of a search append what they begin to do."""

    file: Path
    phase: ClassVar[str] = ""

    def note(self, phase: str, number: int = -1) -> None:
        """Append one line, at once."""
        Journal.phase = phase
        line = f"{time.monotonic()} {os.getpid()} {phase} {number}\n".encode()
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line)
        os.close(descriptor)

    def read(self, since: float = 0.0) -> list[Note]:
        """All notes made after `since`, without a line that is cut off."""
        lines = self.file.read_text().split("\n")[:-1] if self.file.exists() else []
        notes = [Note(float(t), int(pid), phase, int(number)) for t, pid, phase, number in map(str.split, lines)]
        return [note for note in notes if note.time > since]


def evaluations(notes: list[Note]) -> list[Note]:
    """The notes of an evaluation's begin; those that go on with it after a report name no trial."""
    return [note for note in notes if note.phase == "evaluate" and note.number >= 0]


class Noting(Strategy):
    """Another strategy, with notes of when it is asked."""

    def __init__(self, inner: Strategy, journal: Journal) -> None:
        self._inner, self._journal = inner, journal

    def __repr__(self) -> str:
        return repr(self._inner)

    def reset(self, space: SearchSpace, seed: int) -> None:
        """As the inner one."""
        self._journal.note("replay")
        self._inner.reset(space, seed)

    def propose(self) -> Architecture:
        """As the inner one."""
        if self._journal.phase != "replay":
            self._journal.note("propose")
        return self._inner.propose()

    def observe(self, trial: Trial) -> None:
        """As the inner one."""
        self._inner.observe(trial)


def watch_transactions(journal: Journal) -> None:
    """Note that this process starts, and from then on its transactions."""
    journal.note("start")
    around = [""]

    @event.listens_for(Engine, "begin")
    def begin(_: object) -> None:
        around[0] = journal.phase
        journal.note("transaction")

    @event.listens_for(Engine, "commit")
    def commit(_: object) -> None:
        journal.note("commit")

    @event.listens_for(Pool, "checkin")
    def done(*_: object) -> None:
        if journal.phase in ("transaction", "commit"):
            # Within the evaluation a report is written; outside of it, the loop goes on.
            journal.note(around[0] if around[0] in ("start", "replay", "evaluate") else "loop")


# --- what must be true afterwards ---------------------------------------------------------------------------


def told(search: Experiment) -> list[object]:
    """All that the search found, without times."""
    return [
        (
            t.number,
            t.architecture,
            t.seed,
            t.state,
            t.metrics,
            search.curve(t),
            t.weights is not None and weights(t),
        )
        for t in search.trials
    ]


def weights(trial: Trial) -> bytes:
    """The kept weights; an error if they are not there."""
    return Path(str(trial.weights)).read_bytes()


def faults(search: Experiment, trials: int) -> list[str]:
    """What is wrong with a search that has ended and should have `trials` completed trials."""
    storage, wrong = search.storage, []
    record = storage.find(NAME)
    assert record is not None
    stored = search.trials
    if [trial.number for trial in stored] != list(range(trials)):
        wrong.append(f"lost or double: there are {len(stored)} trials of {trials}")
    for trial in stored:
        if trial.state is not State.COMPLETED:
            wrong.append(f"trial {trial.number} is {trial.state}: {trial.error}")
        elif trial.metrics != measure(search.build(trial)):
            wrong.append(f"trial {trial.number} has other metrics than its architecture and seed give")
        elif search.curve(trial) != curve(trial.metrics):
            wrong.append(f"trial {trial.number} has reports {search.curve(trial)}")
    kept = {str(trial.weights) for trial in stored if trial.weights}
    there = {str(file) for file in (storage.folder(NAME) / "weights").iterdir()}
    if kept != there:
        wrong.append(f"weights: {sorted(kept - there)} are missing, {sorted(there - kept)} are left over")
    events = [(entry.kind, entry.number) for entry in storage.events(record)]
    wrong += log_faults(events, trials)
    with closing(sqlite3.connect(storage.name)) as database:
        for check in ("integrity_check", "foreign_key_check"):
            answer = database.execute(f"PRAGMA {check}").fetchall()
            if answer not in ([("ok",)], []):
                wrong.append(f"{check}: {answer}")
    return wrong


def log_faults(events: list[tuple[str, int | None]], trials: int) -> list[str]:
    """Trials are proposed once, in order, perhaps started again, finished once; the last run has stopped."""
    wrong = []
    if [number for kind, number in events if kind == "proposed"] != list(range(trials)):
        wrong.append("log: the trials are not proposed in order, each once")
    for number in range(trials):
        kinds = [kind for kind, of in events if of == number]
        if kinds[:1] != ["proposed"] or kinds[-1:] != ["finished"] or {*kinds[1:-1]} - {"started"}:
            wrong.append(f"log: trial {number} has {kinds}")
    if events[-1][0] != "stop":
        wrong.append(f"log: the last entry is {events[-1]}")
    return wrong


def alive(pid: int) -> bool:
    """Whether the process runs; a dead one that nobody collects does not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()
    return stat.rpartition(")")[2].split()[0] != "Z"


# --- killing ------------------------------------------------------------------------------------------------


@dataclass
class Lives:
    """A search that is killed again and again, each time after a random time.

    A third of the times falls within the start, replay included; the others are so long after it that the
    search gets on by an equal share of the trials from life to life, on average.
    """

    begin: Callable[[Path], int]
    file: Path
    trials: int
    pace: float
    startup: float
    draw: random.Random

    def kill(self, kills: int) -> Iterator[list[Note]]:
        """Kill it so many times, unless it ends before; yields what it noted in each life."""
        journal, done = Journal(self.file.with_suffix(".journal")), 0
        for left in range(kills, 0, -1):
            began = time.monotonic()
            pid = self.begin(self.file)
            rest = (self.trials - done) * self.pace
            wait = self.startup * self.draw.random()
            if self.draw.random() > 1 / 3:
                wait = self.startup + min(3 * rest / (left + 1) * self.draw.random(), 0.8 * rest)
            time.sleep(max(0.0, began + wait - time.monotonic()))
            os.kill(pid, signal.SIGKILL)
            if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != -signal.SIGKILL:
                return
            notes = journal.read(began)
            yield notes
            if begun := evaluations(notes):
                self.startup = begun[0].time - began
                done = max(note.number for note in begun)

    def finish(self) -> None:
        """Let it run to its end."""
        status = os.waitpid(self.begin(self.file), 0)[1]
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"the search in {self.file} failed with status {status}")


def timed(begin: Callable[[Path], int], file: Path, trials: int) -> tuple[float, float]:
    """Let a search run undisturbed; seconds for a trial, and until the first one begins."""
    began = time.monotonic()
    Lives(begin, file, trials, 0, 0, random.Random()).finish()
    first = evaluations(Journal(file.with_suffix(".journal")).read())[0].time
    return (time.monotonic() - first) / trials, first - began


def killed(name: str, begin: Callable[[Path], int], options: argparse.Namespace, kills: int) -> bool:
    """Kill a search of one slot; it must become the one that nobody killed."""
    with folder() as there:
        whole, file = there / "whole.db", there / "killed.db"
        lives = Lives(begin, file, options.trials, *timed(begin, whole, options.trials), options.draw)
        phases = Counter((notes[-1].phase if notes else "start") for notes in lives.kill(kills))
        lives.finish()
        searches = [experiment(each, InlineExecutor(), 0) for each in (whole, file)]
        wrong = [fault for search in searches for fault in faults(search, options.trials)]
        equal = told(searches[0]) == told(searches[1])
        begun = evaluations(Journal(file.with_suffix(".journal")).read())
        for search in searches:
            search.storage.close()
    count = sum(phases.values())
    emit(
        name, count, "kills", f"{kills}, equal, no faults",
        trials=options.trials, evaluations=len(begun), equal=equal, faults=wrong,
        phases=dict(phases.most_common()),
    )  # fmt: skip
    return equal and not wrong and count == kills


def fork(options: argparse.Namespace) -> bool:
    """Kills at random moments of a search in one process, which is forked from this one."""
    with folder() as there:
        run(there / "warm.db", 0, 2, 0)  # what starts slowly has started before the forks

    def begin(file: Path) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            watch_transactions(Journal(file.with_suffix(".journal")))
            run(file, 0, options.trials, 0.004)
            code = 0
        finally:  # the child must never come back to what its parent does
            if code:
                traceback.print_exc()
            os._exit(code)

    return killed("main process, forked", begin, options, options.kills or 50)


def command(file: Path, workers: int, trials: int, seconds: float) -> int:
    """Start this file as a user starts a script."""
    child = [str(file), str(workers), str(trials), str(seconds)]
    process = subprocess.Popen([sys.executable, __file__, "--child", *child])
    process.returncode = 0  # we wait for it ourselves
    return process.pid


def script(options: argparse.Namespace) -> bool:
    """The same with `python script.py`, a few times."""
    return killed(
        "main process, script",
        lambda file: command(file, 0, options.trials, 0.004),
        options,
        options.kills or 5,
    )


def processes(options: argparse.Namespace) -> bool:
    """Kills of a script whose trials run in two workers: these vanish, and the search completes."""
    kills = options.kills or 5

    def begin(file: Path) -> int:
        return command(file, 2, options.trials, 0.02)

    with folder() as there:
        file = there / "killed.db"
        lives = Lives(begin, file, options.trials, *timed(begin, there / "whole.db", options.trials), options.draw)
        count, workers, vanished = 0, set[int](), 0.0
        for notes in lives.kill(kills):
            died = time.monotonic()
            served = {note.pid for note in evaluations(notes)}
            while any(map(alive, served)) and time.monotonic() < died + PATIENCE:
                time.sleep(0.01)
            vanished = max(vanished, time.monotonic() - died)
            count, workers = count + 1, workers | served
        lives.finish()
        search = experiment(file, InlineExecutor(), 0)
        wrong = faults(search, options.trials)
        search.storage.close()
    left = sum(map(alive, workers))
    emit(
        "main process of 2 workers", count, "kills", f"{kills}, no worker left, no faults",
        trials=options.trials, workers=len(workers), workers_left=left,
        vanished_seconds=round(vanished, 2), faults=wrong,
    )  # fmt: skip
    return not wrong and not left and count == kills


def workers(options: argparse.Namespace) -> bool:
    """Kills of workers at random while they are at work: the main process goes on."""
    kills = options.kills or 30
    with folder() as there:
        file = there / "killed.db"
        search = experiment(file, ProcessExecutor(2, retries=kills), 0.02)
        journal = Journal(file.with_suffix(".journal"))
        moments = sorted(options.draw.sample(range(options.trials), kills))
        victims: list[int] = []
        over = threading.Event()

        def slay() -> None:
            while len(victims) < kills and not over.wait(options.draw.uniform(0.001, 0.02)):
                notes = evaluations(journal.read())
                if max([-1, *(note.number for note in notes)]) >= moments[len(victims)]:
                    ready = sorted({note.pid for note in notes} - {*victims})
                    if ready:
                        victims.append(options.draw.choice(ready))
                        os.kill(victims[-1], signal.SIGKILL)

        killer = threading.Thread(target=slay)
        killer.start()
        try:
            search.run(max_trials=options.trials)
        finally:
            over.set()
            killer.join()
        wrong = faults(search, options.trials)
        attempts = sum(trial.attempts for trial in search.trials)
        most = max(trial.attempts for trial in search.trials)
        search.storage.close()
    emit(
        "workers", len(victims), "kills", f"{kills}, no faults",
        trials=options.trials, attempts=attempts, most_attempts_of_a_trial=most, faults=wrong,
    )  # fmt: skip
    return not wrong and len(victims) == kills


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is there while it is used."""
    with tempfile.TemporaryDirectory(prefix="lanista-kill-") as name:
        yield Path(name)


FIGURES = {f.__name__: f for f in (fork, script, processes, workers)}


def main() -> int:
    """Run the figures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []], metavar="figure", help=", ".join(FIGURES))
    parser.add_argument("--kills", type=int, help="default: 50 forked, 5 scripts, 5 with workers, 30 workers")
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    options.draw = random.Random(options.seed)
    print(json.dumps({"torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}))
    passed = [FIGURES[name](options) for name in options.figures or FIGURES]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--child"]:
        where, *numbers = sys.argv[2:]
        watch_transactions(Journal(Path(where).with_suffix(".journal")))
        run(Path(where), int(numbers[0]), int(numbers[1]), float(numbers[2]))
    else:
        sys.exit(main())
