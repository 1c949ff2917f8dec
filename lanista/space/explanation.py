"""What architectures of a space cost, and how many of them keep which limits; before anything is spent."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from lanista.space.domain import Architecture
from lanista.space.limit import Cost, Limit, Sum
from lanista.space.search import SearchSpace
from lanista.space.trellis import TooWide, Trellis

CHEAP_SAMPLES, DEAR_SAMPLES = 1000, 50
"""How many random architectures are looked at, where all costs take microseconds, and else."""


@dataclass(frozen=True)
class Range:
    """What a cost is over a space.

    Attributes:
        cost: the cost.
        least: over all architectures where `exact`, else over the random ones that were looked at.
        median: over random ones, each decision drawn by itself.
        greatest: as `least`.
        exact: whether least and greatest are.
    """

    cost: Cost
    least: float
    median: float
    greatest: float
    exact: bool


@dataclass(frozen=True)
class Share:
    """What part of the draws from a space a limit lets through.

    Attributes:
        limit: the limit.
        share: from 0 to 1.
        exact: whether that is counted (to the rounding of the count), and not estimated from random draws.
    """

    limit: Limit
    share: float
    exact: bool


@dataclass(frozen=True)
class Explanation:
    """Costs and limits of a space; `str` gives a table.

    Attributes:
        ranges: of each cost.
        shares: of each limit by itself.
        together: the part of the random draws that keeps all limits.
        samples: how many random architectures were looked at.
    """

    ranges: tuple[Range, ...]
    shares: tuple[Share, ...]
    together: float
    samples: int

    @property
    def impossible(self) -> tuple[Limit, ...]:
        """Limits that no architecture keeps, each by itself."""
        return tuple(share.limit for share in self.shares if share.exact and not share.share)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("cost", "least", "median", "greatest", "")]
        for r in self.ranges:
            numbers = [_number(value) for value in (r.least, r.median, r.greatest)]
            rows.append((f"{r.cost.name} {r.cost.unit}".strip(), *numbers, "" if r.exact else "(seen)"))
        lines = _aligned(rows)
        if self.shares:
            lines += ["", *_aligned([("limit", "keep it", ""), *map(_share, self.shares)])]
            lines.append(f"{self.together:.3g} of {self.samples:,} random architectures keep all limits")
        lines += [f"No architecture has {limit.describe()}: loosen it." for limit in self.impossible]
        if self.shares and not self.together and not self.impossible:
            lines.append("None of them kept all: each limit can be kept, but together they leave little or nothing.")
        return "\n".join(lines)


def explain(space: SearchSpace, costs: Iterable[Cost], limits: Iterable[Limit], *, seed: int = 0) -> Explanation:
    """Look at the costs of a space and at limits on them; limits that the space has already are looked at too.

    Args:
        space: what to look at.
        costs: what to report beside the costs that are limited.
        limits: not yet part of the space.
        seed: of the random architectures.
    """
    limits = (*space.limits, *limits)
    unlimited = SearchSpace(space)
    asked = [*costs, *(limit.cost for limit in limits)]
    every = list({cost.name: cost for cost in asked if not getattr(cost, "rule", False)}.values())
    count = CHEAP_SAMPLES if all(cost.cheap for cost in asked) else DEAR_SAMPLES
    random = Random(seed)
    drawn = [unlimited.sample(random) for _ in range(count)]
    return Explanation(
        tuple(_range(unlimited, cost, drawn) for cost in every),
        tuple(_share_of(unlimited, limit, drawn) for limit in limits),
        sum(all(not limit.excess(a) for limit in limits) for a in drawn) / count,
        count,
    )


def _range(space: SearchSpace, cost: Cost, drawn: Sequence[Architecture]) -> Range:
    values = [cost.of(architecture) for architecture in drawn]
    if isinstance(cost, Sum):
        try:
            trellis = Trellis(space.positioned, cost, "decisions")
            return Range(cost, trellis.least, statistics.median(values), trellis.greatest, True)
        except TooWide:
            pass
    return Range(cost, min(values), statistics.median(values), max(values), False)


def _share_of(space: SearchSpace, limit: Limit, drawn: Sequence[Architecture]) -> Share:
    upper = limit.from_above()
    if isinstance(upper.cost, Sum):
        try:
            return Share(limit, Trellis(space.positioned, upper.cost, "decisions").limit(upper), True)
        except TooWide:
            pass
    return Share(limit, sum(not limit.excess(architecture) for architecture in drawn) / len(drawn), False)


def _share(share: Share) -> tuple[str, str, str]:
    return share.limit.describe(), f"{share.share:.3g}", "" if share.exact else "(seen)"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
