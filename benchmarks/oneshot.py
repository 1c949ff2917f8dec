"""What a training step of each one-shot method costs, beside a loop that is written by hand for that method.

    python benchmarks/oneshot.py [method ...] [--width 16] [--cells 5] [--batch 64] [--rounds 15]

On NAS-Bench-201, on the CPU with two threads (OMP_NUM_THREADS; with one, it is processor time that is measured). Both
loops (`handwritten.py` has the others) are run in turn in one process, on the same images, and what ours has drawn is
run by the other one too, so that both compute the same operations; a ratio is the median over the rounds, with the
quartiles. Peak memory is that of a process of its own, less what it had before the first step; all but small tensors
are given back to the system when they are freed (MALLOC_MMAP_THRESHOLD_), or else gaps between them would count, which
grow with the number of different paths in both loops. Without arguments, the size is that of the benchmark.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")  # before torch
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**18))  # of the processes whose memory is measured

import memory
import torch
from figure import emit
from handwritten import CONV3, EDGES, LOOPS, OPTIONS, Batch, Draws, Loop, Plain
from supernets import loss, methods
from torch import nn

from lanista.hub import NASBench201
from lanista.hub.nasbench201 import OPERATIONS
from lanista.oneshot import Method, Supernet
from lanista.space.domain import Architecture

OVERHEAD, BOUND, PATHS, MIXED = 1.15, 1.03, 1.25, 1.1
"""The most that is allowed: time of a step, of a step of a bound path, memory of single paths beside one architecture,
and of all options beside the same by hand."""
FEWER = 3
"""Steps of all options take so much longer that there are so many times fewer rounds."""
STEPS = 3
"""After which peak memory is read."""

Size = tuple[int, int, int]
"""Width, cells, batch."""


def images(size: Size, seed: int = 0) -> Batch:
    """A batch of noise: what is in it does not matter for the time."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size[2], 3, 32, 32, generator=generator), torch.randint(0, 10, (size[2],), generator=generator)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of all loops."""
    return torch.optim.SGD(model.parameters(), 0.025, momentum=0.9)


