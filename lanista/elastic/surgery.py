"""Builds smaller models: copies in which weights are slices, and the numbers in modules fit them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lanista.elastic.plan import Attribute, Axis, Plan

Note: TypeAlias = Callable[[Tensor, Mapping[int, Tensor]], None]
"""Is told, of a slice, which entries of the full tensor it has, for each dimension that was cut."""


def build(
    model: nn.Module, plan: Plan, answers: Mapping[str, int], *, meta: bool = False, note: Note | None = None
) -> nn.Module:
    """A copy of the model with as many channels and modules as the answers say; without an answer, all.

    Weights are slices of the model's, tied where they are tied there, and of no other memory. What is cut away is
    never copied.

    Args:
        model: the full model, which is left as it was.
        plan: made for it.
        answers: label -> number kept.
        meta: make weights on the meta device, without values.
        note: called with each slice.
    """
    dropped = {path for stage in plan.stages if stage.label in answers for path in stage.dropped(answers[stage.label])}
    memo: dict[int, object] = {}
    for path in dropped:
        memo[id(model.get_submodule(path))] = nn.Identity()
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if not any(name.startswith(f"{path}.") for path in dropped):
            kept = _kept(value, name, plan.axes, answers)
            part = memo[id(value)] = _slice(value, kept, meta=meta)
            if note is not None and kept:
                note(part, kept)
    smaller = copy.deepcopy(model, memo)
    for stage in plan.stages:
        if stage.label in answers:
            del smaller.get_submodule(stage.path)[answers[stage.label] :]  # type: ignore[operator]
    modules = dict(smaller.named_modules())
    for attribute in plan.attributes:
        if attribute.path in modules:
            adjust(modules[attribute.path], attribute, plan.axes[attribute.axis], answers)
    return smaller


def _kept(
    value: Tensor, name: str, axes: Mapping[tuple[str, int], Axis], answers: Mapping[str, int]
) -> dict[int, Tensor]:
    """Which entries of a tensor are kept, for each dimension that is cut."""
    found = {}
    for dim in range(value.ndim):
        axis = axes.get((name, dim))
        if axis is not None and len(kept := axis.kept(answers)) < axis.size:
            found[dim] = kept
    return found


def _slice(value: Tensor, kept: Mapping[int, Tensor], *, meta: bool) -> Tensor:
    part = value.detach()
    if meta:
        part = torch.empty_like(part, device="meta")
    for dim, entries in kept.items():
        part = part.index_select(dim, entries.to(part.device))
    if part.data_ptr() == value.data_ptr() and not meta:
        part = part.clone()
    if isinstance(value, nn.Parameter):
        part = nn.Parameter(part, requires_grad=value.requires_grad)
    vars(part).update(vars(value))  # what optimisers and libraries note on parameters
    return part


def adjust(module: nn.Module, attribute: Attribute, axis: Axis, answers: Mapping[str, int]) -> None:
    """Set a number in a module to what fits the size of a weight."""
    number = attribute.value * len(axis.kept(answers)) // axis.size
    if attribute.position is None:
        setattr(module, attribute.name, number)
        return
    values = list(getattr(module, attribute.name))
    values[attribute.position] = number
    setattr(module, attribute.name, type(getattr(module, attribute.name))(values))


def reset(model: nn.Module) -> None:
    """Draw new weights wherever a layer has `reset_parameters`, with torch's global generator."""
    for module in model.modules():
        method = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
        if callable(method):
            method()
