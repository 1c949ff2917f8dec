"""`NasBench101Cell`: a small graph of operations, in number and connections of its vertices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, cast

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node

from lanista.errors import ArchitectureError, SpaceError
from lanista.nn.cell import total
from lanista.nn.layer import make, named, names_of, place_of
from lanista.nn.mixture import Collection
from lanista.space import dag
from lanista.space.context import Context, current
from lanista.space.domain import Integer, Subset, Value, is_integer

Operation: TypeAlias = Callable[[int], nn.Module]
"""Builds a module from its number of features, which its output has, too."""


def NasBench101Cell(
    op_candidates: Sequence[Operation] | Mapping[str, Operation],
    in_features: int,
    out_features: int,
    projection: Callable[[int, int], nn.Module],
    max_num_nodes: int = 7,
    max_num_edges: int = 9,
    *,
    label: str | None = None,
) -> GraphModule:
    """Ask for a cell of NAS-Bench-101 (https://arxiv.org/abs/1902.09635).

    `{label}/num_nodes` counts the vertices: 0 is the input, the last one the output. `{label}/op{i}` is the
    operation of inner vertex `i`; `{label}/input{i}` lists the earlier vertices that vertex `i` has edges from, at
    least one. So every vertex is reached from the input; those that do not lead to the output are left out of
    the model, and their answers have no effect (`lanista.space.dag` has the pruned graph as data, and draws
    cells without such vertices, each distinct one equally often). The space is limited to `max_num_edges`.

    Vertices add up what they get. As in the benchmark's own code, vertices with an edge to the output share its
    features, and are concatenated; others have as many as the greatest that they lead to; a tensor with too many is
    cut. The input is projected for each vertex that it leads to, and added to the output if it leads there.

    The module is plain torch (a generated `torch.fx.GraphModule`), with `op_{i}` and `projection_{i}` in it.

    Args:
        op_candidates: by name, or a list; callables that build a module from its number of features. What they ask
            is asked for vertices that are left out, too.
        in_features: features (channels, dimension 1) of the input.
        out_features: features of the output.
        projection: builds a module from its numbers of input and output features; it asks nothing.
        max_num_nodes: greatest number of vertices, at least 2.
        max_num_edges: greatest number of edges after pruning, at least 1.
        label: name before those of the decisions.

    Raises:
        SpaceError: a number is out of range, a candidate or the projection builds no module, or a label is taken
            by another domain.
        ArchitectureError: the architecture has too many edges.
    """
    for name, number, least in (("max_num_nodes", max_num_nodes, 2), ("max_num_edges", max_num_edges, 1)):
        if not (is_integer(number) and number >= least):
            raise SpaceError(f"{name} is {number!r}; it must be an integer of at least {least}")
    parts = named(op_candidates)
    context = current()
    label = context.name("NasBench101Cell", label)
    answers = _ask(context, parts, label, max_num_nodes)
    labels = [f"{label}/num_nodes", *(f"{label}/op{vertex}" for vertex in range(1, max_num_nodes - 1))]
    labels += [f"{label}/input{vertex}" for vertex in range(1, max_num_nodes)]
    if context.refuse(labels, "the channels of a cell of NAS-Bench-101 depend on its whole graph", whole=True):
        whole = _all(context, parts, label, max_num_nodes, partial(projection, in_features, out_features), out_features)
        return cast(GraphModule, whole)  # typed for users, who see it only in a supernet
    if max_num_nodes * (max_num_nodes - 1) // 2 > max_num_edges:
        context.require(dag.limit(label, max_num_edges))
    matrix, _ = dag.graph(answers, label)
    found = dag.edges(matrix)
    if found > max_num_edges:
        raise ArchitectureError(
            f"cell {label!r} has {found} edges after pruning, and max_num_edges is {max_num_edges}; take edges away, "
            "or draw an architecture with the space's `sample`, which keeps the limit"
        )
    features = channels(matrix, in_features, out_features)
    vertices = dag.alive(dag.matrix(answers, label))
    ops = _build(context, parts, label, answers, max_num_nodes, dict(zip(vertices, features, strict=True)))
    module = _module(matrix, vertices, features, ops, projection)
    came = {f"{label}/op{vertex}": layer for vertex, layer in ops.items()}
    for which in answers:
        context.answered(which, came.get(which, module))
    return module


def channels(matrix: dag.Matrix, in_features: int, out_features: int) -> list[int]:
    """The features of each vertex of a pruned graph.

    Raises:
        SpaceError: `out_features` are fewer than the vertices that share them.
    """
    last = len(matrix) - 1
    features = [in_features] + [0] * (last - 1) + [out_features]
    shared = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    if len(shared) > out_features:
        raise SpaceError(f"out_features is {out_features}, but {len(shared)} vertices share them; give more")
    for position, vertex in enumerate(shared):
        features[vertex] = out_features // len(shared) + (position < out_features % len(shared))
    for vertex in range(last - 1, 0, -1):
        if vertex not in shared:
            features[vertex] = max(features[other] for other in range(vertex + 1, last) if matrix[vertex][other])
    return features


def _ask(context: Context, parts: Mapping[str | int, Operation], label: str, most: int) -> dict[str, Value]:
    """Ask for the graph."""
    domain, where = names_of(parts), f"{label}/num_nodes"
    count = context.decide(where, Integer(2, most))
    answers: dict[str, Value] = {where: count}
    for vertex in context.visits(range(1, most - 1), range(1, count - 1)):
        with context.inside(where, vertex, range(vertex + 2, most + 1)):
            answers[f"{label}/op{vertex}"] = context.decide(f"{label}/op{vertex}", domain)
    for vertex in context.visits(range(1, most), range(1, count)):
        with context.inside(where, vertex, range(vertex + 1, most + 1)):
            inputs = context.decide(f"{label}/input{vertex}", Subset(range(vertex), (1, vertex)))
            answers[f"{label}/input{vertex}"] = inputs
    return answers


def _build(
    context: Context,
    parts: Mapping[str | int, Operation],
    label: str,
    answers: Mapping[str, Value],
    most: int,
    features: Mapping[int, int],
) -> dict[int, nn.Module]:
    """The operations of the vertices in `features`; what those of the others ask is asked, too."""
    built = {}
    count, widest = answers[f"{label}/num_nodes"], max(features.values())
    for vertex in context.visits(range(1, most - 1), range(1, count - 1)):
        which = f"{label}/op{vertex}"
        for name in context.visits(parts, [answers[which]]):
            with (
                context.inside(f"{label}/num_nodes", vertex, range(vertex + 2, most + 1)),
                context.inside(which, name, [name]),
            ):
                part = partial(parts[name], features.get(vertex, widest))
                layer = context.part(place_of(which, name), partial(make, part, f"candidate {name!r} of {which!r}"))
            if name == answers[which]:
                built[vertex] = layer
    return built


def _all(
    context: Context,
    parts: Mapping[str | int, Operation],
    label: str,
    most: int,
    projection: Callable[[], nn.Module],
    features: int,
) -> Collection:
    """All that a cell can have in it, as wide as can be."""
    found = {f".projection_{vertex}": projection() for vertex in range(1, most)}
    for vertex in range(1, most - 1):
        which = f"{label}/op{vertex}"
        for name, part in parts.items():
            with (
                context.inside(f"{label}/num_nodes", vertex, range(vertex + 2, most + 1)),
                context.inside(which, name, [name]),
            ):
                layer = make(partial(part, features), f"candidate {name!r} of {which!r}")
            found[f".op_{vertex}[{place_of(which, name)}]"] = layer
    return Collection(found)


def _module(
    matrix: dag.Matrix,
    vertices: Sequence[int],
    features: Sequence[int],
    ops: Mapping[int, nn.Module],
    projection: Callable[[int, int], nn.Module],
) -> GraphModule:
    """The cell as a plain module; `vertices` are the numbers that the rows of `matrix` have in the architecture."""
    graph, layers = Graph(), dict[str, object]()
    tensors: list[Node] = [graph.placeholder("x")]
    last = len(matrix) - 1

    def projected(vertex: int) -> list[Node]:
        if not matrix[0][vertex]:
            return []
        name = f"projection_{vertices[vertex]}"
        layers[name] = make(partial(projection, features[0], features[vertex]), f"the projection to {features[vertex]}")
        return [graph.call_module(name, (tensors[0],))]

    def cut(source: int, vertex: int) -> Node:
        if features[source] == features[vertex]:
            return tensors[source]
        return graph.call_function(torch.narrow, (tensors[source], 1, 0, features[vertex]))

    for vertex in range(1, last):
        terms = [cut(source, vertex) for source in range(1, vertex) if matrix[source][vertex]]
        name = f"op_{vertices[vertex]}"
        layers[name] = ops[vertices[vertex]]
        tensors.append(graph.call_module(name, (total(graph, terms + projected(vertex)),)))
    joined = [tensors[vertex] for vertex in range(1, last) if matrix[vertex][last]]
    if len(joined) > 1:
        joined = [graph.call_function(torch.cat, (joined, 1))]
    graph.output(total(graph, joined + projected(last)))
    return GraphModule(layers, graph, class_name="NasBench101Cell")
