"""Copies of modules."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def duplicate(module: nn.Module, device: torch.device | None = None) -> nn.Module:
    """A deep copy with the same weights; tied ones stay tied.

    Args:
        module: any module.
        device: None, or the meta device: the copy then has no weights, only their shapes, and costs no memory.
    """
    memo: dict[int, object] = {}
    if device is not None:
        for parameter in module.parameters():
            if not is_lazy(parameter):
                meta = torch.empty_like(parameter, device=device)
                memo[id(parameter)] = nn.Parameter(meta, requires_grad=parameter.requires_grad)
        for buffer in module.buffers():
            if not is_lazy(buffer):
                memo[id(buffer)] = torch.empty_like(buffer, device=device)
        for part in module.modules():
            for value in vars(part).values():
                if isinstance(value, Tensor):
                    memo[id(value)] = torch.empty_like(value, device=device)
    return copy.deepcopy(module, memo)
