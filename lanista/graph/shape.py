"""Shapes: what each node of a graph gives for an example input, computed on torch's meta device, without numbers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils import _pytree as pytree

from lanista.graph.duplicate import sketch


class Unknown:
    """Stands for a value that depends on the numbers in tensors."""


UNKNOWN = Unknown()


class Shapes:
    """The values of nodes as tensors on the meta device, which have a shape and a dtype.

    Not as torch's fake tensors: the first of these in a process costs seconds, and each operation milliseconds.

    Args:
        example: positional inputs of the model.

    Attributes:
        values: what is known so far.
    """

    def __init__(self, example: tuple[Any, ...]) -> None:
        self._inputs = pytree.tree_map_only(Tensor, _meta, example)
        self._sketches: dict[nn.Module, nn.Module] = {}
        self.values: dict[fx.Node, object] = {}

    def evaluate(
        self, node: fx.Node, modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], inputs: Sequence[fx.Node]
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
            position = inputs.index(node)
            return self._inputs[position] if position < len(self._inputs) else node.args[0]
        target: Any = node.target
        if node.op == "get_attr":
            return _meta(tensors[target])
        values: Any = self.values
        args, kwargs = fx.map_arg((node.args, node.kwargs), values.__getitem__)
        if any(isinstance(value, Unknown) for value in pytree.tree_leaves((args, kwargs))):
            return UNKNOWN
        with warnings.catch_warnings(), torch.no_grad(), torch.device("meta"):
            warnings.simplefilter("ignore")  # a real run would say it again
            try:
                match node.op:
                    case "call_module":
                        return self._sketch(modules[target])(*args, **kwargs)
                    case "call_method":
                        return getattr(args[0], target)(*args[1:], **kwargs)
                    case "call_function":
                        return target(*args, **kwargs)
                    case _:
                        return args[0]
            except (RuntimeError, TypeError, ValueError) as error:
                # Numbers were asked for, or tensors from elsewhere were met: only a real run can tell.
                if "meta" in str(error).lower():
                    return UNKNOWN
                raise

    def _sketch(self, module: nn.Module) -> nn.Module:
        if any(isinstance(m, LazyModuleMixin) and m.has_uninitialized_params() for m in module.modules()):
            return sketch(module).eval()  # each run settles its shapes
        if module not in self._sketches:
            self._sketches[module] = sketch(module).eval()
        return self._sketches[module]


def _meta(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta", requires_grad=False)


def signature(value: object) -> object:
    """What of a value other nodes can depend on, to be compared by `==`."""
    leaves, structure = pytree.tree_flatten(value)
    return [(tuple(v.shape), v.dtype) if isinstance(v, Tensor) else v for v in leaves], str(structure)


def describe(value: object) -> str:
    """A value in a few words: `[2, 8, 16, 16]`, `(?, 3)`."""
    if isinstance(value, Tensor):
        dtype = "" if value.dtype == torch.float32 else f" {str(value.dtype).removeprefix('torch.')}"
        return f"{list(value.shape)}{dtype}"
    if isinstance(value, Unknown):
        return "?"
    if isinstance(value, list | tuple) and value:
        return f"({', '.join(map(describe, value))})"
    return repr(value)
