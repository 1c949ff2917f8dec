"""Directed acyclic graphs with an operation in each inner vertex: the cells of NAS-Bench-101, as pure data.

Vertex 0 is the input, the last vertex the output. A `Matrix` has a row for each vertex: `matrix[i][j]` is 1 if an
edge goes from `i` to `j > i`. `ops` has the operations of the inner vertices 1, 2, ..., so two less.
https://arxiv.org/abs/1902.09635
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from random import Random

from lanista.errors import SpaceError
from lanista.space.domain import Architecture, Value, listed
from lanista.space.limit import Function, Limit

Matrix = tuple[tuple[int, ...], ...]
Ops = tuple[Value, ...]


def graph(architecture: Mapping[str, Value], label: str) -> tuple[Matrix, Ops]:
    """The pruned graph of the `NasBench101Cell` of this label, in an architecture of any space that has it."""
    whole = matrix(architecture, label)
    return pruned(whole, tuple(architecture[f"{label}/op{i}"] for i in range(1, len(whole) - 1)))


def matrix(architecture: Mapping[str, Value], label: str) -> Matrix:
    """The graph as the answers give it, with all its vertices."""
    count = architecture[f"{label}/num_nodes"]
    rows = [[0] * count for _ in range(count)]
    for vertex in range(1, count):
        for source in architecture[f"{label}/input{vertex}"]:
            rows[source][vertex] = 1
    return tuple(map(tuple, rows))


def architecture(matrix: Matrix, ops: Ops, label: str) -> Architecture:
    """The answers with which a `NasBench101Cell` of this label has the given graph, in the order it asks them.

    Raises:
        SpaceError: a vertex has no input, so that no such cell has this graph; see `pruned`.
    """
    count = len(matrix)
    inputs = {vertex: [i for i in range(vertex) if matrix[i][vertex]] for vertex in range(1, count)}
    if not all(inputs.values()):
        raise SpaceError(f"vertices {listed([v for v, i in inputs.items() if not i])} have no input; prune the graph")
    answers: Architecture = {f"{label}/num_nodes": count}
    answers.update({f"{label}/op{i}": op for i, op in enumerate(ops, 1)})
    answers.update({f"{label}/input{vertex}": sources for vertex, sources in inputs.items()})
    return answers


def pruned(matrix: Matrix, ops: Ops) -> tuple[Matrix, Ops]:
    """The graph without the vertices that are on no path from input to output.

    Raises:
        SpaceError: there is no path from input to output.
    """
    kept = alive(matrix)
    if len(kept) < 2:
        raise SpaceError(f"no path leads from input to output in {matrix}")
    rows = tuple(tuple(matrix[i][j] for j in kept) for i in kept)
    return rows, tuple(ops[i - 1] for i in kept[1:-1])


def alive(matrix: Matrix) -> list[int]:
    """The vertices on paths from input to output; none if there is no path."""
    last = len(matrix) - 1
    reached, needed = {0}, {last}
    for vertex in range(1, last + 1):
        if any(matrix[i][vertex] for i in reached):
            reached.add(vertex)
    for vertex in range(last - 1, -1, -1):
        if any(matrix[vertex][i] for i in needed):
            needed.add(vertex)
    return sorted(reached & needed) if last in reached else []


def edges(matrix: Matrix) -> int:
    """The number of edges."""
    return sum(map(sum, matrix))


def is_valid(architecture: Mapping[str, Value], label: str, max_num_edges: int = 9) -> bool:
    """Whether the `NasBench101Cell` of this label has, once pruned, at most so many edges."""
    return edges(graph(architecture, label)[0]) <= max_num_edges


@lru_cache(maxsize=256)
def limit(label: str, max_num_edges: int) -> Limit:
    """The limit that `is_valid`; the same object for the same arguments. It holds where there is no such cell."""
    return Limit(Function(f"edges of {label}", _Edges(label)), most=max_num_edges)


@dataclass(frozen=True)
class _Edges:
    label: str

    def __call__(self, architecture: Mapping[str, Value]) -> int:
        there = f"{self.label}/num_nodes" in architecture
        return edges(graph(architecture, self.label)[0]) if there else 0


def canonical(matrix: Matrix, ops: Ops) -> str:
    """A text that two pruned graphs share exactly if they are equal but for the order of inner vertices."""
    last = len(matrix) - 1
    names = [repr(op) for op in ops]
    best = min(
        ([matrix[i][j] for i in order for j in order], [names[i - 1] for i in order[1:-1]])
        for order in ((0, *inner, last) for inner in _orders(matrix))
    )
    return f"{''.join(map(str, best[0]))} {' '.join(best[1])}".strip()


def forms(matrix: Matrix, ops: Ops) -> int:
    """In how many ways the same graph can be written: distinct (matrix, ops), each edge to a later vertex."""
    last = len(matrix) - 1
    orders = automorphisms = 0
    for inner in _orders(matrix):
        orders += 1
        order = (0, *inner, last)
        automorphisms += all(ops[i - 1] == op for i, op in zip(inner, ops, strict=True)) and all(
            matrix[order[i]][order[j]] == matrix[i][j] for i in range(last) for j in range(i + 1, last + 1)
        )
    return orders // automorphisms


def _orders(matrix: Matrix) -> Iterator[tuple[int, ...]]:
    """All orders of the inner vertices in which each edge still leads to a later one."""
    inner = range(1, len(matrix) - 1)
    before = [(i, j) for i in inner for j in inner if matrix[i][j]]
    for order in permutations(inner):
        place = {vertex: position for position, vertex in enumerate(order)}
        if all(place[i] < place[j] for i, j in before):
            yield order


def sample(random: Random, ops: Sequence[Value], max_num_nodes: int = 7, max_num_edges: int = 9) -> tuple[Matrix, Ops]:
    """Draw a pruned graph, each distinct one (up to the order of inner vertices) equally likely.

    Written forms in which each vertex has an input are drawn uniformly; one that needs no pruning and has few
    enough edges is accepted with one over the number of forms that the same graph has.

    Args:
        random: the generator.
        ops: the operations that an inner vertex can have, distinct.
        max_num_nodes: greatest number of vertices, input and output included; at least 2.
        max_num_edges: greatest number of edges; at least 1.
    """
    counts, weights = _weights(len(ops), max_num_nodes)
    while True:
        [count] = random.choices(counts, weights)
        # For each vertex, a set of at least one earlier vertex, as the bits of a number.
        sources = [random.randrange(1, 1 << vertex) for vertex in range(1, count)]
        if sum(map(int.bit_count, sources)) > max_num_edges or not _all_used(sources):
            continue
        matrix = tuple((0,) * (i + 1) + tuple(source >> i & 1 for source in sources[i:]) for i in range(count))
        drawn = tuple(random.choice(ops) for _ in range(count - 2))
        if random.random() * forms(matrix, drawn) < 1:
            return matrix, drawn


@lru_cache(maxsize=64)
def _weights(num_ops: int, max_num_nodes: int) -> tuple[Sequence[int], list[int]]:
    """Numbers of vertices, and how many written forms each has in which every vertex has an input."""
    counts = range(2, max_num_nodes + 1)
    return counts, [
        num_ops ** (count - 2) * math.prod((1 << vertex) - 1 for vertex in range(1, count)) for count in counts
    ]


def _all_used(sources: Iterable[int]) -> bool:
    """Whether each vertex but the last is the source of another."""
    used, count = 0, 0
    for source in sources:
        used |= source
        count += 1
    return used == (1 << count) - 1
