"""`Fitness`: how well architectures fit the strengths of options, and which fit best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from random import Random

from lanista.nn.mixture import Relaxation, Strengths
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace

SMALL = 1000
"""A space with limits and at most so many architectures is looked at as a whole."""

FREE = 2000
"""How many architectures the search visits that does not look at limits."""

FREE_LIMITED = 200
"""The same where there are limits: it finds the best at once where these are loose, and seldom where they are tight."""

CHEAP, DEAR = 20_000, 500
"""How many architectures are looked at within tight limits: where all limits take microseconds, and else."""

DRAWS = 10
"""From how many random architectures within the limits that search begins, beside those near to the best of all."""

LEAST = 1e-30
"""Strengths count as no less."""


class Fitness:
    """How well architectures fit: the product of the strengths of their options, relative to that of the strongest.

    A decision that does not exist counts as one with the strongest answer would, so that fewer decisions are no merit.

    Args:
        space: the decisions, all of which are answered by relaxations.
        relaxations: by name.
        strengths: by name of each relaxation.
    """

    def __init__(
        self, space: SearchSpace, relaxations: Mapping[str, Relaxation], strengths: Mapping[str, Strengths]
    ) -> None:
        self._space = space
        self._relaxations = list(relaxations.values())
        self._logs = [
            [[math.log(max(value, LEAST)) for value in row] for row in strengths[name]] for name in relaxations
        ]
        self._answers: Architecture = {}
        for name, relaxation in relaxations.items():
            self._answers.update(relaxation.pick(strengths[name]))
        self._most = [
            self._sum(relaxation.place(self._answers), logs)
            for relaxation, logs in zip(self._relaxations, self._logs, strict=True)
        ]

    def of(self, architecture: Architecture) -> float:
        """The logarithm of the fitness of a canonical architecture: 0 for the strongest of all, less for others."""
        total = 0.0
        for relaxation, logs, most in zip(self._relaxations, self._logs, self._most, strict=True):
            rows = relaxation.place(architecture)
            if any(map(any, rows)):
                total += self._sum(rows, logs) - most
        return total

    @staticmethod
    def _sum(rows: list[list[float]], logs: list[list[float]]) -> float:
        return sum(
            times * log
            for row, known in zip(rows, logs, strict=True)
            for times, log in zip(row, known, strict=True)
            if times
        )

    def best(self, k: int) -> list[Architecture]:
        """The `k` architectures that keep the space's limits and fit best, the best first; fewer if there are fewer.

        Of a small space they are the best. Else it is a best-first search from the fittest of all, over neighbours;
        and, where limits are tight, another one from architectures that keep them, which may miss them for one step.
        At least one comes back.

        Raises:
            SpaceError: no architecture was found that keeps the limits.
        """
        space = self._space
        if not space.limits:
            return self._free(k, FREE)
        if space.size <= SMALL:
            return sorted(space.grid(), key=lambda a: (-self.of(a), space.key(a)))[:k]
        found = self._free(k, FREE_LIMITED)
        return found if len(found) == k else self._limited(found, k)

    def _free(self, k: int, visits: int) -> list[Architecture]:
        """The search that limits do not lead: it visits architectures in the order of their fitness."""
        queue = _Queue(self, self._space)
        queue.add(self._fittest(), inside=True)
        found: list[Architecture] = []
        while queue and visits and len(found) < k:
            visits -= 1
            architecture, _ = queue.pop()
            if not self._space.violations(architecture):
                found.append(architecture)
            for other in self._around(architecture):
                queue.add(other, inside=True)
        return found

    def _limited(self, known: list[Architecture], k: int) -> list[Architecture]:
        """The search that stays within the limits, but for single steps: so two decisions can change together."""
        space, random = self._space, Random(0)
        left = CHEAP if all(limit.cost.cheap for limit in space.limits) else DEAR
        queue = _Queue(self, space)
        found: list[tuple[float, str, Architecture]] = []

        def note(architecture: Architecture, *, leave: bool) -> None:
            """Visit it later, if it keeps the limits, or if they may be left now."""
            inside = not space.violations(architecture)
            if (inside or leave) and queue.add(architecture, inside=inside) and inside:
                found.append((-self.of(architecture), space.key(architecture), architecture))

        for start in (*known, *self._descent(), space.repair(self._fittest(), random)):
            note(start, leave=False)
        for _ in range(DRAWS + k):
            note(space.sample(random), leave=False)
        while queue and left > 0:
            architecture, inside = queue.pop()
            for other in self._around(architecture):
                if other not in queue:
                    note(other, leave=inside)
                    left -= 1
        return [architecture for _, _, architecture in sorted(found)[:k]]

    def _descent(self) -> Iterator[Architecture]:
        """From the fittest of all step by step into the limits, by what costs least fitness for what it brings."""
        architecture = self._fittest()
        while excess := self._excess(architecture):
            fitness = self.of(architecture)
            steps = []
            for other in self._around(architecture):
                won = excess - self._excess(other)
                if won > 0:
                    lost = fitness - self.of(other)
                    steps.append((lost / won if lost > 0 else lost * won, self._space.key(other), other))
            if not steps:
                return
            architecture = min(steps)[2]
        yield architecture

    def _fittest(self) -> Architecture:
        """The fittest of all, limits or not."""
        return self._space.decide(lambda decision: self._answers[decision.label])

    def _excess(self, architecture: Architecture) -> float:
        """How far the limits are missed."""
        return sum(limit.excess(architecture) for limit in self._space.limits)

    def _around(self, architecture: Architecture) -> Iterator[Architecture]:
        """The architectures that differ in one decision, limits or not; what exists only then is the fittest."""
        space = self._space
        for label, value in architecture.items():
            for other in space[label].neighbours(value):
                changed = {**self._answers, **architecture, label: other}
                yield space.decide(lambda decision: changed[decision.label])  # noqa: B023 (used at once)


class _Queue:
    """Architectures that are still to be visited, the fittest first; each is taken once."""

    def __init__(self, fitness: Fitness, space: SearchSpace) -> None:
        self._fitness, self._space = fitness, space
        self._heap: list[tuple[float, str, bool, Architecture]] = []
        self._met: set[str] = set()

    def add(self, architecture: Architecture, *, inside: bool) -> bool:
        """Whether it is new."""
        name = self._space.key(architecture)
        if name in self._met:
            return False
        self._met.add(name)
        heappush(self._heap, (-self._fitness.of(architecture), name, inside, architecture))
        return True

    def pop(self) -> tuple[Architecture, bool]:
        """The fittest, and whether it keeps the limits."""
        _, _, inside, architecture = heappop(self._heap)
        return architecture, inside

    def __contains__(self, architecture: Architecture) -> bool:
        return self._space.key(architecture) in self._met

    def __bool__(self) -> bool:
        return bool(self._heap)
