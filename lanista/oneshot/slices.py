"""Which part of a shared tensor a smaller model uses.

The leading entries of each dimension; but the middle of a convolution's window, and the leading entries of each chunk
where a tensor holds several things side by side: the gates of a recurrent layer, or query, key and value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lanista.errors import OneShotError

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


def cut(tensor: Tensor, shape: Sequence[int], layout: Layout) -> Tensor:
    """The part of `tensor` that has this shape; a view where the chunks allow it.

    Raises:
        OneShotError: the tensor is smaller, or chunks do not divide a size.
    """
    if tensor.shape == torch.Size(shape):
        return tensor
    for dim, (size, chunks) in enumerate(zip(shape, layout.chunks, strict=True)):
        whole = tensor.shape[dim]
        if size == whole:
            continue
        if size > whole or size % chunks or whole % chunks:
            raise OneShotError(
                f"a tensor of shape {tuple(tensor.shape)} has no part of shape {tuple(shape)}"
                + (f" in {chunks} chunks" if chunks > 1 else "")
            )
        if chunks > 1:
            parts = tensor.unflatten(dim, (chunks, whole // chunks))  # type: ignore[no-untyped-call]
            tensor = parts.narrow(dim + 1, 0, size // chunks).flatten(dim, dim + 1)
        else:
            start = (whole - size) // 2 if layout.centred and dim >= 2 else 0
            tensor = tensor.narrow(dim, start, size)
    return tensor
