"""`Channels`: which channels of which weights and activations belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from lanista.elastic.units import WILD, Units, broadcast, spread, thin, thin_together, wild

MOST_ELEMENTS = 1 << 20
"""How many elements are followed one by one, of weights that are added or multiplied elementwise; others stay."""

CONSTANT = "it meets a tensor of fixed size (the model's input or a constant) in {where}"


@dataclass(frozen=True)
class Weight:
    """A weight of two or more dimensions, perhaps transposed or cut.

    Attributes:
        grids: labels of its shape, one for each dimension that it had at first.
    """

    grids: tuple[Tensor, ...]

    def axis(self, dim: int) -> Tensor | None:
        """Labels along a dimension, shape (size,); None where it is not one of the first dimensions, or a part."""
        along = [grid for grid in self.grids if _uneven(grid) == [dim]]
        if self.grids[0].shape[dim] == 1:
            along = [grid for grid in self.grids if not _uneven(grid)]
            own = self.grids[dim] if dim < len(self.grids) else None
            along = [grid for grid in along if grid is own] or along
        return slab(along[0], dim) if len(along) == 1 or (along and not _uneven(along[0])) else None


def _uneven(grid: Tensor) -> list[int]:
    return [dim for dim, size in enumerate(grid.shape) if size > 1 and grid.stride(dim) != 0]


Labels = Tensor | Weight


class Channels:
    """Ties channels as operations do; every method takes and gives label tensors, see `Units`.

    Attributes:
        units: the classes of channels.
        axes: for a weight's name and dimension, the labels along it, shape (size,).
        elements: for the name of a weight that is used elementwise, the labels of its elements.
        matrices: names of the weights whose dimensions mean different things: inputs and outputs.
        made: labels of channels that a layer makes, beside those that follow what another makes.
        heads: labels that belong to attention heads.
    """

    def __init__(self) -> None:
        self.units = Units()
        self.axes: dict[tuple[str, int], Tensor] = {}
        self.elements: dict[str, Tensor] = {}
        self.matrices: set[str] = set()
        self.made: list[Tensor] = []
        self._followed = 0
        self.heads: list[Tensor] = []

    def weight(self, name: str, shape: Sequence[int], *, structured: bool) -> Labels:
        """The labels of a weight; `structured` if only operations use it that tell its dimensions apart."""
        wide = [dim for dim, size in enumerate(shape) if size > 1]
        if structured or len(wide) < 2:
            for dim, size in enumerate(shape):
                if (name, dim) not in self.axes:
                    self.axes[name, dim] = self.units.fresh(size)
            views = [[size if other == dim else 1 for other in range(len(shape))] for dim, size in enumerate(shape)]
            grids = [self.axes[name, dim].view(view).expand(*shape) for dim, view in enumerate(views)]
            if structured and len(shape) > 1:
                self.matrices.add(name)
                return Weight(tuple(grids))
            return grids[wide[0]] if wide else grids[-1] if grids else wild(())
        if name not in self.elements:
            self._followed += prod(shape)
            if self._followed > MOST_ELEMENTS:
                self._followed -= prod(shape)
                return wild(tuple(shape))
            self.elements[name] = self.units.fresh(prod(shape)).view(*shape)
        return self.elements[name]

    def fix(self, labels: Labels | None, reason: str) -> None:
        """Keep all channels with these labels."""
        for grid in labels.grids if isinstance(labels, Weight) else () if labels is None else (labels,):
            self.units.fix(grid, reason)

    def make(self, labels: Tensor) -> None:
        """Note that a layer makes channels with these labels, shape (size,)."""
        self.made.append(labels)

    def plain(self, labels: Labels, where: str) -> Tensor:
        """The labels of a tensor that is used as an activation."""
        if isinstance(labels, Weight):
            self.fix(labels, f"{where} uses it in a way that mixes its dimensions")
            return wild(labels.grids[0].shape)
        return labels

    def join(self, operands: Sequence[Tensor], where: str) -> Tensor:
        """Tie tensors that are combined element by element, with broadcasting."""
        most = max(operand.ndim for operand in operands)
        first, *rest = (operand[(None,) * (most - operand.ndim)] for operand in operands)
        for other in rest:
            first = self._joined(first, other, where)
        return first

    def _joined(self, one: Tensor, other: Tensor, where: str) -> Tensor:
        shape = broadcast(one.shape, other.shape)
        # A dimension of size 1 meets one that varies: what is small there goes with no channel of the other.
        lost = [d for d in range(len(shape)) if one.shape[d] < shape[d] and self.units.varies(other, d)]
        lost_other = [d for d in range(len(shape)) if other.shape[d] < shape[d] and self.units.varies(one, d)]
        if lost and lost_other:
            for labels in (one, other):
                self.fix(labels, f"{where} combines each of its channels with each of another tensor's")
            return wild(shape)
        if lost:
            one, other = other, one
        elif not lost_other:
            one, other = _shrunk(one, other)
            self.units.tie(one, other)
            self._meet_constant(one, other, where)
            self._meet_constant(other, one, where)
        one, other = thin_together(one.expand(shape), other.expand(shape))
        mixed = torch.where(one == WILD, other, one) if bool((one == WILD).any()) else one
        return spread(mixed).expand(shape)

    def _meet_constant(self, constant: Tensor, labels: Tensor, where: str) -> None:
        """Keep channels that fill the same slice of a tensor as the elements of another that are WILD."""
        if not bool((thin(constant) == WILD).any()):
            return
        for dim, size in enumerate(constant.shape):
            if size < 2 or labels.shape[dim] < 2 or not self.units.varies(labels, dim):
                continue
            found = self.units.classes(thin(labels)).movedim(dim, 0)
            found = found.reshape(len(found), -1)
            least, most = found.amin(1), found.amax(1)
            still = (thin(constant) == WILD).movedim(dim, 0)
            still = still.reshape(len(still), -1).any(1)
            self.fix(most[(least == most) & still], CONSTANT.format(where=where))

    def reduce(self, labels: Tensor, dims: Sequence[int], *, keep: bool) -> Tensor:
        """Sum, mean or greatest along some dimensions."""
        varying = self.units.varying(labels)
        along = [dim for dim in varying if dim in dims]
        if along and len(along) == len(varying):
            labels = wild(labels.shape)  # over all channels: the result belongs to none
        for dim in along if len(along) < len(varying) else ():
            self.units.merge(labels, dim)
        for dim in dims:
            labels = labels.amax(dim, keepdim=True) if labels.stride(dim) else labels.narrow(dim, 0, 1)
        if keep:
            return labels
        return labels[tuple(0 if dim in dims else slice(None) for dim in range(labels.ndim))]

    def contract(self, labels: Tensor, dim: int, inputs: Tensor, where: str) -> Tensor | None:
        """Multiply by a matrix along a dimension, whose rows for it have the labels `inputs`.

        None where that sums over channels. Else each channel is treated alike, and the result is the labels with
        size 1 along the dimension; the rows then stay.
        """
        dim %= labels.ndim
        varying = self.units.varying(labels)
        if varying and dim not in varying:
            self.fix(inputs, "it mixes positions, not channels")
            return labels.narrow(dim, 0, 1)
        for other in varying:
            if other != dim:  # one matrix for all positions
                self.units.merge(labels, other)
        channels = slab(labels, dim)
        self.units.tie(channels, inputs)
        self.fix(inputs[channels.expand(inputs.shape) == WILD], "its input is the model's input, or of fixed size")
        return None

    def product(self, one: Tensor, other: Tensor, where: str) -> Tensor:
        """Matrix product of activations of shapes (..., n, k) and (..., k, m)."""
        other = other.transpose(-1, -2)
        for labels in (one, other):
            varying = self.units.varying(labels)
            if labels.ndim - 1 in varying and len(varying) > 1:
                self.units.merge(labels, labels.ndim - 1)
        shape = (*broadcast(one.shape[:-2], other.shape[:-2]), one.shape[-2], other.shape[-2])
        if any(self.units.varying(labels) == [labels.ndim - 1] for labels in (one, other)):
            self.join([one[..., :1, :], other[..., :1, :]], where)
            return wild(shape)
        rows, columns = one[..., :1], other[..., :1].transpose(-1, -2)
        for labels, dim in ((rows, -2), (columns, -1)):
            varying = self.units.varying(labels)
            if labels.ndim + dim in varying and len(varying) > 1:
                self.units.merge(labels, labels.ndim + dim)
        batch = [self.units.classes(labels) for labels in (rows, columns) if self.units.varying(labels)]
        if len(batch) == 2:
            self.heads.append(rows)
        return self.join([rows, columns], where).expand(shape)


def slab(labels: Tensor, dim: int) -> Tensor:
    """The labels along a dimension, at the first position of all others, shape (size,)."""
    moved = labels.movedim(dim, -1)
    return moved[(0,) * (moved.ndim - 1)]


def _shrunk(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both with size 1 in the dimensions that one of them is broadcast along."""
    for dim in range(one.ndim):
        if one.shape[dim] != other.shape[dim]:
            one, other = one.narrow(dim, 0, 1), other.narrow(dim, 0, 1)
    return one, other
