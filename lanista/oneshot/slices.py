"""Which part of a shared tensor a smaller model uses.

The leading entries of each dimension; but the middle of a convolution's window, and the leading entries of each chunk
where a tensor holds several things side by side: the gates of a recurrent layer, or query, key and value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lanista.errors import OneShotError

Entries: TypeAlias = tuple[tuple[int, tuple[int, ...]], ...]
"""Which entries a part has, for some dimensions: pairs of a dimension and positions."""

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
"""How many gates a recurrent layer of torch has, by its mode."""

CELLS: tuple[tuple[type[nn.Module], int], ...] = ((nn.LSTMCell, 4), (nn.GRUCell, 3))


@dataclass(frozen=True)
class Layout:
    """How a tensor is cut.

    Attributes:
        chunks: for each dimension, into how many equal chunks it falls.
        centred: whether dimensions from 2 on are cut in the middle.
    """

    chunks: tuple[int, ...]
    centred: bool = False


def layout(module: nn.Module, name: str, ndim: int) -> Layout:
    """How the tensor `name` of a module is cut.

    A layer of the user's own that computes several things side by side says how many, in its first dimension:
    `self.qkv.packed = 3`.
    """
    chunks = [1] * ndim
    if isinstance(module, _ConvNd):
        return Layout(tuple(chunks), centred=True)
    if isinstance(module, nn.MultiheadAttention) and name.startswith("in_proj"):
        chunks[0] = 3
    elif isinstance(module, nn.RNNBase) and not name.startswith("weight_hr"):
        chunks[0] = GATES[module.mode]
        if module.bidirectional and name.startswith("weight_ih") and not name.startswith("weight_ih_l0"):
            chunks[1] = 2  # its input is both directions of the layer below
    elif ndim:
        cells = [gates for kind, gates in CELLS if isinstance(module, kind)]
        chunks[0] = cells[0] if cells else int(getattr(module, "packed", 1))
    return Layout(tuple(chunks))


INPUTS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    (nn.Linear, ("weight",)),
    (_ConvNd, ("weight",)),
    (nn.MultiheadAttention, ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")),
    (nn.RNNBase, ("weight_",)),
    (nn.RNNCellBase, ("weight_",)),
)
"""Whose weights sum over an input, and what these begin with."""


def summed(module: nn.Module, name: str) -> int | None:
    """The dimension of the tensor `name` over which the module sums its input; None if it is not known."""
    if not any(isinstance(module, kind) and name.startswith(names) for kind, names in INPUTS):
        return None
    return 0 if getattr(module, "transposed", False) else 1


def cut(tensor: Tensor, shape: Sequence[int], layout: Layout, entries: Entries = ()) -> Tensor:
    """The part of `tensor` that has this shape; a view where there are no entries, and one chunk in each dimension.

    Raises:
        OneShotError: the tensor is smaller.
    """
    for dim, positions in entries:
        tensor = tensor.index_select(dim, torch.tensor(positions, device=tensor.device))
    if tensor.shape == torch.Size(shape):
        return tensor
    return window(tensor, shape, layout).reshape(shape)


def window(tensor: Tensor, shape: Sequence[int], layout: Layout) -> Tensor:
    """A view of the same part, with a dimension more, before its own, for each that falls into chunks.

    Chunks that do not divide a size do not count.

    Raises:
        OneShotError: as `cut`.
    """
    for dim in reversed(range(tensor.dim())):
        size, whole, chunks = shape[dim], tensor.shape[dim], layout.chunks[dim]
        if size == whole:
            continue
        if size > whole:
            raise OneShotError(f"a tensor of shape {tuple(tensor.shape)} has no part of shape {tuple(shape)}")
        if chunks > 1 and size % chunks == whole % chunks == 0:
            parts = tensor.unflatten(dim, (chunks, whole // chunks))  # type: ignore[no-untyped-call]
            tensor = parts.narrow(dim + 1, 0, size // chunks)
        else:
            tensor = tensor.narrow(dim, (whole - size) // 2 if layout.centred and dim >= 2 else 0, size)
    return tensor


@dataclass(frozen=True)
class Part:
    """A part of a tensor that a module holds, as it is whenever it is asked for.

    Attributes:
        holder: the module.
        name: of its tensor.
        shape: of the part.
        layout: how it is cut.
        fixed: whether gradients do not go through it.
        entries: which entries it has, where these are not the ones that the layout says.
    """

    holder: nn.Module
    name: str
    shape: tuple[int, ...]
    layout: Layout
    fixed: bool = False
    entries: Entries = ()

    @property
    def tensor(self) -> Tensor:
        """What the module holds."""
        found: Tensor = getattr(self.holder, self.name)
        return found

    @property
    def whole(self) -> bool:
        """Whether it is all of the tensor."""
        return self.tensor.shape == self.shape

    @property
    def split(self) -> bool:
        """Whether it is not in one piece, so that `view` is a copy."""
        return not self.whole and (bool(self.entries) or any(chunks > 1 for chunks in self.layout.chunks))

    @property
    def learns(self) -> bool:
        """Whether gradients go through it."""
        return self.tensor.requires_grad and not self.fixed

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for equal parts of one tensor."""
        return id(self.holder), self.name, self.shape, self.entries

    def read(self) -> Tensor:
        """The part; in the memory order that a tensor of its own has, since other orders may give other last digits."""
        tensor = self.tensor.detach() if self.fixed else self.tensor
        return tensor if tensor.shape == self.shape else cut(tensor, self.shape, self.layout, self.entries).contiguous()

    def view(self) -> Tensor:
        """The part, for what changes it in place; a copy where it is not in one piece."""
        return cut(self.tensor, self.shape, self.layout, self.entries)

    def write(self, value: Tensor) -> None:
        """Replace the part."""
        with torch.no_grad():
            if self.entries:
                whole = self.tensor
                numbers = torch.arange(whole.numel(), device=whole.device).reshape(whole.shape)
                numbers = cut(numbers, self.shape, self.layout, self.entries)
                whole.view(-1)[numbers.flatten()] = value.detach().flatten().to(whole)
            else:
                target = window(self.tensor, self.shape, self.layout)
                target.copy_(value.detach().reshape(target.shape))
