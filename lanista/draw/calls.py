"""What a model does, as a tree: calls of modules, in them operations, and which operation feeds which."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from lanista.draw.operation import Words, of_function, of_layer
from lanista.export.trace import FAULTS, untouched


@dataclass(eq=False)
class Op:
    """An operation: a layer, a function, or the entry of an argument into a call.

    Attributes:
        words: for an entry, the argument's name.
        path: of the layer or tensor in the model; empty for functions.
        inputs: the operations whose results it takes, each once.
        module: the layer, if it is one.
        shape: of its result, without the batch; empty if not known.
        entry: it does nothing: an argument of a call, and its inputs are what was given for it.
    """

    words: Words
    path: str = ""
    inputs: list[Op] = field(default_factory=list, repr=False)
    module: nn.Module | None = None
    shape: str = ""
    entry: bool = False


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        items: what it calls and does, in order, without calls that do nothing.
        entries: the tensors among its arguments, also those in lists; those that are used.
        silent: modules that were called in it and do nothing, as an empty Sequential.
        outputs: the operations whose results it returns.
        traced: False: forward could not be traced; the children stand for it, each fed by the one before.
    """

    module: nn.Module
    path: str
    items: list[Call | Op] = field(default_factory=list)
    entries: list[Op] = field(default_factory=list)
    silent: list[nn.Module] = field(default_factory=list)
    outputs: list[Op] = field(default_factory=list)
    traced: bool = True

    def ops(self) -> Iterator[Op]:
        """All operations in it, in order; no entries."""
        for item in self.items:
            if isinstance(item, Op):
                yield item
            else:
                yield from item.ops()

    def calls(self) -> Iterator[Call]:
        """All calls in it, itself first."""
        yield self
        for item in self.items:
            if isinstance(item, Call):
                yield from item.calls()


def read(model: nn.Module, example: tuple[object, ...] | None = None) -> Call:
    """Read what `model` does in evaluation mode; the model is left as it was, and may be on the meta device.

    Modules whose forward torch.fx cannot trace stand for themselves, with their children in the order in which they
    were made.

    Args:
        model: any module.
        example: positional inputs; with it, operations know the shapes of their results, where that can be found out.
    """
    with untouched(model):
        model.eval()
        return _read(model, "", example)


def _read(model: nn.Module, path: str, example: tuple[object, ...] | None) -> Call:
    opaque: set[type[nn.Module]] = set()
    while not _is_layer(model):
        tracer = _Tracer(opaque, len(example) if example else 0)
        try:
            graph = tracer.trace(model)
        except (*FAULTS, fx.proxy.TraceError):
            failed = tracer.failed
            if failed is None or failed is model or type(failed) in opaque:
                break
            opaque.add(type(failed))
            continue
        if example is not None:
            _note_shapes(model, graph, example)
        return _Reader(model, path).call(tracer.root_call)
    return _listed(model, path)


def _listed(model: nn.Module, path: str) -> Call:
    """A module that is not traced, as its children one after another, or as one operation if it has none."""
    start = Op(Words("input"), entry=True)
    call = Call(model, path, entries=[start], outputs=[start], traced=_is_layer(model))
    for name, child in {} if call.traced else model.named_children():
        part = _standing(child, f"{path}.{name}".lstrip("."), call.outputs)
        if part is None:
            call.silent.append(child)
            continue
        call.items.append(part)
        call.outputs = [part] if isinstance(part, Op) else (part.outputs or list(part.ops()))[-1:]
    if not call.items:
        op = Op(of_layer(model), path, [start], model)
        call.items, call.outputs = [op], [op]
    return call


def _standing(module: nn.Module, path: str, inputs: list[Op]) -> Call | Op | None:
    """What stands for a module that is fed by `inputs`, in a place where no tracer comes; None if it does nothing."""
    if _is_layer(module):
        return Op(of_layer(module), path, list(inputs), module)
    call = _read(module, path, None)
    for entry in call.entries:
        entry.inputs = list(inputs)
    return call if any(call.ops()) else None


