"""One search with shared weights on NAS-Bench-201: training, the choice of a cell, and how the shared weights rank."""

from __future__ import annotations

import inspect
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cifar
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lanista import oneshot
from lanista.evaluator import recalibrate
from lanista.hub import NASBench201
from lanista.oneshot import DARTS, Method, Supernet
from lanista.space.domain import Architecture
from lanista.strategy import Random, RegularizedEvolution, Strategy
from lanista.trial import State, Trial

Images = tuple[Tensor, Tensor]
"""Normalised images and their classes."""


@dataclass(frozen=True)
class Settings:
    """Size of the supernet, data, and training.

    Attributes:
        width: channels of the first stage; the benchmark has 16.
        cells: in each of three stages; the benchmark has 5.
        pixels: width and height of the images.
        images: of training; one half trains the weights, the other one the architecture.
        mixed: epochs of methods that mix all options.
        single: epochs of methods that train single paths, whose steps cost a fraction.
        batch: images in a step.
        rate, least: learning rate of the weights at first and at last, by a cosine.
        pace: learning rate of an architecture's parameters, where a method has them.
        validation: images of the ranking and of the second phase, of none of both halves.
        recalibration: batches that the statistics of batch normalisation are taken from.
        evaluations: of the second phase.
        ranked: random cells in the comparison with the table.
        device: where all of it runs.
    """

    width: int = 8
    cells: int = 1
    pixels: int = 16
    images: int = 8000
    mixed: int = 15
    single: int = 60
    batch: int = 64
    rate: float = 0.1
    least: float = 0.001
    pace: float = 3e-3
    validation: int = 1000
    recalibration: int = 4
    evaluations: int = 100
    ranked: int = 100
    device: str = "cpu"


REDUCED = Settings()
"""Affordable on two cores."""

FULL = Settings(
    width=16, cells=5, pixels=32, images=50_000, mixed=50, single=50, rate=0.025, pace=3e-4, validation=1000,
    recalibration=16, device="cuda",
)  # fmt: skip
"""The size of the papers; the second phase and the ranking then look at the last images of the architecture's half."""

MOMENTUM, DECAY, CLIP = 0.9, 5e-4, 5.0
"""As in NAS-Bench-201's own one-shot experiments."""

IDLE = ("none", "skip_connect")
DOMINATED = 5
"""A cell with so many of six edges that do nothing is a collapse; of random cells, 4 % are."""


# --- methods ----------------------------------------------------------------------------------------------


def methods() -> dict[str, Callable[..., Method]]:
    """All methods of `lanista.oneshot` that can be made without arguments, and the second order of DARTS."""
    found: dict[str, Callable[..., Method]] = {}
    for name in sorted(oneshot.__all__):
        thing = getattr(oneshot, name)
        if inspect.isclass(thing) and issubclass(thing, Method) and not inspect.isabstract(thing):
            found[name] = thing
    return {**found, "DARTS-2": partial(DARTS, order=2)}


def make(name: str, settings: Settings) -> Method:
    """A method, at the settings' pace if it learns by an optimizer of its own."""
    given = methods()[name]
    mixes = inspect.signature(given).parameters.get("learning_rate")
    return given(learning_rate=settings.pace) if mixes is not None else given()


# --- one search -------------------------------------------------------------------------------------------


def data(settings: Settings, place: Path) -> tuple[Images, Images, Images]:
    """For the weights, for the architecture, and for validation, on the device."""
    x, y = cifar.images(settings.images + settings.validation, place=place, pixels=settings.pixels)
    x, y = x.to(settings.device), y.to(settings.device)
    half, whole = settings.images // 2, min(settings.images, len(y) - settings.validation)
    last = len(y) - settings.validation
    return (x[:half], y[:half]), (x[half:whole], y[half:whole]), (x[last:], y[last:])


def batches(images: Images, size: int, generator: torch.Generator) -> Iterator[Images]:
    """An epoch: in random order, flipped at random, and moved by up to an eighth of the width; the rest is left out."""
    x, y = images
    order = torch.randperm(len(y), generator=generator).to(x.device)
    reach, pixels = x.shape[-1] // 8, x.shape[-1]
    for first in range(0, len(y) - size + 1, size):
        picked = order[first : first + size]
        batch = F.pad(x[picked], (reach,) * 4)
        top, left = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
        batch = batch[:, :, top : top + pixels, left : left + pixels]
        flipped = (torch.rand(size, generator=generator) < 0.5).to(x.device)
        yield torch.where(flipped[:, None, None, None], batch.flip(3), batch), y[picked]


