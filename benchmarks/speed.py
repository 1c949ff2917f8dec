"""Speed of the parts that a search waits for. Prints one JSON line for each figure.

    python benchmarks/speed.py [name ...]

Ratios are taken inside one run, alternating, because machines are noisy; rates are what this machine did.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random as Generator

import torch
from figure import emit
from torch import Tensor, nn

from lanista import Experiment, FunctionalEvaluator, InlineExecutor, ModelSpace, ProcessExecutor, Trial, choice
from lanista.executor import Event, Executor, Finished, Listener, Work
from lanista.hub import known
from lanista.hub.nds import Adapter
from lanista.hub.operation import OPERATIONS as OPERATIONS_OF
from lanista.nn import LayerChoice
from lanista.space import Categorical, SearchSpace
from lanista.strategy import Random

OPERATIONS = ("none", "skip", "conv1", "conv3", "pool")
EDGES = [(source, target) for target in range(1, 4) for source in range(target)]


# --- a network like those of NAS-Bench-201: 15 cells of 6 edges with 5 operations, width 16 ----------------


class Zero(nn.Module):
    """All zeros."""

    def forward(self, x: Tensor) -> Tensor:
        """The shape stays."""
        return x * 0


def operation(name: str, width: int) -> nn.Module:
    """One operation of an edge."""
    if name in ("conv1", "conv3"):
        kernel = int(name[-1])
        return nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(width)
        )
    return {"none": Zero, "skip": nn.Identity, "pool": lambda: nn.AvgPool2d(3, 1, 1)}[name]()


class Cell(nn.Module):
    """Four nodes, each the sum of the operations on the edges that lead to it."""

    def __init__(self, edge: Callable[[int, int], nn.Module], width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {f"{source}{target}": edge(index, width) for index, (source, target) in enumerate(EDGES)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same."""
        nodes = [x]
        for target in range(1, 4):
            nodes.append(sum(self.edges[f"{source}{target}"](nodes[source]) for source in range(target)))  # type: ignore[arg-type]
        return nodes[-1]


