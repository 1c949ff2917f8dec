"""Finds the numbers in modules that must follow when weights are cut."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from lanista.elastic.plan import Attribute, Plan
from lanista.elastic.trace import FAULTS, Example, run

Key = tuple[str, int]

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORM = (nn.modules.batchnorm._NormBase,)
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, *_NORM)


def known(model: nn.Module, plan: Plan) -> list[Attribute]:
    """The attributes of torch.nn's own layers, and of classes made of them."""
    return [
        Attribute(path, name, position, int(value), key)
        for path, module in model.named_modules()
        for name, (weight, dim) in _names(module, f"{path}." if path else "")
        for position, value in _numbers(getattr(module, name, None))
        if (key := (weight, dim if position is None else position)) in plan.axes
        if not (name == "num_groups" and value == 1)
    ]


def _names(module: nn.Module, prefix: str) -> list[tuple[str, Key]]:
    """Attribute -> the weight and dimension that it is the size of, or is in proportion to; of shapes, the first."""
    weight = f"{prefix}weight"
    if isinstance(module, nn.Linear):
        return [("out_features", (weight, 0)), ("in_features", (weight, 1))]
    if isinstance(module, _CONV):
        # With groups, the second dimension is the size of a group.
        ins = [("in_channels", (weight, 1))] if module.groups == 1 else [("in_channels", (weight, 0))]
        groups = [("groups", (weight, 0))] if module.groups > 1 else []
        return [("out_channels", (weight, 0)), *ins, *groups]
    if isinstance(module, _TRANSPOSED):
        many = module.groups > 1
        return [("in_channels", (weight, 0)), ("out_channels", (weight, 0 if many else 1))] + (
            [("groups", (weight, 0))] if many else []
        )
    if isinstance(module, _NORM):
        return [("num_features", (weight if module.affine else f"{prefix}running_mean", 0))]
    if isinstance(module, nn.GroupNorm):
        return [("num_channels", (weight, 0)), ("num_groups", (weight, 0))]
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return [("normalized_shape", (weight, 0))]
    if isinstance(module, nn.Embedding):
        return [("embedding_dim", (weight, 1))]
    if isinstance(module, nn.PReLU):
        return [("num_parameters", (weight, 0))]
    if isinstance(module, nn.MultiheadAttention):
        return [(name, (f"{prefix}in_proj_weight", 1)) for name in ("embed_dim", "kdim", "vdim", "num_heads")]
    if hasattr(module, "nf") and hasattr(module, "nx"):  # the linear layer of Hugging Face's GPT-2
        return [("nf", (weight, 1)), ("nx", (weight, 0))]
    return []


