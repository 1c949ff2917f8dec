"""Traces: what a model computes, as torch.fx graphs of layers, functions and tensors."""

from __future__ import annotations

import dis
import inspect
import linecache
import operator
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from lanista.errors import ExportError
from lanista.export.constructor import chain, layer
from lanista.export.merge import follows_mode, is_default, merge

_INTERNAL = (str(Path(torch.__file__).parent), __file__, "<eval_with_key>")
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a forward may raise when it meets a proxy in place of a tensor."""


@dataclass(frozen=True)
class Trace:
    """What a model computes.

    Attributes:
        inputs: the arguments that forward takes, in order.
        fixed: arguments that the graph needs at their defaults: name -> default.
        evaluation: the graph of both modes, or of evaluation mode only.
        training: the graph of training mode, where it is another one.
        tensors: the model's own parameters, buffers and constants that a graph reads, by path.
        modes: paths of modules whose mode does not follow the model's -> the mode that they keep.

    Each node has in `meta`: "call", its (args, kwargs); "no_grad", whether gradients were off; "place", file
    and line of the forward that made it; "unpacked", into how many names forward unpacked it.
    """

    inputs: tuple[inspect.Parameter, ...]
    fixed: dict[str, object]
    evaluation: fx.Graph
    training: fx.Graph | None
    tensors: dict[str, Tensor]
    modes: dict[str, bool]

    @property
    def graphs(self) -> tuple[fx.Graph, ...]:
        """The one graph, or evaluation and training."""
        return (self.evaluation,) if self.training is None else (self.evaluation, self.training)


def trace(model: nn.Module, example: tuple[object, ...] | None) -> Trace:
    """Trace `model` in both modes; the model is left as it was.

    Args:
        model: a module whose forward torch.fx can trace.
        example: positional inputs. Arguments with defaults that get a tensor here stay inputs, and lists or
            dictionaries are unrolled where forward iterates over them.

    Raises:
        ExportError: forward depends on tensor values, draws random numbers outside of torch operations on its
            inputs, or uses what a graph cannot hold. The message names the module and the line.
    """
    session = _Session(model, example or ())
    fixed = session.optional()
    evaluation, kept = session.graph(set(session.inputs) - set(fixed), training=False)
    training, kept_training = session.graph(set(session.inputs) - set(fixed), training=True)
    merged = merge(training, evaluation, None, follows_mode)
    if merged is not None:
        for node, call in merged.items():
            node.meta["call"] = call
    graphs = (evaluation, training) if merged is None else (training,)
    nodes = [node for graph in graphs for node in graph.nodes if node.op == "get_attr"]
    return Trace(
        inputs=tuple(parameter for name, parameter in session.inputs.items() if name not in fixed),
        fixed=fixed,
        evaluation=graphs[0],
        training=training if merged is None else None,
        tensors={str(node.target): node.meta["value"] for node in nodes},
        modes={path: mode for path, mode in kept.items() if kept_training[path] == mode},
    )


class _Session:
    """The traces of one model, with the constants that they share."""

    def __init__(self, model: nn.Module, example: tuple[object, ...]) -> None:
        self.model = model
        self.constants: list[Tensor] = []
        self.unrolled: dict[str, object] = {}
        parameters = list(inspect.signature(type(model).forward).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                raise ExportError(
                    f"{_title(model)}.forward takes *{parameter.name}, and a graph cannot leave their "
                    "number open; name each input, or take one list"
                )
        # **kwargs stay empty: nothing in a graph could say which names it got.
        named = [p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
        self.inputs = {parameter.name: parameter for parameter in named}
        positional = [p.name for p in named if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        if len(example) > len(positional):
            raise ExportError(
                f"example_input has {len(example)} inputs; {_title(model)}.forward takes {len(positional)}"
            )
        self.example = dict(zip(positional, example, strict=False))

    def optional(self) -> dict[str, object]:
        """Find the arguments that must keep their defaults: given, they make forward take another path."""
        defaults = {
            name: parameter.default
            for name, parameter in self.inputs.items()
            if parameter.default is not parameter.empty and not isinstance(self.example.get(name), Tensor)
        }
        required = set(self.inputs) - set(defaults)
        if not defaults:
            return {}
        base, _ = self.graph(required, training=False)
        free = set()
        for name, default in defaults.items():
            try:
                graph, _ = self.graph(required | {name}, training=False)
            except ExportError:
                continue
            if merge(graph, base, name, is_default(default)) is not None:
                free.add(name)
        return {name: default for name, default in defaults.items() if name not in free}

    def graph(self, free: set[str], *, training: bool) -> tuple[fx.Graph, dict[str, bool]]:
        """Trace with the inputs `free` open and the others at their defaults; unroll lists if need be."""
        try:
            return self._graph(free, training)
        except ExportError:
            structured = (list, tuple, dict)
            lists = {name: value for name, value in self.example.items() if isinstance(value, structured)}
            if not lists or self.unrolled:
                raise
            self.unrolled = {**lists}
            return self._graph(free, training)

    def _graph(self, free: set[str], training: bool) -> tuple[fx.Graph, dict[str, bool]]:
        model = self.model
        inputs = [parameter for name, parameter in self.inputs.items() if name in free]
        with untouched(model), torch.enable_grad():
            model.train(training)
            # The modes that model.train leaves otherwise, as of a frozen batch norm.
            modes = {name: module.training for name, module in model.named_modules()}
            tracer = _Tracer(inputs, self.unrolled)
            before = _random_state()
            try:
                graph = tracer.trace(model)
            except FAULTS as error:
                raise _fault(model, error) from error
            if _random_state() != before:
                raise ExportError(
                    f"{_title(model)}.forward draws random numbers that a graph would draw only once; "
                    "draw them with torch in the shape of an input, as in `torch.rand_like(x)`"
                )
            self._refuse_assignments()
            for node in graph.nodes:
                node.meta["call"] = (node.args, node.kwargs)
                if node.op == "get_attr":
                    node.meta["value"] = operator.attrgetter(str(node.target))(model)
        for node in graph.nodes:
            if node.op == "get_attr":
                self._settle(node)
        return graph, modes

    def _refuse_assignments(self) -> None:
        """Find buffers that forward replaced. Written in place, they are the same tensor still."""
        for path, module in self.model.named_modules():
            for name, value in module._buffers.items():
                written = getattr(value, "node", None)
                if isinstance(written, fx.Node) and written.target not in _WRITES:
                    full = f"{path}.{name}".lstrip(".")
                    raise ExportError(
                        f"forward replaces the buffer {full!r} {place(written)}, which a graph cannot do; "
                        f"write into it, as in `self.{name}.copy_(...)`"
                    )

    def _settle(self, node: fx.Node) -> None:
        """Give a tensor that the forward made from constants a lasting name."""
        value = node.meta["value"]
        if isinstance(value, fx.Proxy):  # a buffer that forward wrote into, and that is itself again by now
            value = node.meta["value"] = operator.attrgetter(str(node.target))(self.model)
        if not isinstance(value, Tensor):
            raise ExportError(
                f"{_title(self.model)} passes {node.target!r}, a {type(value).__qualname__}, as a value "
                f"{place(node)}; only tensors can be passed"
            )
        try:
            operator.attrgetter(str(node.target))(self.model)
        except AttributeError:
            known = [index for index, constant in enumerate(self.constants) if _same(constant, value)]
            if not known:
                self.constants.append(value)
            index = known[0] if known else len(self.constants) - 1
            node.target = f"{'_' * hasattr(self.model, f'constant{index}')}constant{index}"


_WRITES: set[object] = set()


class _Proxy(fx.Proxy):
    """A proxy that keeps what torch's own one loses: assignments in place, and how often it was unpacked."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})

    def __iter__(self) -> Iterator[Any]:
        caller = sys._getframe(1)
        steps = (step for step in dis.get_instructions(caller.f_code) if step.offset == caller.f_lasti)
        step = next(steps, None)
        if step is None or step.opname != "UNPACK_SEQUENCE":
            return iter(self.tracer.iter(self))
        self.node.meta["unpacked"] = step.argval
        return iter([operator.getitem(self, index) for index in range(step.argval)])


