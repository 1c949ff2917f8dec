"""Copies of modules, with their weights or without."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter


def duplicate(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy with the same weights; tied ones stay tied, also between copies made with one `memo`."""
    return copy.deepcopy(module, memo)


def sketch(module: nn.Module) -> nn.Module:
    """A deep copy on the meta device: shapes without numbers, which cost no memory; tied weights stay tied."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        tables = (part._parameters, part._buffers, vars(part))
        for value in (value for table in tables for value in table.values() if isinstance(value, Tensor)):
            memo[id(value)] = _without_numbers(value)
    return copy.deepcopy(module, memo)


def _without_numbers(value: Tensor) -> Tensor:
    if isinstance(value, UninitializedParameter):
        return UninitializedParameter(requires_grad=value.requires_grad, device="meta")  # type: ignore[call-arg]
    if isinstance(value, UninitializedBuffer):
        return UninitializedBuffer(requires_grad=False, device="meta")  # type: ignore[call-arg]
    meta = torch.empty_like(value, device="meta")
    return nn.Parameter(meta, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else meta
