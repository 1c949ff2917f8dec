"""Layered layout of a directed graph of boxes (Sugiyama, Tagawa and Toda, 1981): pure geometry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

Point = tuple[float, float]
Edge = tuple[int, int]

GAP_X, GAP_Y, LANE = 20.0, 30.0, 12.0
"""Least distances between boxes of a rank, between ranks, and between a box and a passing edge; pixels."""

SWEEPS = 8
STRAIGHT = (1.0, 2.0, 8.0)
"""How much an edge is to be straight: between boxes, between a box and a bend, between bends."""

PORT = 18.0
"""Greatest distance between two ends of edges on one side of a box."""


@dataclass(frozen=True)
class Route:
    """The way of an edge: points to pass, in order; between two that differ in x the line swings."""

    source: int
    target: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        places: left upper corner of each box.
        routes: the way of each edge, in the given order.
        width, height: of the whole, from (0, 0).
    """

    places: tuple[Point, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


def layered(sizes: Sequence[Point], edges: Sequence[Edge], *, tallest: float = math.inf) -> Layout:
    """Lay boxes out in ranks from top to bottom, so that every edge leads down and passes no box.

    Args:
        sizes: width and height of each box, the boxes in topological order.
        edges: (source, target), source < target; each pair at most once.
        tallest: a greater height is cut, where all edges come from one box, into columns; an edge to the next column
            leads up between them.
    """
    if not sizes:
        return Layout((), (), 0.0, 0.0)
    ranks = _ranks(len(sizes), edges)
    columns = _columns(sizes, edges, ranks, tallest)
    column_of = {node: index for index, column in enumerate(columns) for node in column}
    places: dict[int, Point] = {}
    routes: dict[Edge, tuple[Point, ...]] = {}
    left = height = 0.0
    for index, column in enumerate(columns):
        entering = [edge for edge in edges if column_of[edge[1]] == index and column_of[edge[0]] != index]
        part = _Column(sizes, column, [e for e in edges if column_of[e[0]] == column_of[e[1]] == index], entering)
        if entering:
            source = entering[0][0]
            x0 = places[source][0] + sizes[source][0] / 2
            y0 = places[source][1] + sizes[source][1]
            lane, low = left - GAP_X, y0 + GAP_Y / 2
            top = (left + part.entry[0], part.entry[1])
            lead: tuple[Point, ...] = ((x0, y0), (x0, low), (lane, low), (lane, -GAP_Y / 2), (top[0], -GAP_Y / 2))
        places |= {node: (left + x, y) for node, (x, y) in part.places.items()}
        for edge, points in part.routes.items():
            moved = tuple((left + x, y) for x, y in points)
            routes[edge] = (*lead, *moved) if edge in entering else moved
        height = max(height, part.height)
        left += part.width + 2 * GAP_X
    ordered = tuple(Route(*edge, routes[edge]) for edge in edges)
    top_margin = GAP_Y if len(columns) > 1 else 0.0
    bottom = max([height, *(y for route in ordered for _, y in route.points)])
    return Layout(
        tuple((places[node][0], places[node][1] + top_margin) for node in range(len(sizes))),
        tuple(Route(r.source, r.target, tuple((x, y + top_margin) for x, y in r.points)) for r in ordered),
        left - 2 * GAP_X,
        bottom + top_margin,
    )


def _ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """Rank of each box: the length of the longest way to it; what has no source is put right above its target."""
    rank = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        rank[target] = max(rank[target], rank[source] + 1)
    fed = {target for _, target in edges}
    for node in range(count):
        targets = [rank[target] for source, target in edges if source == node]
        if node not in fed and targets:
            rank[node] = min(targets) - 1
    return rank


def _columns(sizes: Sequence[Point], edges: Sequence[Edge], ranks: list[int], tallest: float) -> list[list[int]]:
    """Boxes by column. A cut lies below a rank of one box from which all edges across the cut come."""
    heights = [max(sizes[n][1] for n, r in enumerate(ranks) if r == rank) + GAP_Y for rank in range(max(ranks) + 1)]
    total = sum(heights)
    if total <= tallest:
        return [list(range(len(sizes)))]
    possible: dict[int, float] = {}
    for rank, filled in enumerate(accumulate(heights[:-1])):
        alone = {node for node, r in enumerate(ranks) if r == rank}
        if len(alone) == 1 and alone == {source for source, end in edges if ranks[source] <= rank < ranks[end]}:
            possible[rank] = filled
    count = math.ceil(total / tallest)
    ideal = [total * part / count for part in range(1, count)]
    cuts = sorted({min(possible, key=lambda rank: abs(possible[rank] - at)) for at in ideal}) if possible else []
    return [
        [node for node, rank in enumerate(ranks) if low < rank <= high]
        for low, high in zip([-1, *cuts], [*cuts, max(ranks)], strict=True)
    ]


class _Column:
    """The layout of one column. Beside boxes it places bends: where a long edge passes a rank."""

    def __init__(
        self, sizes: Sequence[Point], nodes: Sequence[int], edges: Sequence[Edge], entering: Sequence[Edge]
    ) -> None:
        self.nodes = list(nodes)
        local = {node: i + bool(entering) for i, node in enumerate(nodes)}
        # An entry stands for the box in the column before from which edges come.
        pairs = [(local[s], local[t]) for s, t in edges] + [(0, local[t]) for _, t in entering]
        self._sizes = [(1.0, 1.0)] * bool(entering) + [sizes[node] for node in nodes]
        ranks = _ranks(len(self._sizes), pairs)
        self._layers: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
        for node, rank in enumerate(ranks):
            self._layers[rank].append(node)
        self._chains = [self._chain(source, target, ranks) for source, target in pairs]
        self._above: dict[int, list[int]] = {node: [] for layer in self._layers for node in layer}
        self._below: dict[int, list[int]] = {node: [] for layer in self._layers for node in layer}
        for chain in self._chains:
            for one, other in pairwise(chain):
                self._below[one].append(other)
                self._above[other].append(one)
        self._order()
        self._centres = self._positions()
        self._tops, self._bottoms = self._bands()
        first = bool(entering)
        self.width = max(self._centres[n] + self._sizes[n][0] / 2 for layer in self._layers for n in layer)
        self.height = self._bottoms[-1]
        rank_of = {node: rank for rank, layer in enumerate(self._layers) for node in layer}
        self._y = {n: (self._tops[r] + self._bottoms[r] - self._sizes[n][1]) / 2 for n, r in rank_of.items()}
        self.places = {
            node: (self._centres[local[node]] - sizes[node][0] / 2, self._y[local[node]]) for node in self.nodes
        }
        self.entry: Point = (self._centres[0], 0.0) if first else (0.0, 0.0)
        ways = self._ways(rank_of)
        self.routes = dict(zip([*edges, *entering], ways, strict=True))

    def _chain(self, source: int, target: int, ranks: Sequence[int]) -> list[int]:
        chain = [source]
        for rank in range(ranks[source] + 1, ranks[target]):
            bend = len(self._sizes)
            self._sizes.append((LANE, 0.0))
            self._layers[rank].append(bend)
            chain.append(bend)
        return [*chain, target]

    def _order(self) -> None:
        """Order each rank by the mean place of its neighbours, down and up; keep the order with fewest crossings."""
        best, fewest = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            neighbours = self._above if down else self._below
            for layer in self._layers if down else self._layers[::-1]:
                place = {n: i for other in self._layers for i, n in enumerate(other)}
                means = {n: _mean([place[m] for m in neighbours[n]], place[n]) for n in layer}
                layer.sort(key=lambda n: (means[n], place[n]))
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self._layers], crossings
        self._layers = best

    def _crossings(self) -> int:
        place = {n: i for layer in self._layers for i, n in enumerate(layer)}
        count = 0
        for layer in self._layers:
            ends = [place[m] for n in layer for m in sorted(self._below[n], key=place.__getitem__)]
            count += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
        return count

    def _positions(self) -> dict[int, float]:
        """Centres: each rank is drawn towards its neighbours' mean, as far as order and distances allow."""
        centres: dict[int, float] = {}
        for layer in self._layers:
            x = 0.0
            for node in layer:
                centres[node] = x + self._sizes[node][0] / 2
                x += self._sizes[node][0] + GAP_X
        best, least = dict(centres), math.inf
        for sweep in range(SWEEPS * 2):
            down = sweep % 2 == 0
            for layer in self._layers if down else self._layers[::-1]:
                pulls = [self._pull(node, (self._above if down else self._below)[node], centres) for node in layer]
                centres |= dict(zip(layer, self._spread(layer, pulls), strict=True))
            bent = sum(
                self._weight(node, other) * abs(centres[node] - centres[other])
                for node, others in self._below.items()
                for other in others
            )
            if bent < least - 0.5:
                best, least = dict(centres), bent
        centres = best
        for chain in self._chains:
            self._straighten(chain[1:-1], centres)
        left = min(centres[n] - self._sizes[n][0] / 2 for n in centres)
        return {node: x - left for node, x in centres.items()}

    def _straighten(self, bends: Sequence[int], centres: dict[int, float]) -> None:
        """Put the bends of an edge one below the other, if their neighbours leave room for that."""
        low, high = -math.inf, math.inf
        for bend in bends:
            layer = next(layer for layer in self._layers if bend in layer)
            index = layer.index(bend)
            if index > 0:
                low = max(low, centres[layer[index - 1]] + self._distance(layer[index - 1], bend))
            if index + 1 < len(layer):
                high = min(high, centres[layer[index + 1]] - self._distance(bend, layer[index + 1]))
        if bends and low <= high:
            middle = sorted(centres[bend] for bend in bends)[len(bends) // 2]
            centres |= dict.fromkeys(bends, min(max(middle, low), high))

    def _distance(self, one: int, other: int) -> float:
        """The least distance of the centres of two neighbours."""
        return (self._sizes[one][0] + self._sizes[other][0]) / 2 + GAP_X

    def _weight(self, one: int, other: int) -> float:
        return STRAIGHT[(self._sizes[one][1] == 0) + (self._sizes[other][1] == 0)]

    def _pull(self, node: int, near: Sequence[int], centres: Mapping[int, float]) -> Point:
        """Where its edges pull a node, and how strongly: to the weighted median of the other ends."""
        if not near:
            return centres[node], 0.1
        ends = sorted((centres[other], self._weight(node, other)) for other in near)
        half = sum(weight for _, weight in ends) / 2
        passed = list(accumulate(weight for _, weight in ends))
        low = next(x for (x, _), sum_ in zip(ends, passed, strict=True) if sum_ >= half)
        high = next(x for (x, _), sum_ in zip(ends, passed, strict=True) if sum_ > half)
        return (low + high) / 2, max(weight for _, weight in ends)

    def _spread(self, layer: Sequence[int], pulls: Sequence[Point]) -> list[float]:
        """The centres nearest to the wanted ones (weighted least squares) that keep order and distances.

        Less the distances it is a regression by a rising function: pool neighbours that violate the order.
        """
        offsets = [0.0]
        for one, other in pairwise(layer):
            offsets.append(offsets[-1] + self._distance(one, other))
        pools: list[tuple[float, float, int]] = []
        for (want, weight), offset in zip(pulls, offsets, strict=True):
            mean, total, count = want - offset, weight, 1
            while pools and pools[-1][0] > mean:
                before, heavy, many = pools.pop()
                mean = (before * heavy + mean * total) / (heavy + total)
                total, count = heavy + total, many + count
            pools.append((mean, total, count))
        bases = [mean for mean, _, count in pools for _ in range(count)]
        return [base + offset for base, offset in zip(bases, offsets, strict=True)]

    def _bands(self) -> tuple[list[float], list[float]]:
        """Upper and lower end of each rank; ranks are farther apart where lines between them swing far."""
        tops, bottoms, y = [], [], 0.0
        for layer in self._layers:
            tops.append(y)
            y += max(self._sizes[node][1] for node in layer)
            bottoms.append(y)
            swings = [abs(self._centres[n] - self._centres[m]) for n in layer for m in self._below[n]]
            y += GAP_Y + min(max(swings, default=0.0) * 0.08, 50.0)
        return tops, bottoms

    def _ways(self, rank_of: Mapping[int, int]) -> list[tuple[Point, ...]]:
        outs = self._ports({n: [c for c in self._chains if c[0] == n] for n in rank_of}, at=1)
        ins = self._ports({n: [c for c in self._chains if c[-1] == n] for n in rank_of}, at=-2)
        ways = []
        for chain in self._chains:
            first, last = chain[0], chain[-1]
            x, y = outs[tuple(chain)], self._y[first] + self._sizes[first][1]
            points = [(x, y), (x, self._bottoms[rank_of[first]])]
            for bend in chain[1:-1]:
                x = self._centres[bend]
                points += [(x, self._tops[rank_of[bend]]), (x, self._bottoms[rank_of[bend]])]
            x = ins[tuple(chain)]
            points += [(x, self._tops[rank_of[last]]), (x, self._y[last])]
            ways.append(tuple(p for i, p in enumerate(points) if i == 0 or p != points[i - 1]))
        return ways

    def _ports(self, chains: Mapping[int, list[list[int]]], *, at: int) -> dict[tuple[int, ...], float]:
        """Where on its side of a box each edge ends: ordered by where it leads."""
        ports = {}
        for node, ends in chains.items():
            ordered = sorted(ends, key=lambda chain: (self._centres[chain[at]], chain))
            step = min(PORT, self._sizes[node][0] / (len(ends) + 1))
            for i, chain in enumerate(ordered):
                ports[tuple(chain)] = self._centres[node] + (i - (len(ends) - 1) / 2) * step
        return ports


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
