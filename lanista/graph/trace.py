"""Traces of models: one torch.fx graph that holds in training and in evaluation, and what is known of its parts."""

from __future__ import annotations

import inspect
import linecache
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from lanista.errors import SpaceError

FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError)
"""What a forward may raise when it meets something else than the tensors that it was written for."""

_DROPOUTS: dict[object, type[nn.Module]] = {
    functional.dropout: nn.Dropout,
    functional.dropout1d: nn.Dropout1d,
    functional.dropout2d: nn.Dropout2d,
    functional.dropout3d: nn.Dropout3d,
    functional.alpha_dropout: nn.AlphaDropout,
    functional.feature_alpha_dropout: nn.FeatureAlphaDropout,
}

_INTERNAL = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<eval_with_key>")


@dataclass
class Traced:
    """A model as a graph.

    Each node has in `meta` a "stack": the calls of traced-through modules that it was made in, outermost first,
    each as `path` or, from the second call of one module on, `path@number`.

    Attributes:
        graph: what forward computes, in both modes.
        modules: the modules that nodes call, by path.
        tensors: the parameters, buffers and constants that nodes read, by path.
        kept: paths of modules that were not traced through because they compute otherwise in training.
    """

    graph: fx.Graph
    modules: dict[str, nn.Module]
    tensors: dict[str, Tensor]
    kept: set[str]


def trace(model: nn.Module, given: int, leaves: tuple[type[nn.Module], ...]) -> Traced:
    """Trace `model`, which is left as it was, in both modes.

    Layers of torch.nn are kept whole, as torch.fx does; other modules are traced through, unless they are of
    a class in `leaves`, or compute otherwise in training than in evaluation. A dropout function that follows
    the mode becomes the dropout module.

    Args:
        model: a module whose forward torch.fx can trace.
        given: how many positional inputs of forward are inputs of the graph. Beyond that, those without a
            default are; all others stay at their defaults.
        leaves: classes of modules to keep whole.

    Raises:
        SpaceError: forward cannot be traced; the message names module and line, and the way out.
    """
    inputs = _inputs(model, given)
    kept: set[str] = set()
    while True:
        graph, tensors = _graph(model, inputs, leaves, kept, training=True)
        evaluation, _ = _graph(model, inputs, leaves, kept, training=False)
        others = _differing(graph, evaluation)
        if not others:
            break
        if others == {""}:
            raise SpaceError(
                f"{_title(model)}.forward itself computes otherwise in training than in evaluation, and a graph "
                "holds one of both. Put what depends on `self.training` into a module of its own"
            )
        kept |= others - {""}
    _chain_writes(graph)
    _chain_writes(evaluation)
    modules = dict(model.named_modules())
    called = {str(node.target): modules[str(node.target)] for node in graph.nodes if node.op == "call_module"}
    traced = Traced(graph, called, tensors, kept)
    for node, _, arguments in list(_pairs(graph, evaluation)):
        if (node.args, node.kwargs) != arguments:
            _to_module(node, traced, modules)
    return traced


def _inputs(model: nn.Module, given: int) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(type(model).forward).parameters.values())[1:]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if given > len(positional):
        raise SpaceError(f"example_input has {given} inputs; {_title(model)}.forward takes {len(positional)}")
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return [p for p in named if p.default is p.empty or p in positional[:given]]


def _graph(
    model: nn.Module,
    inputs: Sequence[inspect.Parameter],
    leaves: tuple[type[nn.Module], ...],
    kept: set[str],
    *,
    training: bool,
) -> tuple[fx.Graph, dict[str, Tensor]]:
    with untouched(model), torch.enable_grad():
        model.train(training)
        try:
            graph = _Tracer(inputs, leaves, kept).trace(model)
        except FAULTS as error:
            raise _fault(model, error) from error
        names = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
        tensors = {name: operator.attrgetter(name)(model) for name in names}  # some are constants of this trace
    graph._tracer_cls = None  # pickles of a model would need this module otherwise
    for node in graph.nodes:
        stack = list(node.meta.get("nn_module_stack", {}))
        node.meta = {"stack": tuple(stack[:-1] if node.op == "call_module" else stack)}
    return graph, tensors