def _numbers(value: Any) -> list[tuple[int | None, int]]:
    """The integers in an attribute, with their positions; [] if it is something else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [(None, value)]
    if isinstance(value, tuple | list) and value and all(type(part) is int for part in value):
        return list(enumerate(value))
    return []


@contextmanager
def _watched(model: nn.Module, read: set[tuple[str, str]]) -> Iterator[None]:
    """Note which attributes of modules are read: (path, name)."""
    classes = {}
    paths = {id(module): path for path, module in model.named_modules()}

    def watching(kind: type[nn.Module]) -> type[nn.Module]:
        def get(self: nn.Module, name: str) -> Any:
            read.add((paths.get(id(self), ""), name))
            return kind.__getattribute__(self, name)

        return type(kind.__name__, (kind,), {"__getattribute__": get})

    watchers: dict[type[nn.Module], type[nn.Module]] = {}
    try:
        for module in model.modules():
            kind = type(module)
            if not kind.__module__.startswith("torch.nn.") and kind not in watchers:
                watchers[kind] = watching(kind)
            if kind in watchers:
                classes[module] = kind
                module.__class__ = watchers[kind]
        yield
    finally:
        for module, kind in classes.items():
            module.__class__ = kind


def guesses(model: nn.Module, plan: Plan, example: Example) -> list[list[Attribute]]:
    """Numbers in the user's own modules that equal a size or a number of heads; each with what it may follow.

    The most likely comes first: what is inside of the module comes before what passes through it.
    Numbers that the forward pass does not read are given only if they can follow one thing only; and those that it
    only computes with, as a temperature, not at all, as it could be by chance that they equal a size.
    """
    read: set[tuple[str, str]] = set()
    with _watched(model, read):
        run(model, example)
    roles = _Roles(model, example)
    already = {(attribute.path, attribute.name) for attribute in plan.attributes}
    found = []
    for path, module in model.named_modules():
        sized = any(getattr(module, tensor, None) is not None for tensor in ("weight", "running_mean"))
        bare = isinstance(module, _NORMS) and not sized
        if type(module).__module__.startswith("torch.nn.") and not bare:
            continue
        for name, value in vars(module).items():
            if name.startswith("_") or name == "training" or (path, name) in already:
                continue
            for position, number in _numbers(value):
                used = bare or (path, name) in read
                options = _options(plan, path, number, upwards=used)
                wanted = options and number > 1 and (used or (len(options) == 1 and path))
                if wanted and (bare or not used or roles.shapes(type(module), name, position)):
                    found.append([Attribute(path, name, position, number, key) for key in options])
    return found


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which operations run, and what shapes they give."""

    def __init__(self, seen: list[tuple[object, list[torch.Size]]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen.append((func, [value.shape for value in pytree.tree_leaves(result) if isinstance(value, Tensor)]))
        return result


class _Roles:
    """Tells numbers that make a difference for shapes from those that are only computed with.

    Args:
        model: it is run with other numbers, and left as it was.
        example: its input.
    """

    def __init__(self, model: nn.Module, example: Example) -> None:
        self._model, self._example = model, example
        self._known: dict[tuple[type[nn.Module], str, int | None], bool] = {}

    def shapes(self, kind: type[nn.Module], name: str, position: int | None) -> bool:
        """Whether operations or shapes change with this number, in all modules of a class."""
        key = (kind, name, position)
        if key not in self._known:
            whole = self._whole
            earlier = [(module, vars(module)[name]) for module in self._model.modules() if type(module) is kind]
            try:
                for module, value in earlier:
                    setattr(module, name, _halved(value, position))
                self._known[key] = self._run() != whole
            except FAULTS:
                self._known[key] = True
            finally:
                for module, value in earlier:
                    setattr(module, name, value)
        return self._known[key]

    @cached_property
    def _whole(self) -> list[tuple[object, list[torch.Size]]]:
        return self._run()

    def _run(self) -> list[tuple[object, list[torch.Size]]]:
        seen: list[tuple[object, list[torch.Size]]] = []
        with warnings.catch_warnings(), _Operations(seen):
            warnings.simplefilter("ignore")
            run(self._model, self._example)
        return seen


def _halved(value: Any, position: int | None) -> Any:
    if position is None:
        return value // 2
    return type(value)(part // 2 if number == position else part for number, part in enumerate(value))


def _options(plan: Plan, path: str, number: int, *, upwards: bool) -> list[Key]:
    """Weights inside of a module whose size, or number of units, is this number; one for each set of decisions.

    Where there is none, those in the modules around it, if they are asked for.
    """
    prefix = f"{path}." if path else ""
    units = {cut.label: cut.units for cut in plan.cuts}
    layers = {cut.label: [*cut.layers, *cut.followers] for cut in plan.cuts}
    options: dict[frozenset[str], tuple[int, bool, Key]] = {}
    for key, axis in plan.axes.items():
        if not key[0].startswith(prefix):
            continue
        labels = frozenset(axis.ranks)
        direct = any(layer.rpartition(".")[0] == path for label in labels for layer in layers[label])
        if number != axis.size and not (direct and [number] == [units[label] for label in labels]):
            continue
        outside = sum(not f"{layer}.".startswith(prefix) for label in labels for layer in layers[label])
        options.setdefault(labels, (outside, not direct, key))
    if upwards and path and not options:
        return _options(plan, path.rpartition(".")[0], number, upwards=True)
    return [key for *_, key in sorted(options.values(), key=lambda option: option[:2])]