def _in_place(function: Callable[[Any, Any], Any]) -> Callable[[_Proxy, Any], Any]:
    # Without these methods, Python takes `x += y` for `x = x + y`: wrong for every other name of the tensor.
    return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {})


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    _write = getattr(operator, f"i{_name}")
    _WRITES.add(_write)
    setattr(_Proxy, f"__i{_name}__", _in_place(_write))


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True

    def __init__(self, inputs: list[inspect.Parameter], unrolled: Mapping[str, object]) -> None:
        super().__init__()
        self.inputs = inputs
        self.unrolled = unrolled
        self.autocast = _autocast()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return layer(m) is not None or chain(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        # torch's own version neither knows keyword-only arguments nor leaves an argument at its default.
        proxies = {}
        for parameter in self.inputs:
            default = () if parameter.default is parameter.empty else (parameter.default,)
            proxy = self.create_proxy("placeholder", parameter.name, default, {})
            proxies[parameter.name] = self._unroll(proxy, self.unrolled.get(parameter.name), parameter.name)
        return lambda: root_fn(self.root, **proxies), []

    def _unroll(self, proxy: Any, example: object, name: str) -> Any:
        """Give `proxy` the structure of `example`, so that forward can iterate over it."""
        if isinstance(example, list | tuple):
            length = self.create_proxy("call_function", len, (proxy,), {})
            fits = self.create_proxy("call_function", operator.eq, (length, len(example)), {})
            self.create_proxy(
                "call_function", torch._assert, (fits, f"{name} must have {len(example)} items"), {}
            )
            return [self._unroll(proxy[index], part, name) for index, part in enumerate(example)]
        if isinstance(example, dict):
            return {key: self._unroll(proxy[key], part, name) for key, part in example.items()}
        return proxy

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        node.meta["no_grad"] = not torch.is_grad_enabled()
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_filename.startswith(_INTERNAL):
            frame = frame.f_back
        if frame is not None:
            node.meta["place"] = (frame.f_code.co_filename, frame.f_lineno)
        if _autocast() != self.autocast:
            raise ExportError(
                f"forward enters torch.autocast {place(node)}, which a graph cannot hold; "
                "enter it around the call of the model"
            )
        return node


def place(node: fx.Node) -> str:
    """Say where in the user's code `node` was made, as in `at net.py:12: x = helper(x)`."""
    file, line = node.meta.get("place", ("?", 0))
    return _at(file, line)


def _at(file: str, line: int) -> str:
    code = linecache.getline(file, line).strip()
    return f"at {file}:{line}" + (f" ({code})" if code else "")


def _title(model: nn.Module) -> str:
    return type(model).__qualname__.removeprefix("GraphModule.__new__.<locals>.").replace("<locals>.", "")


def _fault(model: nn.Module, error: Exception) -> ExportError:
    """Explain why the tracer stopped: the user's line, and the module that it belongs to."""
    names = {module: name for name, module in model.named_modules()}
    where = ""
    trail: TracebackType | None = error.__traceback__
    while trail is not None:
        frame = trail.tb_frame
        if not frame.f_code.co_filename.startswith(_INTERNAL):
            owner = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
            name = names.get(owner) if isinstance(owner, nn.Module) else None
            module = f"in module {name!r} ({type(owner).__qualname__}) " if name else ""
            where = f" {module}{_at(frame.f_code.co_filename, trail.tb_lineno)}"
        trail = trail.tb_next
    return ExportError(
        f"{_title(model)} cannot be traced{where}: {type(error).__name__}: {error}. "
        "The path through forward must not depend on tensor values or on the number of inputs: "
        "decide in __init__, use torch.where, or give example_input where forward loops over an input"
    )


def _autocast() -> tuple[bool, bool]:
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")


def _random_state() -> tuple[object, ...]:
    return random.getstate(), torch.get_rng_state().tolist(), repr(np.random.get_state())


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Undo at the end what a forward or `model.train` did to attributes, modes and random generators."""
    python, numbers, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
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
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_rng_state(tensors)


def _same(one: Tensor, other: Tensor) -> bool:
    alike = (one.dtype, one.device, one.shape) == (other.dtype, other.device, other.shape)
    return one is other or (alike and torch.equal(one, other))