class _Proxy(fx.Proxy):
    """Keeps assignments in place, which torch's own proxy turns into new tensors or refuses.

    They become calls of methods: torch traces a pickled GraphModule again, with its own proxy, and these stay.
    """

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_method", "__setitem__", (self, index, value), {})


_PLAIN: dict[object, Callable[[Any, Any], Any]] = {}


def plain_operator(target: object) -> object:
    """`operator.add` for `operator.iadd`, and for `__iadd__`, as graphs hold `x += y`; other targets as they are."""
    return _PLAIN.get(target, target)


def _in_place(method: str) -> Callable[[_Proxy, Any], Any]:
    def assign(proxy: _Proxy, other: Any) -> Any:
        if _is_number(proxy.node):
            return _PLAIN[method](proxy, other)
        return proxy.tracer.create_proxy("call_method", method, (proxy, other), {})

    return assign


def _chain_writes(graph: fx.Graph) -> None:
    """Let what comes after a write into a tensor read the result of the write, which is the same tensor.

    Then the order is in the arguments, and edits keep it.
    """
    order = {node: index for index, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        method = str(node.target) if node.op == "call_method" else ""
        writes = method.startswith("__i") or (method.endswith("_") and not method.endswith("__"))
        if writes and isinstance(written := node.args[0], fx.Node) and written.op != "get_attr":
            for user in list(written.users):
                if order[user] > order[node]:
                    user.replace_input_with(written, node)


def _is_number(node: fx.Node) -> bool:
    """Whether a value is made of shapes alone, and so is no tensor that could be written to."""
    if node.op == "call_method":
        return node.target in ("size", "dim", "numel", "__len__")
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim")
    return bool(node.all_input_nodes) and all(map(_is_number, node.all_input_nodes))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"):
    _method = f"__i{_name.strip('_')}__"
    _PLAIN[_method] = _PLAIN[getattr(operator, f"i{_name.strip('_')}")] = getattr(operator, _name)
    setattr(_Proxy, _method, _in_place(_method))


class _Tracer(fx.Tracer):
    def __init__(
        self, inputs: Sequence[inspect.Parameter], leaves: tuple[type[nn.Module], ...], kept: set[str]
    ) -> None:
        super().__init__()
        self.inputs, self.leaves, self.kept = inputs, leaves, kept

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m) or isinstance(m, self.leaves) or module_qualified_name in self.kept

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        # torch's own version neither knows keyword-only arguments nor leaves an argument at its default.
        proxies = {}
        for parameter in self.inputs:
            default = () if parameter.default is parameter.empty else (parameter.default,)
            proxies[parameter.name] = self.create_proxy("placeholder", parameter.name, default, {})
        return lambda: root_fn(self.root, **proxies), []


def is_layer(module: nn.Module) -> bool:
    """Whether the forward that `module` runs is torch's own, and no container's: a subclass may add a constructor."""
    home = next(cls for cls in type(module).__mro__ if "forward" in vars(cls))
    return home.__module__.startswith(("torch.nn", "torch.ao.nn")) and home not in (nn.Module, nn.Sequential)


def _pairs(graph: fx.Graph, other: fx.Graph) -> Iterator[tuple[fx.Node, fx.Node, Any]]:
    """The nodes of both graphs side by side, and the second one's arguments in terms of the first graph."""
    twins: dict[fx.Node, fx.Node] = {}
    for node, twin in zip(graph.nodes, other.nodes, strict=False):
        twins[twin] = node
        yield node, twin, fx.map_arg((twin.args, twin.kwargs), lambda n: twins[n])


