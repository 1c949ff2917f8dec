"""`NasBench201Cell`: every tensor is a sum over all earlier ones, each through an operation of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import TypeAlias

from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import PythonCode

from lanista.errors import SpaceError
from lanista.nn.cell import assembled, total
from lanista.nn.layer import LayerChoice, named
from lanista.space.context import current
from lanista.space.domain import is_integer

Operation: TypeAlias = Callable[[int, int], nn.Module]
"""Builds a module from its numbers of input and output features."""


def NasBench201Cell(
    op_candidates: Sequence[Operation] | Mapping[str, Operation],
    in_features: int,
    out_features: int,
    num_tensors: int = 4,
    *,
    label: str | None = None,
) -> GraphModule:
    """Ask for a cell of NAS-Bench-201 (https://arxiv.org/abs/2001.00326).

    Tensor 0 is the input; tensor `j` is the sum over all `i < j` of an operation on tensor `i`, which
    `{label}/{i}_{j}` says; the last one is the output. The module is plain torch (a generated
    `torch.fx.GraphModule`), with the operations as `op_{i}_{j}`.

    Args:
        op_candidates: by name, or a list; callables of (input features, output features) that build a module.
            Those on the cell's input get `in_features`, the others `out_features`, as the first.
        in_features: features (channels) of the input.
        out_features: features of all other tensors.
        num_tensors: number of tensors, input and output included; at least 2.
        label: name before those of the decisions.

    Raises:
        SpaceError: `num_tensors` is less than 2, a candidate builds no module, or a label is taken by another
            domain.
    """
    if not (is_integer(num_tensors) and num_tensors > 1):
        raise SpaceError(f"num_tensors is {num_tensors!r}; it must be an integer of at least 2, input and output")
    parts = named(op_candidates)
    label = current().name("NasBench201Cell", label)
    layers: dict[str, object] = {}
    for i, j in _edges(num_tensors):
        features = in_features if i == 0 else out_features
        candidates = {name: partial(part, features, out_features) for name, part in parts.items()}
        layers[f"op_{i}_{j}"] = LayerChoice(candidates, label=f"{label}/{i}_{j}")  # type: ignore[arg-type]
    return assembled(layers, _graph(num_tensors), _code(num_tensors), "NasBench201Cell")


def _edges(num_tensors: int) -> list[tuple[int, int]]:
    """The pairs (from, to), by the second."""
    return [(i, j) for j in range(1, num_tensors) for i in range(j)]


def _graph(num_tensors: int) -> Graph:
    """What the cell computes."""
    graph = Graph()
    tensors: list[Node] = [graph.placeholder("x")]
    for j in range(1, num_tensors):
        terms = [graph.call_module(f"op_{i}_{j}", (tensor,)) for i, tensor in enumerate(tensors)]
        tensors.append(total(graph, terms))
    graph.output(tensors[-1])
    return graph


@lru_cache(maxsize=64)
def _code(num_tensors: int) -> PythonCode:
    """The source code of such a cell."""
    return _graph(num_tensors).python_code("self")
