"""Shapes: what each node of a graph gives for an example input, computed without numbers (fake tensors)."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils import _pytree as pytree

from lanista.graph.trace import untouched


class Unknown:
    """Stands for a value that depends on the numbers in tensors."""


UNKNOWN = Unknown()

_UNKNOWABLE = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    NotImplementedError,
)


class Shapes:
    """The values of nodes as fake tensors: shape, dtype and device, no numbers.

    Args:
        example: positional inputs of the model.
        device: where the model is; the example is taken to be there.
    """

    def __init__(self, example: tuple[Any, ...], device: torch.device) -> None:
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._device = device
        self._inputs = pytree.tree_map_only(Tensor, lambda t: self._fake(t.detach().to(device)), example)
        self.values: dict[fx.Node, object] = {}

    def evaluate(
        self, node: fx.Node, modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], inputs: Iterable[fx.Node]
    ) -> object:
        """What `node` gives, from the values of its arguments; modules run in evaluation mode, and stay as they are.

        Args:
            node: any node whose arguments have values.
            modules: what nodes call, by path.
            tensors: what nodes read, by path.
            inputs: the nodes that are inputs of the graph, in order.

        Raises:
            Whatever running it would raise.
        """
        if node.op == "placeholder":
            position = list(inputs).index(node)
            return self._inputs[position] if position < len(self._inputs) else node.args[0]
        if node.op == "get_attr":
            return self._fake(tensors[str(node.target)].detach())
        values: Any = self.values
        args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
        if any(isinstance(value, Unknown) for value in pytree.tree_leaves((args, kwargs))):
            return UNKNOWN
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # a real run would say it again
            try:
                if node.op == "call_module":
                    return self._call(modules[str(node.target)], args, kwargs)
                with self._mode:
                    match node.op:
                        case "call_method":
                            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
                        case "call_function":
                            return _function(node.target)(*args, **kwargs)
                        case _:
                            return args[0]
            except _UNKNOWABLE:
                return UNKNOWN

    def _call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        if any(isinstance(m, LazyModuleMixin) and m.has_uninitialized_params() for m in module.modules()):
            meta = pytree.tree_map_only(Tensor, lambda t: torch.empty(t.shape, dtype=t.dtype, device="meta"), args)
            outputs = _sketch(module)(*meta, **kwargs)
            return pytree.tree_map_only(Tensor, self._fake, outputs)
        with untouched(module), self._mode:
            return module.eval()(*args, **kwargs)

    def _fake(self, tensor: Tensor) -> Tensor:
        with self._mode:
            return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=self._device)


def _function(target: object) -> Callable[..., Any]:
    # Assignments in place would change the value of an earlier node; for shapes the plain operation does as well.
    name = getattr(target, "__name__", "")
    plain = getattr(operator, name[1:], None) if getattr(operator, name, None) is target and name[:1] == "i" else None
    return plain or target  # type: ignore[return-value]


def _sketch(module: nn.Module) -> nn.Module:
    """A copy of a lazy module on the meta device, which can be run once to learn its shapes."""
    sketch = copy.deepcopy(module).eval()
    lazy: Any
    for part in sketch.modules():
        table: dict[str, Any]
        for table, lazy in ((part._parameters, UninitializedParameter), (part._buffers, UninitializedBuffer)):
            for name, value in table.items():
                if isinstance(value, lazy):
                    table[name] = lazy(device="meta")
                elif value is not None:
                    meta = value.detach().to("meta")
                    table[name] = nn.Parameter(meta, False) if isinstance(value, nn.Parameter) else meta
    return sketch


def signature(value: object) -> object:
    """What of a value other nodes can depend on, to be compared by `==`."""
    leaves, structure = pytree.tree_flatten(value)
    return [(tuple(v.shape), v.dtype) if isinstance(v, Tensor) else v for v in leaves], str(structure)


def describe(value: object) -> str:
    """A value in a few words: `[2, 8, 16, 16]`, `a list of 3`."""
    if isinstance(value, Tensor):
        dtype = "" if value.dtype == torch.float32 else f" {str(value.dtype).removeprefix('torch.')}"
        return f"{list(value.shape)}{dtype}"
    if isinstance(value, Unknown):
        return "?"
    if isinstance(value, list | tuple) and value:
        return f"({', '.join(map(describe, value))})"
    return repr(value)
