"""`screen`: the best of many architectures, by a measure that needs no training."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from random import Random
from time import perf_counter

from lanista.errors import SpaceError
from lanista.model import ModelSpace
from lanista.profile.base import Measure
from lanista.space.domain import Architecture, is_integer

PATIENCE = 100
"""How many draws in a row may give what is known before a space counts as exhausted."""

INTERVAL = 10.0
"""Seconds between two lines of the log."""

log = logging.getLogger("lanista")


@dataclass(frozen=True)
class Screening:
    """What `screen` keeps.

    Attributes:
        architectures: the best ones, in canonical form, the highest value first.
        values: the value of each.
        measured: how many architectures were measured.
        refused: how many of them had no finite value, and were left out.
        seconds: mean time of measuring an architecture, with building it.
    """

    architectures: tuple[Architecture, ...]
    values: tuple[float, ...]
    measured: int
    refused: int
    seconds: float


def screen(space: ModelSpace, measure: Measure, *, samples: int = 100, keep: int = 10, seed: int = 0) -> Screening:
    """Measure random architectures of a space, and keep those with the highest values: a warm start for a search.

    Each architecture is measured once; equal draws are drawn again. Weights are those of `Measure.cost`, the same in
    each call. What takes long tells about it in the log, at level INFO.

    Args:
        space: where architectures are drawn; its limits hold.
        measure: what is measured on the built model and the space's example input.
        samples: how many are measured; fewer where the space has no more.
        keep: how many are kept; fewer where fewer have a finite value.
        seed: of the draws.

    Raises:
        SpaceError: a number is less than 1, or the measure does not apply to a model of the space.
    """
    for name, value in (("samples", samples), ("keep", keep)):
        if not is_integer(value) or value < 1:
            raise SpaceError(f"{name} is {value!r}; give an integer of at least 1")
    cost = space.cost(measure)
    drawn = _distinct(space, samples, Random(seed))
    found: list[tuple[float, Architecture]] = []
    start = told = perf_counter()
    for count, architecture in enumerate(drawn, 1):
        found.append((cost.of(architecture), architecture))
        now = perf_counter()
        if now - told >= INTERVAL:
            told, each = now, (now - start) / count
            log.info("%s of %d of %d architectures, %.2g s each", measure.name, count, len(drawn), each)
    each = (perf_counter() - start) / len(drawn)
    finite = [(value, architecture) for value, architecture in found if math.isfinite(value)]
    best = sorted(finite, key=lambda pair: -pair[0])[:keep]
    refused = len(found) - len(finite)
    log.info("%s of %d architectures, %.2g s each; %d without a finite value", measure.name, len(found), each, refused)
    values = tuple(value for value, _ in best)
    return Screening(tuple(architecture for _, architecture in best), values, len(found), refused, each)


def _distinct(space: ModelSpace, samples: int, random: Random) -> list[Architecture]:
    drawn: dict[str, Architecture] = {}
    idle = 0
    while len(drawn) < samples and idle < PATIENCE:
        architecture = space.sample(random)
        before = len(drawn)
        drawn.setdefault(space.decisions.key(architecture), architecture)
        idle = 0 if len(drawn) > before else idle + 1
    return list(drawn.values())
