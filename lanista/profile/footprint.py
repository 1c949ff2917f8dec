"""Bytes of memory that training and inference take."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import Ledger, rehearse, tensors_in


@dataclass(frozen=True)
class ActivationMemory(Measure):
    """Bytes that a training step keeps for the backward pass: the activations, of the whole batch.

    It is what autograd saves in a forward pass in training mode, each storage once, the example input included where it
    is saved, parameters and buffers left out. Layers whose parameters need no gradient save less, and what is
    checkpointed saves nothing. A part is what the module saves first: an activation that two layers keep counts for
    the first. Gradients and the optimizer's state are not in it. Attention and recurrent layers are taken as unfused:
    kernels that fuse them (flash attention, cuDNN) keep less.
    """

    name: str = field(default="activations", kw_only=True)
    unit: str = field(default="B", init=False, repr=False)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return Measurement(sum(self.parts(model, example_input).values()), 0.0, self.unit)

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float]:
        return rehearse(model, example_input, _saved, name=self.name, training=True)


@dataclass(frozen=True)
class PeakMemory(Measure):
    """Greatest number of bytes that are in use at a time in an inference on the example input.

    Parameters, buffers, the example input, and all tensors between that are alive then, by the order in which the model
    makes and drops them; without what kernels take for themselves and allocators round up. It is no sum over modules.
    Attention and recurrent layers are taken as unfused.
    """

    name: str = field(default="memory", kw_only=True)
    unit: str = field(default="B", init=False, repr=False)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return Measurement(rehearse(model, example_input, _peak, name=self.name), 0.0, self.unit)


activations = ActivationMemory()
"""Bytes that a training step keeps for the backward pass."""

memory = PeakMemory()
"""Greatest number of bytes in use at a time in an inference."""


def _saved(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, float]:
    # Storages are held here so that no identity is used twice.
    known = _storages([*model.parameters(), *model.buffers()])
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if id(storage) not in known:
            known[id(storage)] = storage
            total += storage.nbytes()
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack), Ledger(model, lambda: total) as ledger:
        model(*inputs)
    return dict(ledger.parts)


def _peak(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    held = _storages([*model.parameters(), *model.buffers(), *tensors_in(inputs)])
    live = _Live(held)
    with live:
        model(*inputs)
    return live.peak


def _storages(tensors: Iterable[Tensor]) -> dict[int, torch.UntypedStorage]:
    """Each storage of the tensors once, by identity."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return {id(storage): storage for storage in storages}


class _Live(TorchDispatchMode):
    """Keeps account of the storages that operations make.

    Args:
        held: what is in use all the time, by identity.

    Attributes:
        peak: greatest sum of bytes of what was in use at a time.
    """

    def __init__(self, held: Mapping[int, torch.UntypedStorage]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._live = set(held)
        self._now = self.peak = sum(storage.nbytes() for storage in held.values())

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tensors_in(out):
            storage = tensor.untyped_storage()
            identity, size = id(storage), storage.nbytes()
            if identity not in self._live:
                self._live.add(identity)
                self._now += size
                self.peak = max(self.peak, self._now)
                weakref.finalize(storage, self._leave, identity, size).atexit = False
        return out

    def _leave(self, identity: int, size: int) -> None:
        self._live.discard(identity)
        self._now -= size
