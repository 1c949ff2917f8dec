"""Draws of architectures that keep limits."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from lanista.errors import SpaceError
from lanista.space.census import INACTIVE
from lanista.space.domain import Architecture, Domain, Value, key, plain
from lanista.space.limit import ABSENT, Limit, Sum
from lanista.space.trellis import NOISE, TooWide, Trellis

CHEAP_PATIENCE, DEAR_PATIENCE = 20_000, 100
"""How many draws in a row are rejected before one is repaired: where all costs take microseconds, and else."""

CHEAP_STEPS, DEAR_STEPS = 5_000, 300
"""How many mutations a repair tries."""

TRIES = 300
"""How many mutations of an architecture are looked at before one of them is repaired instead."""

REPAIRS = 5
"""How many repairs are begun before there seems to be no architecture within the limits."""

Positioned = Sequence[tuple[str, Domain, Sequence[Mapping[int, Sequence[Value]]]]]
"""Label, domain and clauses over positions of each decision, parents first and children close to them."""

log = logging.getLogger("lanista")


@dataclass
class Acceptance:
    """How often a draw was within the limits.

    Attributes:
        drawn: architectures that were drawn and looked at.
        accepted: how many of them kept all limits.
        repaired: how many draws were led into the limits by mutations, after too many rejections.
    """

    drawn: int = 0
    accepted: int = 0
    repaired: int = 0

    @property
    def rate(self) -> float:
        """Accepted of drawn, from 0 to 1; 1 before the first draw."""
        return self.accepted / self.drawn if self.drawn else 1.0

    def __str__(self) -> str:
        repaired = f", {self.repaired:,} repaired" if self.repaired else ""
        return f"{self.rate:.3g} of {self.drawn:,} draws kept the limits{repaired}"


class Feasible:
    """Draws from a space under limits: exactly where a cost is a sum over decisions, else by rejection and repair.

    A draw has the distribution of the space without limits, given that the limits hold, unless it had to be
    repaired: then it is a random walk's first step into the limits.

    Args:
        decisions: of the space.
        limits: at least one.
        sample: an architecture without limits.
        mutate: a mutation without limits.
    """

    def __init__(
        self,
        decisions: Positioned,
        limits: Sequence[Limit],
        sample: Callable[[Random, str], Architecture],
        mutate: Callable[[Architecture, Random], Architecture],
    ) -> None:
        self._decisions, self._sample, self._mutate = decisions, sample, mutate
        # What is quick to know is asked first.
        self._limits = sorted(limits, key=lambda limit: (not isinstance(limit.cost, Sum), not limit.cost.cheap))
        self._cheap = all(limit.cost.cheap for limit in limits)
        self._patience = CHEAP_PATIENCE if self._cheap else DEAR_PATIENCE
        self._steps = CHEAP_STEPS if self._cheap else DEAR_STEPS
        self._trellises: dict[str, Trellis | None] = {}
        self.acceptance = Acceptance()

    def holds(self, architecture: Architecture) -> bool:
        """Whether all limits hold."""
        return all(not limit.excess(architecture) for limit in self._limits)

    def excess(self, architecture: Architecture) -> float:
        """How far the limits are missed, relative to each, summed."""
        return sum(limit.excess(architecture) for limit in self._limits)

    def prospects(self, labels: Sequence[str]) -> Callable[[Architecture, int], bool]:
        """Tells whether the first so many decisions of these labels leave a chance to keep each limit on a sum."""
        order = {label: position for position, label in enumerate(labels)}
        bounded = []
        for limit in self._limits:
            if isinstance(limit.cost, Sum):
                ranges = [term.ranges(order) for term in limit.cost.terms]
                # By the number of decisions that are decided, what is known of each term then.
                known = [[r[max(c for c in r if c <= count)] for r in ranges] for count in range(len(labels) + 1)]
                bounded.append((limit, limit.cost.constant, known))

        def possible(architecture: Architecture, count: int) -> bool:
            for limit, constant, known in bounded:
                least = greatest = constant
                for decided, table in known[count]:
                    low, high = table[tuple([key(architecture[x]) if x in architecture else ABSENT for x in decided])]
                    least += low
                    greatest += high
                noise = NOISE * max(abs(least), abs(greatest))
                if limit.most is not None and least > limit.most + noise:
                    return False
                if limit.least is not None and greatest < limit.least - noise:
                    return False
            return True

        return possible

    def draw(self, random: Random, uniform: str) -> Architecture:
        """An architecture that keeps all limits.

        Raises:
            SpaceError: there is none, or none was found.
        """
        if uniform not in self._trellises:
            self._trellises[uniform] = self._prepared(uniform)
        trellis = self._trellises[uniform]
        for _ in range(self._patience):
            architecture = self._sample(random, uniform) if trellis is None else self._along(trellis, random)
            self.acceptance.drawn += 1
            if self.holds(architecture):
                self.acceptance.accepted += 1
                return architecture
        for _ in range(REPAIRS):
            start = self._sample(random, uniform) if trellis is None else self._along(trellis, random)
            repaired = self.repair(start, random)
            if repaired is not None:
                self.acceptance.repaired += 1
                return repaired
        missed = max(self._limits, key=lambda limit: limit.excess(architecture))
        raise SpaceError(
            f"no architecture within the limits was found: {self._patience:,} draws were rejected and {REPAIRS} "
            f"repairs failed, the last one because of {missed.describe()} (it has "
            f"{missed.cost.of(architecture):,.6g}); loosen a limit; `explain` tells the costs of the space"
        )

    def repair(self, architecture: Architecture, random: Random) -> Architecture | None:
        """Mutate towards the limits, never away from them; None where too many mutations did not lead there."""
        missed = self.excess(architecture)
        for _ in range(self._steps):
            if not missed:
                return architecture
            try:
                moved = self._mutate(architecture, random)
            except SpaceError:  # the space has one architecture
                return None
            excess = self.excess(moved)
            if excess <= missed:
                architecture, missed = moved, excess
        return None if missed else architecture

    def neighbour(self, architecture: Architecture, random: Random, mutate: Callable[[], Architecture]) -> Architecture:
        """A mutation within the limits: the first such one of `mutate`, else a repaired one, else a new draw."""
        moved = architecture
        for _ in range(TRIES):
            moved = mutate()
            if self.holds(moved):
                return moved
        for _ in range(REPAIRS):
            repaired = self.repair(moved, random)
            if repaired is not None and repaired != architecture:
                return repaired
        return self.draw(random, "decisions")

    def _along(self, trellis: Trellis, random: Random) -> Architecture:
        drawn = zip(self._decisions, trellis.draw(random), strict=True)
        return {label: plain(value) for (label, _, _), value in drawn if value is not INACTIVE}

    def _prepared(self, uniform: str) -> Trellis | None:
        """The trellis of the tightest sum, ready to draw; None where there is none.

        Sums that are limited imply a limit on any mix of them, which can be tighter than each.
        """
        alone = [limit for limit in self._limits if isinstance(limit.cost, Sum)]
        weighted = [
            (1 / (abs(upper.most) or 1.0), upper.cost, upper.most)
            for upper in (limit.from_above() for limit in alone)
            if isinstance(upper.cost, Sum) and upper.most is not None and math.isfinite(upper.most)
        ]
        mixed = Sum.mixed([(weight, cost) for weight, cost, _ in weighted])
        together = [Limit(mixed, most=math.fsum(weight * most for weight, _, most in weighted))]
        best: tuple[float, Trellis] | None = None
        for limit in alone + together * (len(weighted) > 1):
            upper = limit.from_above()
            assert isinstance(upper.cost, Sum)
            try:
                trellis = Trellis(self._decisions, upper.cost, uniform)
                share = trellis.limit(upper)
            except TooWide:
                name = limit.cost.name
                log.info("%s ties too many decisions together for exact draws; draws are rejected instead", name)
                continue
            if not share and limit.cost is mixed:
                limits = " and ".join(limit.describe() for limit in alone)
                raise SpaceError(f"no architecture keeps these limits together: {limits}; loosen one of them")
            if not share:
                raise SpaceError(_impossible(limit, trellis, negative=upper is not limit))
            if best is None or share < best[0]:
                best = share, trellis
        return None if best is None else best[1]


def _impossible(limit: Limit, trellis: Trellis, *, negative: bool) -> str:
    """Why a sum keeps nothing; the trellis may be that of its negative."""
    least, greatest = (-trellis.greatest, -trellis.least) if negative else (trellis.least, trellis.greatest)
    gaps = (
        ", with gaps"
        if limit.least is not None and least <= limit.least and greatest >= (limit.most or greatest)
        else ""
    )
    cost = limit.cost
    words = f"no architecture has {limit.describe()}: {cost.name} is from {least:,.6g} to {greatest:,.6g} {cost.unit}"
    return words.rstrip() + gaps
