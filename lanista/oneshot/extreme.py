"""The largest and the smallest architecture of a space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import TypeAlias

from lanista.errors import ArchitectureError
from lanista.oneshot.identity import Path
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture, Value, is_number

Rank: TypeAlias = tuple[float, ...]

OPTIONS = 16
"""How many values of a decision are compared; of numbers, the two ends."""

STARTS = 5
"""From how many architectures near the extreme one the limits are approached."""

MOVES = 300
"""How many models are counted at most, in search of a larger one within the limits."""


def extremes(supernet: Supernet) -> tuple[Architecture, Architecture]:
    """The largest and the smallest architecture that keep the space's limits, by number of parameters.

    One decision after another gets the value with the most (the fewest) parameters, and of values with equally many the
    greatest (the least) number; of numbers, only the ends are looked at. Under limits, what comes out is moved into
    them, and from there on as far as single steps lead.
    """
    count = _Count(supernet)
    return _extreme(count, 1), _extreme(count, -1)


class _Count:
    """Numbers of parameters of architectures."""

    def __init__(self, supernet: Supernet) -> None:
        self.space, self._supernet = supernet.space.decisions, supernet
        self._known: dict[str, int] = {}

    def __call__(self, architecture: Architecture) -> int:
        name = self.space.key(architecture)
        if name not in self._known:
            model, _ = self._supernet.skeleton(architecture, Path)
            self._known[name] = sum(parameter.numel() for parameter in model.parameters())
        return self._known[name]

    @property
    def counted(self) -> int:
        """How many models were built."""
        return len(self._known)


def _extreme(count: _Count, sign: int) -> Architecture:
    """With `sign` 1 the largest architecture, with -1 the smallest."""
    space, rank = count.space, partial(_rank, count, sign)
    candidates = {decision.label: _ends(decision.domain.grid(2), sign) for decision in space}
    chosen: dict[str, Value] = {}

    def architecture(changed: Architecture) -> Architecture:
        return space.decide(lambda decision: changed.get(decision.label, candidates[decision.label][0]))

    for decision in space:
        label = decision.label
        if label not in architecture(chosen):
            continue
        tried = [architecture({**chosen, label: value}) for value in candidates[label]]
        chosen[label] = max(tried, key=rank)[label]
    found = architecture(chosen)
    if not space.violations(found):
        return found
    near = (space.repair(found, Random(seed)) for seed in range(STARTS))
    return max((_climbed(count, start, rank) for start in near), key=rank)


def _ends(values: Iterable[Value], sign: int) -> Sequence[Value]:
    """What is compared; the first is taken where nothing is known."""
    listed = list(values)
    if all(is_number(value) for value in listed):
        ends = [max(listed), min(listed)]
        return list(dict.fromkeys(ends[::sign]))
    if len(listed) > OPTIONS:  # subsets are in the order of their size
        return listed[: OPTIONS // 2] + listed[-OPTIONS // 2 :]
    return listed


def _rank(count: _Count, sign: int, architecture: Architecture) -> Rank:
    """Greater for what is more extreme; least for what cannot be built, as some limits say only then."""
    try:
        number = count(architecture)
    except ArchitectureError:
        return (-math.inf,)
    return sign * number, sign * sum(value for value in architecture.values() if is_number(value))


def _climbed(count: _Count, start: Architecture, rank: Callable[[Architecture], Rank]) -> Architecture:
    """The architecture to which steps lead that each make it more extreme, within the limits."""
    current, most = start, count.counted + MOVES
    while count.counted < most:
        least = rank(current)
        better = next((near for near in count.space.neighbours(current) if rank(near) > least), None)
        if better is None:
            break
        current = better
    return current
