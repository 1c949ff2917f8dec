"""One search with shared weights on NAS-Bench-201: training, the choice of a cell, and how the shared weights rank."""

from __future__ import annotations

import inspect
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import cifar
import memory
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lanista import oneshot
from lanista.evaluator import recalibrate
from lanista.hub import NASBench201
from lanista.oneshot import DARTS, Method, Supernet
from lanista.oneshot.collapse import collapse
from lanista.oneshot.found import ranked, search
from lanista.space.domain import Architecture

Images = tuple[Tensor, Tensor]
"""Normalised images and their classes."""


@dataclass(frozen=True)
class Settings:
    """Size of the supernet, data, and training.

    Attributes:
        width: channels of the first stage; the benchmark has 16.
        cells: in each of three stages; the benchmark has 5.
        pixels: width and height of the images.
        images: of methods that learn by validation batches, one half trains the weights, the other the architecture.
        passes: what a search may cost: so many steps of a single path, and of other methods so many fewer as a step of
            theirs costs more (`COSTS`).
        epochs: of every method, in place of equal costs; 0: as many as `passes` allow.
        batch: images in a step.
        rate, least: learning rate of the weights at first and at last, by a cosine.
        pace: least learning rate of what learns an architecture: few steps need greater ones than the papers' many.
        validation: images of the ranking and of the second phase, which belong to none of these.
        recalibration: batches that the statistics of batch normalisation are taken from.
        evaluations: of the second phase.
        ranked: random cells in the comparison with the table.
        device: where all of it runs.
    """

    width: int = 8
    cells: int = 1
    pixels: int = 16
    images: int = 9000
    passes: int = 5000
    epochs: int = 0
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
    width=16, cells=5, pixels=32, images=50_000, epochs=50, rate=0.025, pace=0.0,
    recalibration=16, device="cuda",
)  # fmt: skip
"""The size of the papers."""

COSTS = {
    "DARTS": 8.0, "DARTS-2": 22.0, "DrNAS": 8.0, "ENAS": 2.0, "FBNet": 8.0, "FairNAS": 5.0, "GDAS": 2.0,
    "PCDARTS": 4.0, "ProgressiveShrinking": 2.5, "ProxylessNAS": 2.5, "RandomSharing": 1.0, "SPOS": 1.0,
    "Sandwich": 4.0,
}  # fmt: skip
"""The time of a step, in steps of a single path, about as `oneshot.py` measures it on NAS-Bench-201."""

LAYOUT = torch.channels_last
"""On the CPU, a step takes two thirds of its time with it: pooling is slow otherwise."""

MOMENTUM, DECAY, CLIP = 0.9, 5e-4, 5.0
"""As in NAS-Bench-201's own one-shot experiments."""


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
    default = inspect.signature(given).parameters.get("learning_rate")
    return given() if default is None else given(learning_rate=max(settings.pace, default.default))


# --- one search -------------------------------------------------------------------------------------------


def data(settings: Settings, place: Path, *, learns: bool) -> tuple[Images, Images | None, Images]:
    """For the weights, for the architecture, and for validation, on the device; fewer where there are fewer.

    A method that learns by validation batches has half of the images for the weights and half for the architecture;
    the others need none for it, and have all for the weights.
    """
    x, y = cifar.images(settings.images + settings.validation, place=place, pixels=settings.pixels)
    x, y = x.to(settings.device, memory_format=LAYOUT), y.to(settings.device)
    last = len(y) - settings.validation
    half = last // 2 if learns else last
    other = (x[half:last], y[half:last]) if learns else None
    return (x[:half], y[:half]), other, (x[last:], y[last:])


