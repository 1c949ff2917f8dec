"""What draws under limits cost, beside draws without: `python benchmarks/limits.py`.

Each space gets a limit that about 0.1 % of it keeps; 10,000 draws must contain no infeasible one and cost at most 50
times what unlimited draws cost.
"""

from __future__ import annotations

import random
import time

import torch
from figure import emit
from torch import nn

from lanista import ModelSpace, choice
from lanista.nn import LayerChoice, Repeat
from lanista.profile import parameters
from lanista.space import Categorical, SearchSpace
from lanista.space.limit import Cost, Limit, Sum, Term

SHARE = 0.001
DRAWS = 10_000
SEEN = 50_000
"""Unlimited draws from which the limit is taken that `SHARE` of the space keeps."""


def chain() -> tuple[SearchSpace, Cost]:
    """30 layers of 6 candidates, each with a cost of its own: a latency table."""
    amounts = random.Random(1)
    space = SearchSpace({f"layer{i}": Categorical(range(6)) for i in range(30)})
    table = [[amounts.uniform(0.1, 5.0) for _ in range(6)] for _ in range(30)]
    terms = [Term([f"layer{i}"], [({f"layer{i}": v}, table[i][v]) for v in range(6)]) for i in range(30)]
    return space, Sum("latency", terms, unit="ms")


class Block(nn.Module):
    """An inverted residual whose width, expansion and kernel are open."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__()
        inner = width * choice([3, 4, 6], label=f"{name}/expand")
        kernel = choice([3, 5, 7], label=f"{name}/kernel")
        self.layers = nn.Sequential(
            nn.Conv2d(width, inner, 1), nn.Conv2d(inner, inner, kernel, groups=inner), nn.Conv2d(inner, width, 1)
        )
        self.gate = LayerChoice({"none": nn.Identity, "conv": lambda: nn.Conv2d(width, width, 1)}, label=f"{name}/gate")


class Mobile(nn.Module):
    """Four stages: widths tie neighbours together, depths make blocks conditional."""

    def __init__(self) -> None:
        super().__init__()
        widths = [16, *(choice([16, 24, 32], label=f"width{i}") for i in range(4))]
        self.stages = nn.ModuleList()
        for i in range(4):
            body = Repeat(lambda j, i=i: Block(widths[i + 1], f"{i}.{j}"), (1, 3), label=f"depth{i}")
            self.stages.append(nn.Sequential(nn.Conv2d(widths[i], widths[i + 1], 3), body))


def conditional() -> tuple[SearchSpace, Cost]:
    """Parameters of a network of widths, depths, kernels and expansions, learnt from its models."""
    space = ModelSpace(Mobile)
    return space.decisions, space.cost(parameters)


def measure(name: str, space: SearchSpace, cost: Cost) -> None:
    """What it takes to prepare a limit, and to draw under it."""
    rng = random.Random(0)
    seen = sorted(cost.of(space.sample(rng)) for _ in range(SEEN))
    most = seen[int(SHARE * SEEN)]
    start = time.perf_counter()
    limited = space.constrain(Limit(cost, most=most))
    emit(f"prepare a limit: {name}", time.perf_counter() - start, "s", decisions=len(space))
    start = time.perf_counter()
    for _ in range(DRAWS):
        space.sample(rng)
    plain = time.perf_counter() - start
    start = time.perf_counter()
    drawn = [limited.sample(rng) for _ in range(DRAWS)]
    ratio = (time.perf_counter() - start) / plain
    share = sum(value <= most for value in seen) / SEEN
    emit(f"draw under a limit: {name}", ratio, "x unlimited", "<= 50", share=share, accepted=limited.acceptance.rate)
    infeasible = sum(cost.of(architecture) > most for architecture in drawn)
    emit(f"infeasible of 10,000: {name}", infeasible, "architectures", "0")


def learn() -> None:
    """Seconds to learn the parameters of a space of 56 decisions as a sum, and how often the sum is wrong."""
    space = ModelSpace(Mobile)
    start = time.perf_counter()
    cost = space.cost(parameters)
    seconds = time.perf_counter() - start
    wrong = sum(
        cost.of(architecture) != sum(p.numel() for p in space.sketch(architecture).parameters())
        for architecture in map(space.sample, range(100))
    )
    emit("learn parameters as a sum", seconds, "s", decisions=len(space.decisions), wrong_of_100=wrong)


if __name__ == "__main__":
    torch.set_num_threads(1)
    learn()
    measure("chain", *chain())
    measure("conditional", *conditional())
