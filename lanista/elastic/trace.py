"""`Traced`: a model as a graph of aten operations, by `torch.export`."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.export.graph_signature import InputKind
from torch.fx import Graph, Node

Example: TypeAlias = "Tensor | tuple[Any, ...] | Mapping[str, Any]"
"""What a model is run on: one tensor, a tuple of positional inputs, or a mapping of keyword inputs."""

FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What models and the tracer raise on inputs, sizes or code that they cannot take."""


@dataclass(frozen=True)
class Traced:
    """A traced forward pass in evaluation mode.

    Attributes:
        graph: nodes call aten operations; `node.meta["val"]` has their shapes.
        weights: the name in the state dict (or of a buffer that is not in it), for each placeholder that is one.
    """

    graph: Graph
    weights: Mapping[Node, str]

    def operations(self) -> list[Node]:
        """The nodes that compute something."""
        return [node for node in self.graph.nodes if node.op == "call_function"]


class _Tensors(nn.Module):
    """Calls a model and gives the tensors of its output as a list, whatever type holds them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        return tensors(self.model(*args, **kwargs))


def trace(model: nn.Module, example: Example) -> Traced:
    """Trace a model on inputs of its device; it is left as it was.

    Raises:
        one of FAULTS, or what torch.export raises.
    """
    args, kwargs = arguments(example)
    with evaluating(model), _quiet():
        program = torch.export.export(_Tensors(model), args, kwargs, strict=False)
    weights = {}
    held = {
        spec.arg.name: str(spec.target)
        for spec in program.graph_signature.input_specs
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER)
    }
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in held:
            weights[node] = held[node.name].removeprefix("model.")
    return Traced(program.graph, weights)


def run(model: nn.Module, example: Example) -> list[Tensor]:
    """The tensors that the model gives in evaluation mode, without gradients; it is left as it was."""
    args, kwargs = arguments(example)
    with evaluating(model), torch.no_grad():
        return tensors(model(*args, **kwargs))


def tensors(output: object) -> list[Tensor]:
    """The tensors in lists, tuples and mappings; other objects, such as key-value caches, are passed over."""
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def arguments(example: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments."""
    if isinstance(example, Mapping):
        return (), dict(example)
    return (example if isinstance(example, tuple) else (example,)), {}


def moved(example: Example, device: torch.device | str) -> Example:
    """The example with all its tensors on a device."""
    if isinstance(example, Tensor):
        return example.to(device)
    if isinstance(example, Mapping):
        return {key: moved(value, device) if isinstance(value, Tensor) else value for key, value in example.items()}
    return tuple(moved(value, device) if isinstance(value, Tensor) else value for value in example)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings, and without its log of what went wrong, which the exception says as well."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, without torch's fused attention layers, which hide what they are made of."""
    modes = {module: module.training for module in model.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    model.eval()
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training


def shape(node: Node) -> tuple[int, ...] | None:
    """The shape of what the node gives, if that is one tensor."""
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else None


def place(node: Node) -> str:
    """Path of the module that the node belongs to; empty: the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    path = re.sub(r"^L\['self'\]\.?", "", path)
    return path.removeprefix("model").removeprefix(".")


def operation(node: Node) -> str:
    """The operation's name without overload, such as `aten.add`."""
    schema = getattr(node.target, "_schema", None)
    return str(schema.name).replace("::", ".") if schema is not None else getattr(node.target, "__name__", "?")
