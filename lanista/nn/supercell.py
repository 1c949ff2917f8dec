"""`MixedCell`: a cell with all candidates on all earlier tensors of each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from lanista.nn.mixture import Mixed, Relaxation, Strengths, mixture_of, strongest
from lanista.space.context import Context
from lanista.space.domain import Architecture, Categorical, Value


def place_of(label: str, node: int, source: int, name: str | int) -> str:
    """What a candidate on the way from tensor `source` to a node is called in a supernet."""
    return f"{label}/{source}->{node}={name}"


@dataclass(frozen=True)
class MixedNode:
    """All that a node can be.

    Attributes:
        relaxation: of a row for each earlier tensor.
        edges: the candidates by name, for each earlier tensor.
    """

    relaxation: Relaxation
    edges: list[dict[str | int, nn.Module]]


def relax(
    context: Context,
    label: str,
    domain: Categorical,
    place: tuple[int, int],
    build: Callable[[int, str | int], nn.Module],
    obstacle: str | None,
) -> MixedNode | None:
    """What a node becomes where all is mixed; None where one cell is wanted.

    As in DARTS, there is a choice between the candidates for each earlier tensor, and in the end the tensors stay whose
    strongest candidates are the strongest. Operations of one node that stand for the same have the same weights.

    Args:
        context: answers.
        label: of the cell.
        domain: the candidates' names.
        place: the node's number, and its number of operations.
        build: makes a candidate, from the number of its input and its name.
        obstacle: why nodes cannot be mixed, if they cannot.
    """
    node = place[0]
    relaxation = context.relax(f"{label}/{node}", partial(_relaxation, label, domain, place), obstacle)
    if relaxation is None:
        return None
    names = cast(tuple[str | int, ...], domain.options)
    return MixedNode(relaxation, [{name: build(source, name) for name in names} for source in range(node)])


def _relaxation(label: str, domain: Categorical, place: tuple[int, int]) -> Relaxation:
    node, count = place
    names = domain.options

    def pick(strengths: Strengths) -> Architecture:
        best = [strongest(row)[0] for row in strengths]
        firsts = [(source, best[source]) for source in range(node)]
        others = [(s, op) for s in range(node) for op in range(len(names)) if op != best[s]]
        ranked = [sorted(pairs, key=lambda pair: -strengths[pair[0]][pair[1]]) for pairs in (firsts, others)]
        chosen = sorted((ranked[0] + ranked[1])[:count])
        chosen += chosen[:1] * (count - len(chosen))  # a node with fewer pairs than operations
        return {
            f"{label}/{what}_{node}_{k}": value
            for k, (source, op) in enumerate(chosen)
            for what, value in (("op", names[op]), ("input", source))
        }

    def find(architecture: Mapping[str, Value]) -> list[list[float]]:
        found = [[0.0] * len(names) for _ in range(node)]
        for k in range(count):
            if f"{label}/op_{node}_{k}" in architecture:
                op = domain.index(architecture[f"{label}/op_{node}_{k}"])
                found[architecture[f"{label}/input_{node}_{k}"]][op] += 1
        return found

    labels = tuple(f"{label}/{what}_{node}_{k}" for k in range(count) for what in ("op", "input"))
    return Relaxation(f"{label}/{node}", node, len(names), labels, pick, find, tuple(map(str, names)), rivals=True)


class MixedCell(Mixed):
    """All candidates on all earlier tensors of each node, summed.

    Args:
        nodes: what each node can be.
        num_predecessors: as `Cell` has it, and so the rest.
        outputs: the numbers of the nodes that are put out.
        preprocessor: takes the list of inputs.
        postprocessor: takes the output and the list of inputs.
        concat_dim: dimension along which the nodes are put together.

    Attributes:
        output_node_indices: as a cell has it.
    """

    def __init__(
        self,
        nodes: Sequence[MixedNode],
        num_predecessors: int,
        outputs: Sequence[int],
        preprocessor: nn.Module | None,
        postprocessor: nn.Module | None,
        concat_dim: int,
    ) -> None:
        super().__init__(nodes[0].relaxation)
        self.relaxations = [node.relaxation for node in nodes]
        self.names = [[list(edge) for edge in node.edges] for node in nodes]
        self.edges = nn.ModuleList(nn.ModuleList(edge.values()) for node in nodes for edge in node.edges)
        self.preprocessor, self.postprocessor, self.concat_dim = preprocessor, postprocessor, concat_dim
        self.num_predecessors, self.output_node_indices = num_predecessors, list(outputs)

    def parts(self) -> dict[str, nn.Module]:
        label, first = self.relaxation.name.rpartition("/")[0], self.num_predecessors
        found = {
            f".{place_of(label, node, source, name)}": layer
            for node, (names, edges) in enumerate(zip(self.names, self._edges(), strict=True), first)
            for source, (edge, layers) in enumerate(zip(names, edges, strict=True))
            for name, layer in zip(edge, layers, strict=True)
        }
        ends = {".preprocessor": self.preprocessor, ".postprocessor": self.postprocessor}
        return {**found, **{name: module for name, module in ends.items() if module is not None}}

    def _edges(self) -> list[list[list[nn.Module]]]:
        """The candidates: for each node, and each tensor before it."""
        left = iter(self.edges)
        return [[list(cast(nn.ModuleList, next(left))) for _ in names] for names in self.names]

    def forward(self, inputs: Any) -> Any:
        """As the cell's."""
        given = [inputs] if self.num_predecessors == 1 else inputs
        tensors = list(given if self.preprocessor is None else self.preprocessor(given))
        for relaxation, edges in zip(self.relaxations, self._edges(), strict=True):
            mixture = mixture_of(relaxation)
            terms = [mixture.mix(row, layers, tensors[row]) for row, layers in enumerate(edges) if mixture.running(row)]
            tensors.append(sum(terms[1:], terms[0]) if terms else torch.zeros_like(tensors[-1]))
        merged = [tensors[node] for node in self.output_node_indices]
        output = merged[0] if len(merged) == 1 else torch.cat(merged, self.concat_dim)
        return output if self.postprocessor is None else self.postprocessor(output, given)
