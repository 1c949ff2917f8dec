"""Averages over the processes of a distributed run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import torch
from torch import Tensor
from torch import distributed as dist


def processes() -> int:
    """How many processes take part; 1 where there is no distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average(tensors: Iterable[Tensor]) -> None:
    """Replace tensors by their averages over all processes, which give as many, of the same shapes, in this order.

    Sums are made in the widest of the tensors' types, and at least in single precision.
    """
    if processes() == 1:
        return
    whole = list(tensors)
    if not whole:
        return
    kind = reduce(torch.promote_types, {tensor.dtype for tensor in whole}, torch.float32)
    flat = torch.cat([tensor.detach().flatten().to(kind) for tensor in whole])
    dist.all_reduce(flat)
    flat /= processes()
    start = 0
    for tensor in whole:
        with torch.no_grad():
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
