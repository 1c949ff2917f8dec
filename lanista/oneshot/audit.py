"""Whether a network computes what paths compute: both are run, with random weights, in single precision at least."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture
from lanista.space.probe import UNBUILDABLE

TOLERANCE = 1e-4
"""How far outputs may differ, relative to the greatest: sums with zeros in them are rounded otherwise."""


def difference(
    supernet: Supernet, architectures: Iterable[Architecture], select: Callable[[Architecture], nn.Module]
) -> tuple[Architecture, str] | None:
    """The first architecture whose path computes something else than what is selected, and how; None if there is none.

    Args:
        supernet: whose space has an example input.
        architectures: canonical.
        select: gives the network, when it is an architecture's.
    """
    every = list(architectures)
    with _precise(supernet), torch.no_grad():
        inputs = supernet.example or ()
        with _random_weights(supernet):
            found = _first(supernet, every, select, inputs)
        if found is None:  # some layers are constant where weights are random
            found = _first(supernet, every[::3], select, inputs)
    return found


def _first(
    supernet: Supernet,
    architectures: Iterable[Architecture],
    select: Callable[[Architecture], nn.Module],
    inputs: tuple[Any, ...],
) -> tuple[Architecture, str] | None:
    for architecture in architectures:
        expected = _outputs(supernet.path(architecture), inputs)
        try:
            found = _outputs(select(architecture), inputs)
        except UNBUILDABLE as error:
            return architecture, f"the model cannot be run ({type(error).__name__}: {error})"
        if [tensor.shape for tensor in expected] != [tensor.shape for tensor in found]:
            return architecture, "the model's output has another shape"
        if not all(map(_close, found, expected)):
            return architecture, "the model's output differs"
    return None


def _close(found: Tensor, expected: Tensor) -> bool:
    if not expected.numel() or not expected.is_floating_point():
        return torch.equal(found, expected)
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


def _outputs(model: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
    found = model.eval()(*inputs)
    return [leaf for leaf in torch.utils._pytree.tree_leaves(found) if isinstance(leaf, Tensor)]


@contextmanager
def _precise(supernet: Supernet) -> Iterator[None]:
    """Meanwhile weights of half precision are of single precision: half of it would hide differences, or make some."""
    saved = [
        (tensor, tensor.data)
        for tensor in chain(supernet.parameters(), supernet.buffers())
        if tensor.is_floating_point() and tensor.dtype.itemsize < torch.float32.itemsize
    ]
    try:
        for tensor, data in saved:
            tensor.data = data.float()
        yield
    finally:
        for tensor, data in saved:
            tensor.data = data


@contextmanager
def _random_weights(supernet: Supernet) -> Iterator[None]:
    """Meanwhile all weights are random: a bias that is zero at first would hide what it will do."""
    training = supernet.training
    saved = {name: tensor.detach().clone() for name, tensor in supernet.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    try:
        _fill(supernet.named_parameters(), generator, signed=True)
        _fill(_statistics(supernet), generator, signed=False)
        yield
    finally:
        supernet.load_state_dict(saved)
        supernet.train(training)


def _statistics(supernet: Supernet) -> Iterator[tuple[str, Tensor]]:
    return (item for item in supernet.named_buffers() if item[0].endswith(("running_mean", "running_var")))


def _fill(tensors: Iterable[tuple[str, Tensor]], generator: torch.Generator, *, signed: bool) -> None:
    """Numbers that keep the size of what goes through; of one dimension from 0.5 to 1.5, or less than -0.5."""
    with torch.no_grad():
        for _, tensor in tensors:
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator, device="cpu")
                if tensor.dim() > 1:
                    tensor.copy_((noise - 0.5) * 2 * (6 / max(1, tensor[0].numel())) ** 0.5)
                else:
                    sign = torch.rand(tensor.shape, generator=generator, device="cpu") - 0.5
                    tensor.copy_((noise + 0.5) * (sign.sign() if signed else 1))
