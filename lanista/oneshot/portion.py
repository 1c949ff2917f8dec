"""Layers on a part of the channels, as PC-DARTS (https://arxiv.org/abs/1907.05737) runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from lanista.errors import OneShotError
from lanista.oneshot.binding import Bound
from lanista.oneshot.slices import Part, layout
from lanista.space.probe import UNBUILDABLE

POOLS: dict[int, Callable[..., Tensor]] = {
    3: nn.functional.adaptive_max_pool1d,
    4: nn.functional.adaptive_max_pool2d,
    5: nn.functional.adaptive_max_pool3d,
}
"""What makes the channels that are passed by as small as the others, by the number of dimensions."""


class Portions:
    """Runs layers on the first of `k` parts of the channels, dimension 1; the other parts are passed by.

    A layer is narrowed with all that is in it: a convolution of C to D channels becomes one of C / k to D / k, whose
    weights are the leading slices of the whole one's. So they are trained, and the rest is not.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._narrow: dict[int, tuple[nn.Module, nn.Module]] = {}
        self._works: set[str] = set()
        self._inside = False

    def run(
        self, name: str, mix: Callable[..., Tensor], options: Sequence[nn.Module], x: Tensor, *others: object
    ) -> Tensor:
        """The mixture of layers that each are narrowed, joined with the channels that are passed by, and shuffled.

        Args:
            name: of the choice, for errors.
            mix: called with the narrowed layers and a part of `x`.
            options: the layers. Those inside of a layer that is narrowed are narrowed already.
            x: of shape (batch, channels, ...).
            others: further inputs, of which there must be none.

        Raises:
            OneShotError: the layers cannot run on a part of the channels.
        """
        if self._inside:
            return mix(options, x, *others)
        if others or not isinstance(x, Tensor) or x.dim() < 2:
            raise self._refusal(name, "they do not take one tensor of shape (batch, channels, ...)")
        channels = x.shape[1]
        if channels % self.k:
            raise self._refusal(name, f"their {channels} channels do not fall into {self.k} equal parts")
        size = channels // self.k
        layers = [self._narrowed(name, option) for option in options]
        self._inside = True
        try:
            mixed = mix(layers, x.narrow(1, 0, size))
        except UNBUILDABLE as error:
            if name in self._works:
                raise
            raise self._refusal(name, f"{type(error).__name__}: {error}") from error
        finally:
            self._inside = False
        if mixed.shape[1] != size or mixed.dim() != x.dim():
            raise self._refusal(name, f"{channels} channels do not stay {channels}")
        self._works.add(name)
        rest = x.narrow(1, size, channels - size)
        if rest.shape[2:] != mixed.shape[2:]:
            rest = POOLS[x.dim()](rest, mixed.shape[2:])
        joined = torch.cat([mixed, rest], 1).unflatten(1, (self.k, size))  # type: ignore[no-untyped-call]
        return cast(Tensor, joined.transpose(1, 2).flatten(1, 2))

    def _narrowed(self, name: str, layer: nn.Module) -> nn.Module:
        if id(layer) not in self._narrow:
            try:
                self._narrow[id(layer)] = layer, _twin(layer, self.k, {})
            except OneShotError as error:
                raise self._refusal(name, str(error)) from error
        twin = self._narrow[id(layer)][1]
        return twin if twin.training == layer.training else twin.train(layer.training)

    def _refusal(self, name: str, reason: str) -> OneShotError:
        return OneShotError(
            f"the options of {name!r} cannot run on one of {self.k} parts of the channels: {reason}. Give another "
            "number of parts, PCDARTS(parts=...), or use DARTS"
        )


def _twin(module: nn.Module, k: int, known: dict[int, nn.Module]) -> nn.Module:
    """The same module with a `k`-th of the channels everywhere, on the leading slices of the same tensors."""
    if id(module) in known:
        return known[id(module)]
    twin = known[id(module)] = nn.Module.__new__(type(module))
    vars(twin).update(vars(module))
    vars(twin)["_modules"] = {
        name: None if child is None else _twin(child, k, known) for name, child in module._modules.items()
    }
    sizes = _sizes(module, k)
    vars(twin).update(sizes)
    for table in ("_parameters", "_buffers"):
        tensors: dict[str, Tensor | None] = vars(module)[table]
        parts = {}
        for name in tensors:
            tensor = getattr(module, name)
            if tensor is None or tensor.dim() == 0:
                continue
            if not sizes:
                raise OneShotError(f"how a {type(module).__name__} is made narrower is not known")
            parts[name] = Part(module, name, _shape(module, sizes, tensor, k), layout(module, name, tensor.dim()))
        vars(twin)[table] = Bound(dict(dict.items(tensors)), parts, buffers=table == "_buffers")
    return twin


def _sizes(module: nn.Module, k: int) -> dict[str, Any]:
    """The attributes that say how wide a layer is, when it is narrowed; none where that is not known."""
    found: dict[str, int] = {}
    if isinstance(module, _ConvNd):
        found = {"in_channels": module.in_channels, "out_channels": module.out_channels}
        if module.groups == module.in_channels:
            found["groups"] = module.groups
        elif module.in_channels // k % module.groups or module.out_channels // k % module.groups:
            raise OneShotError(f"the {module.groups} groups of {module} do not divide a {k}th of its channels")
    elif isinstance(module, _NormBase | _InstanceNorm):
        found = {"num_features": module.num_features}
    elif isinstance(module, nn.GroupNorm):
        found = {"num_channels": module.num_channels}
        if module.num_channels // k % module.num_groups:
            raise OneShotError(f"the {module.num_groups} groups of {module} do not divide a {k}th of its channels")
    elif isinstance(module, nn.Linear):
        found = {"in_features": module.in_features, "out_features": module.out_features}
    elif isinstance(module, nn.PReLU):
        return {"num_parameters": max(1, module.num_parameters // k)}
    if any(size % k for size in found.values()):
        raise OneShotError(f"the sizes of {module} do not fall into {k} equal parts")
    return {name: size // k for name, size in found.items()}


def _shape(module: nn.Module, sizes: dict[str, int], tensor: Tensor, k: int) -> tuple[int, ...]:
    """The shape of a narrowed layer's tensor."""
    shape = tuple(tensor.shape)
    if isinstance(module, nn.PReLU):
        return (sizes["num_parameters"],)
    wide = 2 if isinstance(module, _ConvNd | nn.Linear) and tensor.dim() > 1 else 1
    depthwise = "groups" in sizes
    return tuple(size // k if dim < wide and not (depthwise and dim == 1) else size for dim, size in enumerate(shape))
