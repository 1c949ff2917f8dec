"""`Cell`: nodes that each apply chosen operations to chosen earlier tensors."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import FunctionType
from typing import Literal, TypeAlias, cast

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import PythonCode

from lanista.errors import SpaceError
from lanista.nn.layer import make, named, names_of
from lanista.nn.supercell import MixedCell, place_of, relax
from lanista.space.context import Context, current
from lanista.space.domain import Categorical, Value, is_integer

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
    mixed = [
        relax(
            context,
            label,
            domain,
            (node, num_ops_per_node),
            lambda source, name, node=node: _build(context, parts[name], label, name, (node, 0, source)),  # type: ignore[misc]
            None if every else "which nodes it puts out depends on the choice (merge_op='loose_end')",
        )
        for node in nodes
    ]
    if None not in mixed:  # typed for users, who see it only in a supernet
        outputs = [node for node in nodes if every or node not in _used(context, label, nodes, num_ops_per_node)]
        choices = [node for node in mixed if node is not None]
        cell = MixedCell(choices, num_predecessors, outputs, preprocessor, postprocessor, concat_dim)
        return cast(GraphModule, cell)
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
    present = {name: layer for name, layer in layers.items() if layer is not None}
    module = assembled(present, _graph(wiring), _code(wiring), "Cell")
    module.output_node_indices = wiring.outputs  # type: ignore[assignment]
    for node in nodes:
        for k in range(num_ops_per_node):
            context.answered(f"{label}/op_{node}_{k}", layers[f"op_{node}_{k}"])
            context.answered(f"{label}/input_{node}_{k}", module)
    return module


def _used(context: Context, label: str, nodes: range, count: int) -> set[Value]:
    """The tensors that some operation gets."""
    return {context.decide(f"{label}/input_{node}_{k}", _sources(node)) for node in nodes for k in range(count)}


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


def assembled(layers: dict[str, object], graph: Graph, code: PythonCode, name: str) -> GraphModule:
    """A module of a graph whose code is known: writing it would take half of the time, and most cells are alike."""
    graph.python_code = lambda *_, **__: code  # type: ignore[method-assign]
    module = GraphModule(layers, graph, class_name=name)
    del graph.python_code
    return module