class Ours:
    """A method of lanista, and what its last step ran."""

    def __init__(self, name: str, size: Size, steps: int) -> None:
        self.supernet = Supernet(NASBench201(*size[:2]))
        self.optimizer = sgd(self.supernet)
        self.method: Method = methods()[name]()
        self.method.start(self.supernet, steps=steps)
        self.ran: list[Draws] = []
        for verb in ("mix", "select"):
            setattr(self.method.network, verb, self._noting(getattr(self.method.network, verb)))

    def step(self, train: Batch, valid: Batch) -> None:
        """One step."""
        self.ran.clear()
        self.method.step(train, valid, loss=loss, optimizer=self.optimizer)

    def _noting(self, act: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def noting(*arguments: Any) -> nn.Module:
            model = act(*arguments)
            mixtures = [relaxation.mixture for relaxation in self.method.network.relaxations.values()]
            if all(mixture is not None and mixture.runs is not None for mixture in mixtures):
                self.ran.append([[*m.runs[0], *(m.watched[0] if m.watched else ())] for m in mixtures])
            return model

        return noting


def ratio(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """The median of the ratios, their quartiles, and both medians in milliseconds."""
    ratios = [ours / other for ours, other in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    ours, other = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "value": statistics.median(ratios), "low": low, "high": high, "milliseconds": ours, "by_hand": other,
        "rounds": len(pairs),
    }  # fmt: skip


def timed(act: Callable[[], Any]) -> float:
    """Seconds; of processor time, where there is one thread only: others may use the machine then."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    act()
    return clock() - began


def step(name: str, size: Size, rounds: int) -> None:
    """A step of a method beside one by hand."""
    ours, loop = Ours(name, size, rounds + 1), LOOPS[name](*size[:2], rounds + 1)
    train, valid = images(size), images(size, 1)
    pairs: list[tuple[float, float]] = []
    while len(pairs) <= (rounds if ours.ran else max(2, rounds // FEWER)):  # the first pair does not count
        mine = timed(lambda: ours.step(train, valid))
        loop.replay = list(ours.ran)
        pairs.append((mine, timed(lambda: loop.step(train, valid))))
        if loop.replay:
            raise RuntimeError(f"{name}: the loop by hand makes {len(loop.replay)} passes less")
    found = ratio(pairs[1:])
    emit(f"step of {name}", found.pop("value"), "x by hand", f"<= {OVERHEAD}", **rounded(found))


def binding(size: Size, rounds: int) -> None:
    """A step of a path beside a step of the same architecture alone, by each way to a path."""
    supernet = Supernet(NASBench201(*size[:2]))
    ours = Ours("SPOS", size, rounds)
    train, space = images(size), supernet.space.decisions
    for way, get in (
        ("selected in the network", ours.method.network.sub),
        ("built and bound anew", ours.supernet.path),
    ):
        pairs, bound = [], []
        for number in range(rounds + 1):
            indices = [(number + edge) % OPTIONS for edge in range(EDGES)]
            names = list(OPERATIONS)
            architecture = space.validate({label: names[i] for label, i in zip(space.labels, indices, strict=True)})
            plain = Plain(*size[:2], indices)
            optimizer = sgd(plain)

            def mine(architecture: Architecture = architecture, get: Any = get) -> None:
                learn(get(architecture), ours.optimizer, train)

            def alone(plain: nn.Module = plain, optimizer: Any = optimizer) -> None:
                learn(plain, optimizer, train)

            alone()  # momentum is there
            acts = (mine, alone) if number % 2 else (alone, mine)
            seconds = {act: timed(act) for act in acts}
            pairs.append((seconds[mine], seconds[alone]))
            built = timed(lambda architecture=architecture: supernet.space.build(architecture))  # type: ignore[misc]
            bound.append((seconds[mine] - built, seconds[alone]))
        told = {f"step of a path {way}": pairs}
        if get == ours.supernet.path:
            told["step of a path bound anew, less building the plain model"] = bound
        for name, times in told.items():
            found = ratio(times[1:])
            emit(name, found.pop("value"), "x the architecture alone", f"<= {BOUND}", **rounded(found))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """A step of the weights."""
    optimizer.zero_grad()
    loss(model, batch).backward()
    optimizer.step()


# --- memory -----------------------------------------------------------------------------------------------


def measure(kind: str, name: str, size: Size, found: Any) -> None:
    """Puts the peak memory of some steps on a queue, less what there was before; in a process of its own."""
    train, valid = images(size), images(size, 1)
    before = memory.now()
    if kind == "ours":
        ours = Ours(name, size, STEPS)
        act: Callable[[], object] = lambda: ours.step(train, valid)  # noqa: E731
    elif kind == "by hand":
        loop: Loop = LOOPS[name](*size[:2], STEPS)
        act = lambda: loop.step(train, valid)  # noqa: E731
    else:
        plain = Plain(*size[:2], [CONV3] * EDGES)
        optimizer = sgd(plain)
        act = lambda: learn(plain, optimizer, train)  # noqa: E731
    memory.forget()
    for _ in range(STEPS):
        act()
    found.put((memory.peak() - before, kind != "ours" or bool(ours.ran)))


def peak(kind: str, name: str, size: Size) -> tuple[float, bool]:
    """Peak memory in MiB, and whether options were drawn."""
    context = multiprocessing.get_context("spawn")
    found = context.SimpleQueue()
    process = context.Process(target=measure, args=(kind, name, size, found))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{kind} {name} failed; its traceback was printed")
    told: tuple[float, bool] = found.get()
    return told


def memories(names: list[str], size: Size) -> None:
    """Of each method: beside one architecture where it runs one at a time, else beside the same by hand."""
    alone, _ = peak("alone", "", size)
    for name in names:
        mine, draws = peak("ours", name, size)
        told = {"mib": round(mine), "one_architecture_mib": round(alone)}
        if draws:
            emit(f"peak memory of {name}", mine / alone, "x one architecture (all 3x3)", f"<= {PATHS}", **told)
        else:
            other, _ = peak("by hand", name, size)
            emit(f"peak memory of {name}", mine / other, "x by hand", f"<= {MIXED}", **told, by_hand_mib=round(other))


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """For people."""
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    """Print the figures of what the command line names."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("methods", nargs="*", metavar="method", help=f"default: all of {', '.join(methods())}")
    reader.add_argument("--width", type=int, default=16)
    reader.add_argument("--cells", type=int, default=5)
    reader.add_argument("--batch", type=int, default=64)
    reader.add_argument("--rounds", type=int, default=15)
    given = reader.parse_args()
    unknown = set(given.methods) - set(methods())
    if unknown:
        reader.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(methods())}")
    size = (given.width, given.cells, given.batch)
    names = given.methods or list(methods())
    lacking = [name for name in names if name not in LOOPS]
    for name in lacking:
        print(f"{name} has no loop in handwritten.py", flush=True)
    names = [name for name in names if name in LOOPS]
    binding(size, given.rounds)
    for name in names:
        step(name, size, given.rounds)
    memories(names, size)


if __name__ == "__main__":
    main()
