"""Temperatures of a Gumbel-softmax: high at first, when samples are nearly even, and low in the end."""

from __future__ import annotations

import math
from typing import TypeAlias

from lanista.errors import OneShotError

Ends: TypeAlias = tuple[float, float]
"""The temperatures at the start and at the end of a search, both above 0."""


def checked(ends: Ends) -> Ends:
    """The same; raises OneShotError unless both are above 0."""
    if len(ends) != 2 or not all(0 < value < math.inf for value in ends):
        raise OneShotError(f"temperatures is {ends!r}; give those at the start and at the end, both above 0")
    return ends


def linear(ends: Ends, progress: float) -> float:
    """The temperature at a progress from 0 to 1: in equal steps."""
    first, last = ends
    return first + (last - first) * progress


def exponential(ends: Ends, progress: float) -> float:
    """The temperature at a progress from 0 to 1: by equal factors."""
    first, last = ends
    return math.pow(first, 1 - progress) * math.pow(last, progress)