def batches(images: Images, size: int, generator: torch.Generator) -> Iterator[Images]:
    """Without end: in random order, flipped at random, and moved by up to an eighth of the width."""
    x, y = images
    reach, pixels = x.shape[-1] // 8, x.shape[-1]
    left: list[Tensor] = []
    while True:
        if not left:
            order = torch.randperm(len(y), generator=generator).to(x.device)
            left = list(order[: len(y) // size * size].split(size))
        picked = left.pop()
        batch = F.pad(x[picked], (reach,) * 4)
        top, side = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
        batch = batch[:, :, top : top + pixels, side : side + pixels]
        flipped = (torch.rand(size, generator=generator) < 0.5).to(x.device)
        moved = torch.where(flipped[:, None, None, None], batch.flip(3), batch)
        yield moved.contiguous(memory_format=LAYOUT), y[picked]


def loss(model: nn.Module, batch: Images) -> Tensor:
    """Cross-entropy."""
    return F.cross_entropy(model(batch[0]), batch[1])


def duration(name: str, settings: Settings, images: int) -> int:
    """The number of a method's steps, with so many images for the weights."""
    if settings.epochs:
        return settings.epochs * (images // settings.batch)
    usual = COSTS["DARTS"] if methods()[name]().mixes else COSTS["SPOS"]
    return round(settings.passes / COSTS.get(name, usual))


def train(
    method: Method,
    supernet: Supernet,
    settings: Settings,
    weights: Images,
    other: Images | None,
    *,
    steps: int,
    seed: int,
) -> None:
    """The whole search."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        supernet.parameters(), settings.rate, momentum=MOMENTUM, weight_decay=DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, settings.least)
    method.start(supernet, steps=steps, seed=seed)
    mine = batches(weights, settings.batch, generator)
    valid = repeat(None) if other is None else batches(other, settings.batch, generator)
    for _ in range(steps):
        method.step(next(mine), next(valid), loss=loss, optimizer=optimizer, clip=CLIP)
        schedule.step()


class Judge:
    """What shared weights say of cells on the validation images, after new statistics of batch normalisation."""

    def __init__(self, method: Method, settings: Settings, weights: Images, validation: Images) -> None:
        self._network, self._validation = method.network, validation
        size = 4 * settings.batch
        self._calibration = [weights[0][i * size : (i + 1) * size] for i in range(settings.recalibration)]

    @torch.no_grad()
    def __call__(self, architecture: Architecture) -> tuple[float, float]:
        """Accuracy in percent, and mean loss."""
        self._network.supernet.eval()
        model = self._network.sub(architecture)
        recalibrate(model, self._calibration)
        x, y = self._validation
        scores = torch.cat([model(part) for part in x.split(250)])
        return 100 * float((scores.argmax(1) == y).float().mean()), float(F.cross_entropy(scores, y))


def second(method: Method, judge: Judge, evaluations: int, seed: int) -> Architecture:
    """The cell with the least loss by shared weights that the method's searcher finds: for most of them, evolution."""
    space = method.network.supernet.space.decisions
    tried = search(method.searcher(), space, lambda architecture: -judge(architecture)[1], evaluations, seed)
    return ranked(tried, 1)[0][0]


def cells(settings: Settings) -> list[Architecture]:
    """The random cells that are ranked, the same for all."""
    space, rng = NASBench201(settings.width, settings.cells).decisions, random.Random(0)
    return [space.sample(rng) for _ in range(settings.ranked)]


def run(name: str, seed: int, settings: Settings, place: Path) -> dict[str, Any]:
    """A search and what is known of it; called in a process of its own, whose memory is measured."""
    torch.manual_seed(seed)
    method = make(name, settings)
    weights, other, validation = data(settings, place, learns=method.learns)
    supernet = Supernet(NASBench201(settings.width, settings.cells)).to(settings.device, memory_format=LAYOUT)
    before = resident(settings)
    clock = time.perf_counter if settings.device.startswith("cuda") else time.process_time
    began = clock()
    steps = duration(name, settings, len(weights[1]))
    train(method, supernet, settings, weights, other, steps=steps, seed=seed)
    searched, peak = clock(), most(settings)
    strengths, judge = method.strengths(), Judge(method, settings, weights, validation)
    found = second(method, judge, settings.evaluations, seed) if strengths is None else method.best()[0]
    chosen = clock()
    shared = [judge(cell) for cell in cells(settings)]
    return {
        "seed": seed,
        "steps": steps,
        "search_seconds": round(searched - began, 1),
        "choice_seconds": round(chosen - searched, 1),
        "ranking_seconds": round(clock() - chosen, 1),
        "before_mib": round(before, 1),
        "peak_mib": round(peak, 1),
        "second_phase": strengths is None,
        "found": found,
        "found_accuracy": round(judge(found)[0], 2),
        "strengths": strengths,
        "collapse": collapse(method.network, found, strengths),
        "accuracies": [round(accuracy, 2) for accuracy, _ in shared],
        "losses": [round(value, 5) for _, value in shared],
    }


def resident(settings: Settings) -> float:
    """The memory that is in use before a search, in MiB: of the process, or of the GPU. `most` begins anew."""
    if settings.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(settings.device)
        return torch.cuda.memory_allocated(settings.device) / 2**20
    memory.forget()
    return memory.now()


def most(settings: Settings) -> float:
    """The most that was in use at a time since, in MiB."""
    if settings.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(settings.device) / 2**20
    return memory.peak()