def _note_shapes(model: nn.Module, graph: fx.Graph, example: tuple[object, ...]) -> None:
    """Run the graph on the meta device, without values, and note the shape of each result in `meta`."""
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        return  # to run it would settle the shapes of the model's own layers
    runner = _Shapes(fx.GraphModule(model, graph))
    state = {**dict(runner.named_parameters()), **dict(runner.named_buffers())}
    shadow = {name: value.detach().to("meta") for name, value in state.items()}
    inputs = tuple(value.to("meta") if isinstance(value, Tensor) else value for value in example)
    # Without shapes the picture has less to say, that is all.
    with suppress(*FAULTS), torch.no_grad(), torch.device("meta"):
        functional_call(runner, shadow, inputs)


class _Shapes(nn.Module):
    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: object) -> None:
        _Noting(self.graph).run(*inputs)


class _Noting(fx.Interpreter):
    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta["shape"] = "×".join(map(str, result.shape[1:]))
        return result


def _is_layer(module: nn.Module) -> bool:
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    return type(module).__module__.startswith(("torch.nn.", "torch.ao.nn.")) and not isinstance(module, containers)


@dataclass(eq=False)
class _Traced:
    """A call while it is traced."""

    module: nn.Module
    path: str
    items: list[_Traced | fx.Node] = field(default_factory=list)
    result: Any = None


