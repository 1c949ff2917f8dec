"""Floating-point operations of a forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import Ledger, rehearse

Shape = Sequence[int]


@dataclass(frozen=True)
class Flops(Measure):
    """Floating-point operations of one forward pass on the example input, its whole batch, in evaluation mode. Exact.

    Matrix products, convolutions and attention count, in modules and in functions, with two operations for each
    multiply-add, as torch's flop counter counts them; additions, activations, normalisations and pooling do not. What
    papers call FLOPs is often half of it: see `Macs`.
    """

    name: str = field(default="flops", kw_only=True)
    unit: str = field(default="FLOP", init=False, repr=False)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return Measurement(sum(self.parts(model, example_input).values()), 0.0, self.unit)

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float]:
        return rehearse(model, example_input, _by_module, name=self.name)


@dataclass(frozen=True)
class Macs(Measure):
    """Multiply-adds of one forward pass on the example input: half of `Flops`, and what most papers call FLOPs."""

    name: str = field(default="macs", kw_only=True)
    unit: str = field(default="MAC", init=False, repr=False)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return Measurement(sum(self.parts(model, example_input).values()), 0.0, self.unit)

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float]:
        doubled = rehearse(model, example_input, _by_module, name=self.name)
        return {path: count / 2 for path, count in doubled.items()}


flops = Flops()
"""Floating-point operations of a forward pass, two for each multiply-add."""

macs = Macs()
"""Multiply-adds of a forward pass."""


def _by_module(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, float]:
    counter = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    with counter, Ledger(model, counter.get_total_flops) as ledger:
        model(*inputs)
    return dict(ledger.parts)


def _matrix_vector(matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _added_matrix_vector(_: Shape, matrix: Shape, vector: Shape, *__: Any, **___: Any) -> int:
    return 2 * prod(matrix)


def _added_batches(_: Shape, left: Shape, right: Shape, *__: Any, **___: Any) -> int:
    return 2 * prod(left) * right[-1]


def _added_product(_: Shape, left: Shape, right: Shape, *__: Any, **___: Any) -> int:
    return 2 * prod(left) * right[-1]


def _trilinear(left: Shape, weight: Shape, right: Shape, *_: Any, **__: Any) -> int:
    # Of nn.Bilinear: left (batch, 1, i, 1), weight (1, out, i, j), right (batch, 1, 1, j).
    return 2 * left[0] * prod(weight)


_ATEN = torch.ops.aten
_FORMULAS = {
    _ATEN.mv: _matrix_vector,
    _ATEN.dot: _matrix_vector,
    _ATEN.addmv: _added_matrix_vector,
    _ATEN.addmv_: _added_matrix_vector,
    _ATEN.addbmm: _added_batches,
    _ATEN.addbmm_: _added_batches,
    _ATEN.baddbmm_: _added_batches,
    _ATEN.addmm_: _added_product,
    _ATEN._trilinear: _trilinear,
}
"""What torch's counter (2.13) passes over."""
