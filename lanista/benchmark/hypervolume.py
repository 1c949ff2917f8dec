"""The area that a set of two costs dominates.

Zitzler and Thiele, "Multiobjective Evolutionary Algorithms: A Comparative Case Study and the Strength Pareto Approach",
https://doi.org/10.1109/4235.797969.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
"""Two numbers, both to be small."""

QUANTILE = 0.95
"""Of the first number, where the area ends: without it, a few failures would stretch it."""


def hypervolume(points: Iterable[Point], reference: Point) -> float:
    """The area between the points and a reference point, where at least one point is smaller in both numbers."""
    area, height = 0.0, reference[1]
    for x, y in sorted(points):
        if x < reference[0] and y < height:
            area += (reference[0] - x) * (height - y)
            height = y
    return area


def front(points: Iterable[Point]) -> list[int]:
    """Positions of the points that no other one dominates, by the first number; of equal ones the first."""
    found: list[int] = []
    lowest = math.inf
    for (_, y), position in sorted((point, position) for position, point in enumerate(points)):
        if y < lowest:
            lowest = y
            found.append(position)
    return found


@dataclass(frozen=True)
class Region:
    """What can be reached at all.

    Attributes:
        reference: where the area ends.
        area: the hypervolume of all points.
    """

    reference: Point
    area: float

    @classmethod
    def of(cls, points: Sequence[Point]) -> Region:
        """The reference point is the 95 % quantile of the first number, and the greatest second one."""
        first = sorted(x for x, _ in points)
        place = QUANTILE * (len(first) - 1)
        low = first[math.floor(place)]
        reference = (low + (first[math.ceil(place)] - low) * (place % 1), max(y for _, y in points))
        return cls(reference, hypervolume(points, reference))

    def share(self, points: Iterable[Point]) -> float:
        """The hypervolume of some points, from 0 to 1."""
        return hypervolume(points, self.reference) / self.area