class _Tracer(fx.Tracer):
    """Traces down to torch's layers and notes in which call each node is made."""

    def __init__(self, opaque: set[type[nn.Module]], inputs: int) -> None:
        super().__init__()
        self.opaque, self.inputs = opaque, inputs
        self.failed: nn.Module | None = None
        self.open: list[_Traced] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_layer(m) or type(m) in self.opaque

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        self.root_call = _Traced(self.root, "")
        self.open = [self.root_call]
        parameters = list(inspect.signature(type(self.root).forward).parameters.values())[1:]
        positional, named = [], {}
        for index, parameter in enumerate(parameters):
            required = parameter.default is parameter.empty
            if parameter.kind is parameter.VAR_POSITIONAL:
                names = [f"{parameter.name}{i}" for i in range(index, max(self.inputs, index + 1))]
                positional += [self.create_proxy("placeholder", name, (), {}) for name in names]
            elif parameter.kind is parameter.KEYWORD_ONLY and required:
                named[parameter.name] = self.create_proxy("placeholder", parameter.name, (), {})
            elif parameter.kind <= parameter.POSITIONAL_OR_KEYWORD and (required or index < self.inputs):
                positional.append(self.create_proxy("placeholder", parameter.name, (), {}))
        return lambda: root_fn(self.root, *positional, **named), []

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return super().call_module(m, forward, args, kwargs)
        call = _Traced(m, path)
        self.open[-1].items.append(call)
        self.open.append(call)
        args, kwargs = self._entries(m, args, kwargs)
        try:
            call.result = super().call_module(m, forward, args, kwargs)
        except (*FAULTS, fx.proxy.TraceError):
            self.failed = self.failed or m
            raise
        self.open.pop()
        return call.result

    def _entries(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give each tensor among the arguments a node of its own in the call, also where two are one tensor."""
        names = [] if isinstance(module, nn.Sequential) else list(inspect.signature(module.forward).parameters)
        named = dict(zip(names, args, strict=False)) if len(names) >= len(args) else dict(enumerate(args))

        def entered(name: object, value: Any) -> Any:
            count = sum(1 for _ in _nodes(value))

            def entry(part: Any) -> Any:
                if not isinstance(part, fx.Proxy):
                    return part
                made = self.create_proxy("call_function", _entry, (part,), {})
                base = "input" if isinstance(name, int) else str(name)
                made.node.meta["name"] = base if count == 1 else f"{base} {next(numbers)}"
                return made

            numbers = iter(range(1, count + 1))
            return fx.node.map_aggregate(value, entry)

        positional = tuple(entered(name, value) for name, value in named.items())
        return positional, {name: entered(name, value) for name, value in kwargs.items()}

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        self.open[-1].items.append(node)
        return node


def _entry(value: Any) -> Any:
    """Mark in a graph where a tensor enters a call."""
    return value


_HIDDEN = {
    "getattr", "getitem", "size", "dim", "numel", "len", "contiguous", "detach", "to", "type_as", "clone", "float",
    "_assert", "is_floating_point", "new_zeros",
}  # fmt: skip
_NUMBERS = {"size", "dim", "numel", "len", "_assert"}


class _Reader:
    """Turns traced calls into `Call`s: hides what only unpacks, and follows tensors through it."""

    def __init__(self, root: nn.Module, prefix: str) -> None:
        self._root, self._prefix = root, prefix
        self._sources: dict[fx.Node, list[Op]] = {}

    def call(self, traced: _Traced) -> Call:
        call = Call(traced.module, self._path(traced.path))
        for item in traced.items:
            part = self.call(item) if isinstance(item, _Traced) else self._item(item)
            if isinstance(part, Call) and not any(part.ops()):
                call.silent += [part.module, *part.silent]
                self._forward(part)
            elif part is not None:
                call.items.append(part)
            if isinstance(item, fx.Node) and item.op == "output":
                call.outputs = self._sources[item]
            elif isinstance(item, fx.Node) and (item.op == "placeholder" or item.target is _entry):
                call.entries += self._sources[item]
        if traced.result is not None:
            call.outputs = self._from(traced.result)
        used = {op for part in call.items for op in (part.inputs if isinstance(part, Op) else given(part))}
        call.entries = [entry for entry in call.entries if entry in used or entry in call.outputs]
        return call

    def _forward(self, call: Call) -> None:
        """Let a call that does nothing hand on what it is given."""
        for node, ops in self._sources.items():
            if any(op in call.entries for op in ops):
                self._sources[node] = [new for op in ops for new in (op.inputs if op in call.entries else [op])]

    def _item(self, node: fx.Node) -> Call | Op | None:
        """What a node does; None where it does nothing of its own, and stands for what it takes."""
        inputs = self._from((node.args, node.kwargs))
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        shape = node.meta.get("shape", "")
        item: Call | Op | None = None
        results = inputs
        if node.op == "placeholder":
            # torch.fx numbers the inputs of a Sequential, which has but one.
            results = [Op(Words("input" if name == "input_1" else name), shape=shape, entry=True)]
        elif node.target is _entry:
            results = [Op(Words(node.meta["name"]), inputs=inputs, shape=shape, entry=True)]
        elif node.op == "call_module":
            item = _standing(self._root.get_submodule(name), self._path(name), inputs)
        elif node.op == "get_attr":
            item = Op(Words(name.rpartition(".")[2], symbol=True), self._path(name), shape=shape)
        elif name in _HIDDEN or not inputs:
            sizes = name in _NUMBERS or (name == "getattr" and node.args[1] not in ("T", "mT", "data"))
            results = [] if sizes else inputs
        elif node.op != "output":
            item = Op(of_function(node.target), "", inputs)
        if isinstance(item, Op):
            item.shape, results = shape, [item]
        elif isinstance(item, Call):
            results = item.outputs
        self._sources[node] = results
        return item

    def _path(self, name: str) -> str:
        return ".".join(filter(None, (self._prefix, name)))

    def _from(self, value: object) -> list[Op]:
        """The operations that a structure of arguments comes from, each once."""
        found: dict[Op, None] = {}
        for node in _nodes(value):
            found |= dict.fromkeys(self._sources.get(node, []))
        return list(found)


def given(call: Call) -> list[Op]:
    """What is given for a call's entries, each once; it may be an entry of another call."""
    return list(dict.fromkeys(op for entry in call.entries for op in entry.inputs))


def feeders(ops: Iterable[Op], stop: Collection[Op]) -> list[Op]:
    """The operations that `ops` are, looking through entries except those in `stop`; each once."""
    found: dict[Op, None] = {}
    for op in ops:
        through = op.entry and op not in stop
        found |= dict.fromkeys(feeders(op.inputs, stop) if through else [op])
    return list(found)


def _nodes(value: object) -> Iterator[fx.Node]:
    if isinstance(value, fx.Proxy):
        yield value.node
    elif isinstance(value, fx.Node):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _nodes(part)
    elif isinstance(value, dict):
        yield from _nodes(list(value.values()))
    elif isinstance(value, slice):
        yield from _nodes([value.start, value.stop, value.step])