def loss(model: nn.Module, batch: Images) -> Tensor:
    """Cross-entropy."""
    return F.cross_entropy(model(batch[0]), batch[1])


def train(method: Method, supernet: Supernet, settings: Settings, weights: Images, other: Images, seed: int) -> None:
    """The whole search."""
    epochs = settings.mixed if method.mixes else settings.single
    steps = epochs * (len(weights[1]) // settings.batch)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        supernet.parameters(), settings.rate, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, settings.least)
    method.start(supernet, steps=steps, seed=seed)
    for _ in range(epochs):
        pairs = (batches(images, settings.batch, generator) for images in (weights, other))
        for mine, valid in zip(*pairs, strict=True):
            method.step(mine, valid, loss=loss, optimizer=optimizer, clip=CLIP)
            schedule.step()


class Judge:
    """The accuracy of cells with shared weights, in percent, after new statistics of batch normalisation."""

    def __init__(self, method: Method, settings: Settings, weights: Images, validation: Images) -> None:
        self._network, self._validation = method.network, validation
        size = 4 * settings.batch
        self._calibration = [weights[0][i * size : (i + 1) * size] for i in range(settings.recalibration)]
        self._known: dict[str, float] = {}

    @torch.no_grad()
    def __call__(self, architecture: Architecture) -> float:
        key = self._network.supernet.space.decisions.key(architecture)
        if key not in self._known:
            self._network.supernet.eval()
            model = self._network.sub(architecture)
            recalibrate(model, self._calibration)
            x, y = self._validation
            right = sum(int((model(x[i : i + 500]).argmax(1) == y[i : i + 500]).sum()) for i in range(0, len(y), 500))
            self._known[key] = 100 * right / len(y)
        return self._known[key]


def second(method: Method, judge: Judge, evaluations: int, seed: int) -> Architecture:
    """The best cell by shared weights that a strategy finds: evolution, or random search for random sharing."""
    at_random = type(method).__name__ == "RandomSharing"
    strategy: Strategy = Random() if at_random else RegularizedEvolution(population_size=20, sample_size=5)
    strategy.reset(method.network.supernet.space.decisions, seed)
    found: list[tuple[float, int, Architecture]] = []
    for number in range(evaluations):
        architecture = strategy.propose()
        score = judge(architecture)
        found.append((score, -number, architecture))
        strategy.observe(Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=(score,)))
    return max(found, key=lambda one: one[:2])[2]


def chooses(method: Method) -> bool:
    """Whether a method says itself which architecture is the best."""
    return method.strengths() is not None or type(method).best is not Method.best


def run(name: str, seed: int, settings: Settings, place: Path) -> dict[str, Any]:
    """A search and what is known of it; called in a process of its own, whose memory is measured."""
    torch.manual_seed(seed)
    weights, other, validation = data(settings, place)
    supernet = Supernet(NASBench201(settings.width, settings.cells)).to(settings.device)
    method = make(name, settings)
    before = memory(settings)
    began = time.perf_counter()
    train(method, supernet, settings, weights, other, seed)
    searched, peak = time.perf_counter(), memory(settings)
    judge = Judge(method, settings, weights, validation)
    found = method.best()[0] if chooses(method) else second(method, judge, settings.evaluations, seed)
    chosen = time.perf_counter()
    rng = random.Random(0)  # the same cells for all
    space = supernet.space.decisions
    cells = [space.sample(rng) for _ in range(settings.ranked)]
    shared = [judge(cell) for cell in cells]
    return {
        "seed": seed,
        "search_seconds": round(searched - began, 1),
        "choice_seconds": round(chosen - searched, 1),
        "ranking_seconds": round(time.perf_counter() - chosen, 1),
        "before_mib": round(before, 1),
        "peak_mib": round(peak, 1),
        "second_phase": not chooses(method),
        "found": found,
        "found_shared": judge(found),
        "shared": shared,
    }


def memory(settings: Settings) -> float:
    """The most that this process had at a time so far, in MiB: on the device, if it is a GPU."""
    if settings.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(settings.device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