class Network(nn.Module):
    """Three stages of five cells."""

    def __init__(self, edge: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        layers: list[nn.Module] = []
        for width in (16, 32, 64):
            if layers:
                layers.append(nn.Conv2d(width // 2, width, 3, stride=2, padding=1))
            layers += [Cell(edge, width) for _ in range(5)]
        self.cells = nn.Sequential(*layers)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        return self.head(self.cells(self.stem(x)).mean((2, 3)))


def asked(index: int, width: int) -> nn.Module:
    """The operation on an edge, shared by all cells."""
    return LayerChoice({name: lambda name=name: operation(name, width) for name in OPERATIONS}, label=f"edge {index}")  # type: ignore[misc]


def build() -> None:
    """`ModelSpace.build` against writing the same model by hand."""
    space = ModelSpace(Network, asked)
    random = Generator(0)
    ratios, ours = [], []
    for i in range(60):
        architecture = space.sample(random)
        began = time.perf_counter()
        space.build(architecture)
        middle = time.perf_counter()
        Network(lambda index, width, a=architecture: operation(a[f"edge {index}"], width))  # type: ignore[misc]
        ended = time.perf_counter()
        if i >= 10:
            ratios.append((middle - began) / (ended - middle))
            ours.append(middle - began)
    emit(
        "build", statistics.median(ratios), "x by hand", "<= 1.3",
        milliseconds=round(1000 * statistics.median(ours), 2),
    )  # fmt: skip


# --- DARTS-V2 on CIFAR, 20 cells, as its authors would write it --------------------------------------------


class DartsCell(nn.Module):
    """Four nodes of two operations each; all nodes are put out."""

    def __init__(self, pairs: list[tuple[str, int]], channels: tuple[int, int], width: int, *flags: bool) -> None:
        super().__init__()
        reduce, reduced = flags
        self.adapter = Adapter(channels, width, reduce=reduced)
        self.sources = [source for _, source in pairs]
        self.ops = nn.ModuleList(
            OPERATIONS_OF[name](width, 2 if reduce and source < 2 else 1) for name, source in pairs
        )

    def forward(self, before: Tensor, x: Tensor) -> Tensor:
        """The outputs of the last two cells to (N, 4 * width, H, W)."""
        tensors = self.adapter([before, x])
        for i in range(0, len(self.ops), 2):
            one, other = (self.ops[k](tensors[self.sources[k]]) for k in (i, i + 1))
            tensors.append(one + other)
        return torch.cat(tensors[2:], 1)


class Darts(nn.Module):
    """20 cells, reductions at a third and two thirds."""

    def __init__(self, cells: dict[str, list[tuple[str, int]]], width: int = 36) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
        channels, reduced = (3 * width, 3 * width), False
        self.cells = nn.ModuleList()
        for index in range(20):
            reduce = index in (6, 13)
            width *= 2 if reduce else 1
            self.cells.append(DartsCell(cells["reduce" if reduce else "normal"], channels, width, reduce, reduced))
            channels, reduced = (channels[1], 4 * width), reduce
        self.classifier = nn.Linear(channels[1], 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits."""
        before = x = self.stem(x)
        for cell in self.cells:
            before, x = x, cell(before, x)
        return self.classifier(x.mean((2, 3)))


def darts() -> None:
    """`ModelSpace.build` of the hub's DARTS against writing the same network by hand; both have the same weights."""
    space, architecture = known("DARTS-V2")
    cells = {
        kind: [
            (str(architecture[f"{kind}/op_{node}_{k}"]), int(architecture[f"{kind}/input_{node}_{k}"]))
            for node in range(2, 6)
            for k in range(2)
        ]
        for kind in ("normal", "reduce")
    }
    count = sum(p.numel() for p in Darts(cells).parameters())
    assert count == sum(p.numel() for p in space.build(architecture).parameters())
    ratios, ours = [], []
    for i in range(25):
        began = time.perf_counter()
        space.build(architecture)
        middle = time.perf_counter()
        Darts(cells)
        ended = time.perf_counter()
        if i >= 5:
            ratios.append((middle - began) / (ended - middle))
            ours.append(middle - began)
    emit(
        "build DARTS", statistics.median(ratios), "x by hand", "<= 1.3",
        milliseconds=round(1000 * statistics.median(ours), 1), parameters=count,
    )  # fmt: skip


def sample() -> None:
    """Architectures a second from a space of 30 decisions, a third of them conditional."""
    flat = SearchSpace({f"decision {i}": Categorical(range(5)) for i in range(30)})

    def nested() -> nn.Module:
        for i in range(10):
            LayerChoice([nn.Identity, lambda i=i: nn.Identity(choice([1, 2, 3], label=f"inner {i}"))], label=f"a{i}")  # type: ignore[misc]
            choice([1, 2, 3], label=f"b{i}")
        return nn.Identity()

    for name, space in (("sample", flat), ("sample conditional", ModelSpace(nested).decisions)):
        random = Generator(0)
        began = time.perf_counter()
        for _ in range(50_000):
            space.sample(random)
        emit(name, 50_000 / (time.perf_counter() - began), "architectures/s", ">= 20000", decisions=len(space))


def small() -> nn.Module:
    """A model that costs nothing."""
    return nn.Linear(choice([1, 2, 3, 4], label="inputs"), choice([1, 2, 3, 4], label="outputs"))


def instant(model: nn.Module) -> float:
    """A score that costs nothing."""
    return 1.0


def trials() -> None:
    """Trials a second that return at once, all recorded in SQLite."""
    for name, executor, count, limit in (
        ("trials inline", InlineExecutor(), 4000, ">= 500"),
        ("trials with 2 processes", ProcessExecutor(2), 4000, ">= 200"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            rate, first = trial_rate(executor, Path(folder) / "speed.db", count)
        emit(name, rate, "trials/s", limit, trials=count, start_seconds=round(first, 2))


def trial_rate(executor: Executor, file: Path, count: int) -> tuple[float, float]:
    """Trials a second after the workers are up, and seconds until the first ones ended."""
    times: list[float] = []

    class Clocked(Executor):
        """Notes when trials end."""

        slots = executor.slots  # type: ignore[assignment]

        def start(self, work: Work, listener: Listener, logs: Path) -> None:
            """As the contract says."""

            def listen(event: Event) -> None:
                if isinstance(event, Finished):
                    times.append(time.perf_counter())
                listener(event)

            executor.start(work, listen, logs)

        def submit(self, trial: Trial) -> None:
            """As the contract says."""
            executor.submit(trial)

        def wait(self, timeout: float | None = None) -> None:
            """As the contract says."""
            executor.wait(timeout)

        def stop(self) -> None:
            """As the contract says."""
            executor.stop()

    experiment = Experiment(
        ModelSpace(small), FunctionalEvaluator(instant), Random(dedup=False), objectives="maximize", name="speed",
        storage=file, executor=Clocked(),
    )  # fmt: skip
    began = time.perf_counter()
    experiment.run(max_trials=count)
    experiment.storage.close()
    return (len(times) - 10) / (times[-1] - times[9]), times[9] - began


def imports() -> None:
    """Seconds that `import lanista` with all its public names takes beyond `import torch`."""
    names = "import lanista; [getattr(lanista, name) for name in lanista.__all__]"
    for name, code, limit in (("import", "import lanista", "<= 0.2"), ("import and load every name", names, "")):
        differences = []
        for _ in range(7):
            code_ = f"import torch, time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
            run = subprocess.run([sys.executable, "-c", code_], capture_output=True, text=True, check=True)
            differences.append(float(run.stdout))
        emit(name, statistics.median(differences), "s beyond torch", limit)


def memory() -> None:
    """Growth of the process while it makes a space of 1,000 candidates of 64 MiB of weights each."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    candidates = {f"{i}": lambda: nn.Linear(4096, 4096) for i in range(1000)}
    space = ModelSpace(lambda: LayerChoice(candidates, label="layer"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    emit(
        "memory of a space",
        grown,
        "MiB",
        "does not grow with weights",
        weights_mib=64_000,
        size=int(space.decisions.size),
    )


FIGURES = {f.__name__: f for f in (build, darts, sample, trials, imports, memory)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or list(FIGURES)

    for figure in chosen:
        FIGURES[figure]()
