"""Comparison of tensors and outputs: whether they are the same, and how far they are apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from lanista.errors import ExportError


def agree(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors have the same values; NaN equals NaN."""
    if one is other:
        return True
    one, other = one.detach().cpu(), other.detach().cpu()
    if one.is_floating_point() or one.is_complex():
        return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(one.isnan(), other.isnan())
    return torch.equal(one, other)


def outputs_distance(actual: object, expected: object, what: str) -> float:
    """Give the largest difference of the outputs, relative to the largest output where that exceeds 1.

    Raises:
        ExportError: the outputs are structured otherwise; `what` names the one that gave `actual`.
    """
    ours, shape = pytree.tree_flatten(actual)
    theirs, expected_shape = pytree.tree_flatten(expected)
    if shape != expected_shape:
        raise ExportError(f"{what} returns {shape}, the model {expected_shape}")
    return max((distance(one, other) for one, other in zip(ours, theirs, strict=True)), default=0.0)


def distance(one: object, other: object) -> float:
    """Give the largest difference, relative to the largest value of `other` where that exceeds 1."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return 0.0 if one == other else float("inf")
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return float("inf")
    if one.numel() == 0 or agree(one, other):
        return 0.0
    wide = torch.complex128 if one.is_complex() else torch.float64
    gap = (one.to(wide) - other.to(wide)).abs().max()
    apart = float(gap / other.to(wide).abs().max().clamp(min=1.0))
    return float("inf") if math.isnan(apart) else apart  # a comparison with NaN would pass
