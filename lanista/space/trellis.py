"""Exact draws under a limit on a sum of costs.

A dynamic program over the decisions in order, as in `census`: beside what is left of the conditions, a state holds
the answers that later terms of the cost need. Along the paths through these states, what is left of the budget is
counted in steps. Steps are rounded down, so that nothing allowed is lost; what is drawn slightly above the limit is for
the caller to reject.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from random import Random
from typing import NamedTuple

from lanista.space.census import INACTIVE, REST, START, Census, State
from lanista.space.domain import Domain, Key, Value, key
from lanista.space.limit import ABSENT, Limit, Sum

STEPS = 2048
"""Into so many steps the distance from the least cost to the limit is divided."""

MOST_EDGES = 200_000
"""A trellis with more edges is not made; limits are then kept by rejection."""

MOST_NUMBERS = 3_000_000
"""So many numbers at most a trellis keeps, with fewer steps where it has many states."""

NOISE = 1e-9
"""How far sums of floating-point numbers may be off, relative to the greatest."""

MARGIN = 1e-6
"""How far such noise may move a number of steps; a step is never smaller than the noise."""

REMEMBERED = 50_000
"""How many tables of choices a trellis remembers."""

Live = tuple[tuple[int, Key], ...]
"""Answers that later terms need: position and key of the value."""

Node = tuple[State, Live]


class Edge(NamedTuple):
    """A way to decide a decision: the value (or REST, INACTIVE), how many it stands for, its chance, its cost, and what
    follows."""

    value: Value
    number: float
    probability: float
    cost: float
    after: Node


class TooWide(Exception):
    """The terms of a cost tie too many decisions together for an exact program."""


class Trellis:
    """All architectures of a space as paths, with a cost on each edge.

    Args:
        decisions: (label, domain, clauses over positions), each after its parents.
        cost: the sum; terms name only labels of these decisions.
        uniform: "decisions" or "architectures"; what a path weighs, see `SearchSpace.sample`.

    Raises:
        TooWide: it would have more than `MOST_EDGES` edges.
    """

    def __init__(
        self,
        decisions: Sequence[tuple[str, Domain, Sequence[Mapping[int, Sequence[Value]]]]],
        cost: Sum,
        uniform: str,
    ) -> None:
        self._domains = [domain for _, domain, _ in decisions]
        positions = {label: position for position, (label, _, _) in enumerate(decisions)}
        self._terms = [([positions[label] for label in term.labels], term) for term in cost.terms]
        self._constant = cost.constant
        self._counts = uniform == "architectures"
        told = {position: self._values(position) for places, _ in self._terms for position in places}
        self._census = Census([(domain, clauses) for _, domain, clauses in decisions], told)
        self._levels = self._grown()
        self._least, self._greatest = self._extremes(min), self._extremes(max)
        self._budget = 0
        self._tables: dict[tuple[int, Node, int], tuple[list[float], list[Edge], list[int]]] = {}

    def _values(self, position: int) -> Sequence[Value]:
        if self._domains[position].size > MOST_EDGES:
            raise TooWide
        return self._domains[position].grid()

    def _grown(self) -> list[dict[Node, list[Edge]]]:
        last = [max(places) for places, _ in self._terms]
        until = [-1] * len(self._domains)  # the last term that needs a position
        due: list[list[int]] = [[] for _ in self._domains]
        for index, (places, _) in enumerate(self._terms):
            due[last[index]].append(index)
            for place in places:
                until[place] = max(until[place], last[index])
        levels: list[dict[Node, list[Edge]]] = []
        nodes: list[Node] = [(START, ())]
        total = 0
        for position in range(len(self._domains)):
            level = {}
            for node in nodes:
                level[node] = self._edges(position, node, due[position], until)
                total += len(level[node])
                if total > MOST_EDGES:
                    raise TooWide
            levels.append(level)
            nodes = list(dict.fromkeys(edge.after for edges in level.values() for edge in edges))
        return levels

    def _edges(self, position: int, node: Node, due: Sequence[int], until: Sequence[int]) -> list[Edge]:
        state, live = node
        domain = self._domains[position]
        edges = []
        told = 0.0
        for value, number, after in self._census.groups(position, state):
            if value is INACTIVE:
                stand_in, probability = ABSENT, 1.0
            elif value is REST:
                stand_in, probability = None, max(1.0 - told, 0.0)
            else:
                stand_in, probability = key(value), domain.probability(value)
                told += probability
            known = {**dict(live), position: stand_in}
            cost = math.fsum(
                term.amount(tuple([known[place] for place in places]))
                for places, term in (self._terms[index] for index in due)
            )
            kept = tuple((place, answer) for place, answer in known.items() if until[place] > position)
            edges.append(Edge(value, number, probability, cost, (after, kept)))
        return edges

    def _weight(self, edge: Edge) -> float:
        return edge.number if self._counts else edge.probability

    def _extremes(self, pick: Callable[[Sequence[float]], float]) -> list[dict[Node, float]]:
        """For each level and node, the least (or greatest) cost of what follows; 0 after the last."""
        ends: list[dict[Node, float]] = [{}]
        for level in reversed(self._levels):
            following = ends[-1]
            ends.append(
                {
                    node: pick([edge.cost + following.get(edge.after, 0.0) for edge in edges])
                    for node, edges in level.items()
                }
            )
        return ends[::-1]

    @property
    def least(self) -> float:
        """The least cost that an architecture has."""
        return self._constant + self._least[0].get((START, ()), 0.0)

    @property
    def greatest(self) -> float:
        """The greatest cost that an architecture has."""
        return self._constant + self._greatest[0].get((START, ()), 0.0)

    # --- counting -----------------------------------------------------------------------------------------

    def limit(self, limit: Limit) -> float:
        """Prepare for draws within `limit`, which is on this cost; returns the share of the weight that they have.

        The share is that of all paths of which the rounded cost is within the limit: at least the true one.
        """
        if not self._levels:
            return float(not limit.excess({}))
        most = self.greatest if limit.most is None else min(limit.most, self.greatest)
        noise = NOISE * max(abs(self.least), abs(self.greatest))
        if most < self.least - noise or (limit.least is not None and limit.least > self.greatest + noise):
            return 0.0
        slack = max(most - self.least, 0.0)
        self._step = self._step_size(slack, noise)
        self._budget = math.floor(slack / self._step + MARGIN)
        low = 0.0 if limit.least is None else (limit.least - self.least) / self._step
        # Each level may have rounded a step away.
        lowest = max(math.ceil(low - MARGIN) if self._exact else math.floor(low) - len(self._levels), 0)
        # What is left of the budget in the end is within the limit if it is at most `budget - lowest`. So counted,
        # nothing is subtracted: few architectures beside very many would be lost in the rounding of a difference.
        self._ends = [float(left <= self._budget - lowest) for left in range(self._budget + 1)]
        self._within, totals = self._counted()
        return self._within[0][START, ()][self._budget] / totals if totals else 0.0

    def _step_size(self, slack: float, noise: float) -> float:
        """The size of a step: a common divisor of all costs where few enough steps are needed, else rounded."""
        steps = min(STEPS, MOST_NUMBERS // sum(map(len, self._levels)))
        if steps < len(self._levels):  # rounding would leave nothing of the limit
            raise TooWide
        excesses = [
            self._excess(position, node, edge)
            for position, level in enumerate(self._levels)
            for node, edges in level.items()
            for edge in edges
        ]
        if all(excess.is_integer() and excess < 2**53 for excess in excesses):
            divisor = math.gcd(*map(int, excesses)) or 1
            if slack / divisor <= steps:
                self._exact = True
                return float(divisor)
        self._exact = False
        return max((slack if slack > noise else self.greatest - self.least) / steps, noise) or 1.0

    def _rounded(self, excess: float) -> int:
        """An amount in steps, never more than it is."""
        steps = excess / self._step
        return round(steps) if self._exact else max(math.floor(steps - MARGIN), 0)

    def _excess(self, position: int, node: Node, edge: Edge) -> float:
        """How much dearer than the cheapest way this edge is; never negative."""
        cheapest = self._least[position][node]
        return max(edge.cost + self._least[position + 1].get(edge.after, 0.0) - cheapest, 0.0)

    def _counted(self) -> tuple[list[dict[Node, list[float]]], float]:
        """For each node and budget, the weight of what can follow within the limit, in a scale of each level's own.

        The second value is the weight of all paths, in the scale of the first level.
        """
        size = self._budget + 1
        within: list[dict[Node, list[float]]] = [{}]
        totals: dict[Node, float] = {}
        self._steps: list[dict[Node, list[int]]] = []
        for position in reversed(range(len(self._levels))):
            level = self._levels[position]
            following, sums = within[-1], totals
            here, totals, taken = {}, {}, {}
            for node, edges in level.items():
                counts = [0.0] * size
                total = 0.0
                steps = [self._rounded(self._excess(position, node, edge)) for edge in edges]
                for edge, step in zip(edges, steps, strict=True):
                    weight = self._weight(edge)
                    total += weight * sums.get(edge.after, 1.0)
                    if step < size:
                        added = following.get(edge.after, self._ends)[: size - step]
                        counts[step:] = [one + weight * more for one, more in zip(counts[step:], added, strict=True)]
                here[node], totals[node], taken[node] = counts, total, steps
            scale = max(totals.values())
            within.append({node: [count / scale for count in counts] for node, counts in here.items()})
            totals = {node: total / scale for node, total in totals.items()}
            self._steps.append(taken)
        self._steps.reverse()
        return within[::-1], totals.get((START, ()), 1.0)

    # --- drawing ------------------------------------------------------------------------------------------

    def draw(self, random: Random) -> list[Value]:
        """One value or INACTIVE for each decision, within the prepared limit as the steps see it."""
        values = []
        node: Node = (START, ())
        budget = self._budget
        for position in range(len(self._levels)):
            totals, edges, steps = self._choices(position, node, budget)
            index = bisect_right(totals, random.random() * totals[-1], hi=len(totals) - 1)
            value = edges[index].value
            if value is REST:
                domain = self._domains[position]
                value = self._census.unmentioned(
                    position, partial(domain.pick if self._counts else domain.draw, random)
                )
            values.append(value)
            node = edges[index].after
            budget -= steps[index]
        return values

    def _choices(self, position: int, node: Node, budget: int) -> tuple[list[float], list[Edge], list[int]]:
        """Cumulative weights of the edges that stay within the limit, these edges, and the steps that they take."""
        name = (position, node, budget)
        if name in self._tables:
            return self._tables[name]
        following = self._within[position + 1]
        weights, edges, steps = [], [], []
        for edge, step in zip(self._levels[position][node], self._steps[position][node], strict=True):
            if step > budget:
                continue
            weights.append(self._weight(edge) * following.get(edge.after, self._ends)[budget - step])
            edges.append(edge)
            steps.append(step)
        if len(self._tables) >= REMEMBERED:
            self._tables.clear()
        self._tables[name] = list(accumulate(weights)), edges, steps
        return self._tables[name]