def _differing(training: fx.Graph, evaluation: fx.Graph) -> set[str]:
    """Paths of the modules whose own forward differs between the graphs, "" for the model."""
    one, other = _owned(training), _owned(evaluation)
    found = {call.partition("@")[0] for call in {*one, *other} if one.get(call) != other.get(call)}
    if found:
        return found
    for node, twin, arguments in _pairs(training, evaluation):
        if (node.args, node.kwargs) != arguments and not _is_dropout(node, arguments):
            calls = node.meta["stack"] or twin.meta["stack"]
            return {calls[-1].partition("@")[0] if calls else ""}
    return set()


def _owned(graph: fx.Graph) -> dict[str, list[object]]:
    """What the forward of each module does itself, call by call, without what it is done to."""
    found: dict[str, list[object]] = {}
    for node in graph.nodes:
        kwargs = {name: value for name, value in node.kwargs.items() if node.target not in _DROPOUTS}
        constants = fx.map_arg((node.args, kwargs), lambda _: None)
        calls = node.meta["stack"]
        found.setdefault(calls[-1] if calls else "", []).append((node.op, node.target, constants))
    return found


def _is_dropout(node: fx.Node, twin: Any) -> bool:
    """Whether a call of a dropout function differs from its twin by the mode alone."""
    args, kwargs = twin
    plain = node.target in _DROPOUTS and len(node.args) == 1 and isinstance(node.kwargs.get("p"), int | float)
    modes = {**node.kwargs, "training": None} == {**kwargs, "training": None} and node.args == args
    return plain and modes and (node.kwargs.get("training"), kwargs.get("training")) == (True, False)


def _to_module(node: fx.Node, traced: Traced, modules: dict[str, nn.Module]) -> None:
    """Let a dropout module stand for a call of the function."""
    owner = node.meta["stack"][-1].partition("@")[0] if node.meta["stack"] else ""
    prefix, number = f"{owner}.dropout".lstrip("."), 0
    while (path := f"{prefix}{number or ''}") in modules:
        number += 1
    p, inplace = node.kwargs["p"], node.kwargs.get("inplace", False)
    modules[path] = traced.modules[path] = _DROPOUTS[node.target](p=p, inplace=inplace)
    traced.modules[path].train(modules[owner].training)
    node.op, node.target, node.kwargs = "call_module", path, {}


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Undo at the end what a forward or `model.train` did to attributes and modes."""
    tables: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for module in model.modules():
        for table in (vars(module), module._parameters, module._buffers, module._modules):
            tables.append((table, dict(table)))
    try:
        yield
    finally:
        for table, content in tables:
            table.clear()
            table.update(content)


def _title(model: nn.Module) -> str:
    return type(model).__qualname__.replace("<locals>.", "")


def _fault(model: nn.Module, error: Exception) -> SpaceError:
    """Explain why the tracer stopped: the user's line, and the module that it belongs to."""
    names = {module: name for name, module in model.named_modules()}
    where, kind = "", None
    trail: TracebackType | None = error.__traceback__
    while trail is not None:
        frame = trail.tb_frame
        if not frame.f_code.co_filename.startswith(_INTERNAL):
            owner = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
            line = linecache.getline(frame.f_code.co_filename, trail.tb_lineno).strip()
            at = f"at {frame.f_code.co_filename}:{trail.tb_lineno}" + (f" ({line})" if line else "")
            if isinstance(owner, nn.Module) and names.get(owner):
                kind = type(owner).__qualname__
                where = f" in module {names[owner]!r} ({kind}), {at}"
            else:
                where = f" {at}"
        trail = trail.tb_next
    remedy = f"leaves=[{kind.rpartition('.')[2]}]" if kind else "leaves=[...], with the class of the part that does it,"
    return SpaceError(
        f"{_title(model)} cannot be traced{where}: {type(error).__name__}: {error}. The path through forward must "
        f"not depend on tensor values. Keep such a part whole: ModelSpace(..., {remedy} mutators=[...]); "
        "or decide in __init__"
    )
