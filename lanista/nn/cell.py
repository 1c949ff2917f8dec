"""`Cell`: nodes that each apply chosen operations to chosen earlier tensors."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import FunctionType
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import PythonCode

from lanista.errors import SpaceError
from lanista.nn.layer import make, named, names_of
from lanista.nn.mixture import Mixed, Relaxation, Strengths, mixture_of, strongest
from lanista.space.context import Context, current
from lanista.space.domain import Architecture, Categorical, Value, is_integer

Operation: TypeAlias = nn.Module | Callable[..., nn.Module]
"""A module, which is copied for each use; or a callable that builds one, with or without three arguments."""

Merge = Literal["all", "loose_end"]


def Cell(  # noqa: PLR0913, the arguments are those that the field knows
    op_candidates: Sequence[Operation] | Mapping[str, Operation],
    num_nodes: int,
    num_ops_per_node: int = 1,
    num_predecessors: int = 1,
    merge_op: Merge = "all",
    preprocessor: nn.Module | None = None,
    postprocessor: nn.Module | None = None,
    concat_dim: int = 1,
    *,
    label: str | None = None,
) -> GraphModule:
    """Ask for a cell: each of its nodes is the sum of operations, each applied to one of the tensors before it.

    Tensors 0 to `num_predecessors` - 1 are the inputs, and nodes count on from there. For operation `k` of node
    `i`, `{label}/op_{i}_{k}` says which candidate it is, and `{label}/input_{i}_{k}` which of the tensors 0 to
    `i` - 1 it gets. The output is the concatenation of nodes. Cells with equal labels have equal architectures.

    The module is plain torch (a generated `torch.fx.GraphModule`), with the operations as `op_{i}_{k}`. It is
    called with the list (or tuple) of input tensors; with one predecessor, with that tensor itself. Its attribute
    `output_node_indices` lists the nodes that the output concatenates, for whoever has to know its channels.

    Args:
        op_candidates: by name, or a list; then the names are the positions 0, 1, .... A module is copied for each
            use. A callable with required parameters gets (node index, operation index, index of the input), any
            other nothing. The input has been chosen by then; to learn what candidates ask, tracing calls each
            of them for each input, so that it may ask other questions for other inputs.
        num_nodes: number of nodes, at least 1.
        num_ops_per_node: number of operations in each node, at least 1.
        num_predecessors: number of inputs, at least 1.
        merge_op: which nodes are concatenated: "all", or with "loose_end" those that no other node uses.
        preprocessor: takes the list of inputs, and returns a list of as many that the nodes see instead.
        postprocessor: takes the cell's output and the list of inputs as they came, and returns what the module
            returns: a tensor, or a tuple of them.
        concat_dim: dimension of the concatenation.
        label: name before those of the decisions.

    Raises:
        SpaceError: a number is less than 1, `merge_op` is unknown, a candidate or processor is not a module and
            builds none, or a label is taken by another domain.
    """
    counts = {"num_nodes": num_nodes, "num_ops_per_node": num_ops_per_node, "num_predecessors": num_predecessors}
    for name, count in counts.items():
        if not (is_integer(count) and count > 0):
            raise SpaceError(f"{name} is {count!r}; it must be an integer of at least 1")
    if merge_op not in ("all", "loose_end"):
        raise SpaceError(f"merge_op is {merge_op!r}; it must be 'all' or 'loose_end'")
    for name, module in (("preprocessor", preprocessor), ("postprocessor", postprocessor)):
        if module is not None and not isinstance(module, nn.Module):
            raise SpaceError(f"{name} is {module!r} ({type(module).__name__}); give a torch.nn.Module")
    given = named(op_candidates)
    parts = {name: _factory(part) for name, part in given.items()}
    same = _Same(tuple(given.values()))
    context = current()
    label = context.name("Cell", label)
    layers: dict[str, object] = {"preprocessor": preprocessor, "postprocessor": postprocessor}
    domain, sources, every = names_of(parts), [], merge_op == "all"
    nodes = range(num_predecessors, num_predecessors + num_nodes)
    mixed = [_relax(context, parts, domain, label, (node, num_ops_per_node), every) for node in nodes]
    if None not in mixed:
        wiring = _Wiring(
            num_predecessors,
            tuple((0,) * num_ops_per_node for _ in nodes),
            every,
            concat_dim,
            preprocessor is not None,
            postprocessor is not None,
        )
        cell = MixedCell([node for node in mixed if node is not None], wiring, preprocessor, postprocessor)
        return cast(GraphModule, cell)  # typed for users, who see it only in a supernet
    for node in nodes:
        for k in range(num_ops_per_node):
            layers[f"op_{node}_{k}"], source = _ask(context, parts, domain, label, (node, k), same)
            sources.append(source)
    wiring = _Wiring(
        num_predecessors,
        tuple(tuple(sources[i : i + num_ops_per_node]) for i in range(0, len(sources), num_ops_per_node)),
        every,
        concat_dim,
        preprocessor is not None,
        postprocessor is not None,
    )
    graph, code = _graph(wiring), _code(wiring)
    # Cells of one label are wired alike, and writing their code would take half of the time.
    graph.python_code = lambda *_, **__: code  # type: ignore[method-assign]
    module = GraphModule({name: layer for name, layer in layers.items() if layer is not None}, graph, class_name="Cell")
    del graph.python_code
    module.output_node_indices = wiring.outputs  # type: ignore[assignment]
    for node in nodes:
        for k in range(num_ops_per_node):
            context.answered(f"{label}/op_{node}_{k}", layers[f"op_{node}_{k}"])
            context.answered(f"{label}/input_{node}_{k}", module)
    return module


def _factory(part: Operation) -> Operation:
    """The candidate, as a module or a callable of three arguments."""
    if isinstance(part, nn.Module) or _takes_arguments(part):
        return part
    return lambda node, op, source: part()


def _takes_arguments(part: Callable[..., nn.Module]) -> bool:
    """Whether a callable has parameters without defaults. A model asks that a hundred times, so it must be quick."""
    whole = part if isinstance(part, partial) else partial(part)
    if isinstance(whole.func, FunctionType):
        code, defaults = whole.func.__code__, whole.func.__defaults__ or ()
        required = code.co_varnames[len(whole.args) : code.co_argcount - len(defaults)]
        return any(name not in whole.keywords for name in required)
    try:
        parameters = inspect.signature(part).parameters.values()
    except ValueError:  # a builtin without a signature
        return False
    return any(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)


@lru_cache(maxsize=1024)
def _sources(count: int) -> Categorical:
    return Categorical(range(count))


class _Same:
    """Equal to another one for the very same objects, which it keeps alive."""

    def __init__(self, objects: tuple[object, ...]) -> None:
        self.objects = objects

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and list(map(id, self.objects)) == list(map(id, other.objects))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.objects)))


def _ask(
    context: Context,
    parts: Mapping[str | int, Operation],
    domain: Categorical,
    label: str,
    place: tuple[int, int],
    same: _Same,
) -> tuple[nn.Module, int]:
    """Ask for operation `k` of a node: its module, and the number of the tensor that it gets."""
    node, k = place
    which, where = f"{label}/op_{node}_{k}", f"{label}/input_{node}_{k}"
    chosen = context.decide(which, domain), context.decide(where, _sources(node))
    pairs = ((name, source) for source in range(node) for name in parts)
    kept: list[nn.Module] = []
    for name, source in context.visits(pairs, [chosen], once=(which, same)):
        is_chosen = (name, source) == chosen
        if isinstance(parts[name], nn.Module) and not is_chosen:
            continue  # it asks nothing
        layer = _build(context, parts[name], label, name, (node, k, source))
        if is_chosen:  # tracing builds all, perhaps with real weights: keep no other
            kept.append(layer)
    return kept[0], chosen[1]


def _build(context: Context, part: Operation, label: str, name: str | int, place: tuple[int, int, int]) -> nn.Module:
    """Candidate `name` for operation `k` of a node, on one of its inputs; `place` is (node, k, input)."""
    node, k, source = place
    which, where = f"{label}/op_{node}_{k}", f"{label}/input_{node}_{k}"
    if isinstance(part, nn.Module):
        build: Callable[[], nn.Module] = partial(copy.deepcopy, part)
    else:
        build = partial(make, partial(part, node, k, source), f"candidate {name!r} of {which!r}")
    with context.inside(where, source, [source]), context.inside(which, name, [name]):
        return context.part(place_of(label, node, source, name), build, moves=True)


def place_of(label: str, node: int, source: int, name: str | int) -> str:
    """What a candidate on the way from tensor `source` to a node is called in a supernet."""
    return f"{label}/{source}->{node}={name}"


@dataclass(frozen=True)
class _MixedNode:
    """All that a node can be: each candidate on each earlier tensor."""

    relaxation: Relaxation
    edges: list[dict[str | int, nn.Module]]


def _relax(
    context: Context,
    parts: Mapping[str | int, Operation],
    domain: Categorical,
    label: str,
    place: tuple[int, int],
    every: bool,
) -> _MixedNode | None:
    """What a node (its number, and its number of operations) becomes where all is mixed.

    As in DARTS, there is a choice between the candidates for each earlier tensor, and in the end the tensors stay whose
    strongest candidates are the strongest. Operations of one node that stand for the same have the same weights.
    """
    node = place[0]
    relaxation = context.relax(
        f"{label}/{node}",
        partial(_node_relaxation, label, domain, place),
        None if every else "which nodes it puts out depends on the choice (merge_op='loose_end')",
    )
    if relaxation is None:
        return None
    edges = [
        {name: _build(context, part, label, name, (node, 0, source)) for name, part in parts.items()}
        for source in range(node)
    ]
    return _MixedNode(relaxation, edges)


def _node_relaxation(label: str, domain: Categorical, place: tuple[int, int]) -> Relaxation:
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
    return Relaxation(f"{label}/{node}", node, len(names), labels, pick, find, tuple(map(str, names)))


class MixedCell(Mixed):
    """All candidates on all earlier tensors of each node, summed.

    Args:
        nodes: what each node can be.
        wiring: of any cell of this kind: which nodes are put out, and how.
        preprocessor: as `Cell` has it.
        postprocessor: as `Cell` has it.
    """

    def __init__(
        self,
        nodes: Sequence[_MixedNode],
        wiring: _Wiring,
        preprocessor: nn.Module | None,
        postprocessor: nn.Module | None,
    ) -> None:
        super().__init__(nodes[0].relaxation)
        self.relaxations = [node.relaxation for node in nodes]
        self.names = [[list(edge) for edge in node.edges] for node in nodes]
        self.edges = nn.ModuleList(nn.ModuleList(edge.values()) for node in nodes for edge in node.edges)
        self.wiring, self.preprocessor, self.postprocessor = wiring, preprocessor, postprocessor
        self.output_node_indices = wiring.outputs

    def parts(self) -> dict[str, nn.Module]:
        label, first = self.relaxation.name.rpartition("/")[0], self.wiring.num_predecessors
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
        given = [inputs] if self.wiring.num_predecessors == 1 else inputs
        tensors = list(given if self.preprocessor is None else self.preprocessor(given))
        for relaxation, edges in zip(self.relaxations, self._edges(), strict=True):
            mixture = mixture_of(relaxation)
            terms = [mixture.mix(row, layers, tensors[row]) for row, layers in enumerate(edges) if mixture.running(row)]
            tensors.append(sum(terms[1:], terms[0]) if terms else torch.zeros_like(tensors[-1]))
        merged = [tensors[node] for node in self.wiring.outputs]
        output = merged[0] if len(merged) == 1 else torch.cat(merged, self.wiring.concat_dim)
        return output if self.postprocessor is None else self.postprocessor(output, given)


@dataclass(frozen=True)
class _Wiring:
    """All of a cell but its layers.

    Attributes:
        num_predecessors: number of inputs.
        sources: for each node, the tensors that its operations get.
        every: whether all nodes are put out, or those only that no other uses.
        concat_dim: dimension of the concatenation.
        preprocessed: whether there is a preprocessor.
        postprocessed: whether there is a postprocessor.
    """

    num_predecessors: int
    sources: tuple[tuple[int, ...], ...]
    every: bool
    concat_dim: int
    preprocessed: bool
    postprocessed: bool

    @property
    def outputs(self) -> list[int]:
        """The nodes that are put out."""
        used = {source for sources in self.sources for source in sources}
        nodes = range(self.num_predecessors, self.num_predecessors + len(self.sources))
        return [node for node in nodes if self.every or node not in used]


def _graph(wiring: _Wiring) -> Graph:
    """What the cell computes."""
    graph, single = Graph(), wiring.num_predecessors == 1
    first = graph.placeholder("x" if single else "inputs")
    inputs: Node | list[Node] = [first] if single else first
    seen = graph.call_module("preprocessor", (inputs,)) if wiring.preprocessed else inputs
    tensors: dict[int, Node] = {}

    def tensor(number: int) -> Node:
        if number not in tensors:
            if isinstance(seen, list):
                return seen[number]
            name = f"input_{number}"
            tensors[number] = graph.create_node("call_function", operator.getitem, (seen, number), name=name)
        return tensors[number]

    for node, sources in enumerate(wiring.sources, wiring.num_predecessors):
        terms = [graph.call_module(f"op_{node}_{k}", (tensor(source),)) for k, source in enumerate(sources)]
        tensors[node] = total(graph, terms)
    merged = [tensors[node] for node in wiring.outputs]
    output = merged[0] if len(merged) == 1 else graph.call_function(torch.cat, (merged, wiring.concat_dim))
    graph.output(graph.call_module("postprocessor", (output, inputs)) if wiring.postprocessed else output)
    return graph


@lru_cache(maxsize=1024)
def _code(wiring: _Wiring) -> PythonCode:
    """The source code of such a cell."""
    return _graph(wiring).python_code("self")


def total(graph: Graph, terms: Sequence[Node]) -> Node:
    """The sum of at least one node."""
    result = terms[0]
    for term in terms[1:]:
        result = graph.call_function(operator.add, (result, term))
    return result
