"""`Units`: channels that can only be kept or removed together, as a union of sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

WILD = -1
"""The label of an element that belongs to no channel: of the model's input, of constants, of sums over channels."""

FIXED = 0
"""The root of all units that must stay."""


class Units:
    """Numbered units, each in one class; the class of unit 0 stays in every model.

    A label tensor has the shape of an activation or a weight and holds, for each element, the unit that it goes
    with, or WILD. Labels that do not depend on a dimension have stride 0 there, so that they are small, and data
    movement (reshape, permute, cat, ...) is followed by doing the same to the labels.
    """

    def __init__(self) -> None:
        self._root = torch.zeros(1, dtype=torch.long)
        self._why = torch.zeros(1, dtype=torch.long)
        self._reasons = ["it is fixed"]

    def fresh(self, count: int) -> Tensor:
        """`count` new units, each a class of its own."""
        start = len(self._root)
        new = torch.arange(start, start + count)
        self._root = torch.cat([self._root, new])
        self._why = torch.cat([self._why, torch.zeros(count, dtype=torch.long)])
        return new

    def state(self) -> Tensor:
        """All classes as they are now, for comparison."""
        return self._root.clone()

    def classes(self, labels: Tensor) -> Tensor:
        """The least unit of each label's class; WILD stays."""
        found: Tensor = self._root[labels.clamp(min=0)]
        return torch.where(labels < 0, labels, found)

    def reason(self, unit: int) -> str:
        """Why the class of this unit stays."""
        return self._reasons[int(self._why[unit])]

    def fix(self, labels: Tensor, reason: str) -> None:
        """Let the classes of these labels stay, for this reason unless they have one already."""
        roots = distinct(self.classes(thin(labels)))
        roots = roots[roots > 0]
        if len(roots):
            self._fix(roots, self._known(reason))

    def _known(self, reason: str) -> int:
        if reason not in self._reasons:
            self._reasons.append(reason)
        return self._reasons.index(reason)

    def _fix(self, roots: Tensor, why: int) -> None:
        members = torch.isin(self._root, roots)
        self._why[members] = why
        self._root[members] = FIXED

    def tie(self, one: Tensor, other: Tensor) -> None:
        """Join the classes of the labels at the same positions; WILD joins nothing."""
        shape = broadcast(one.shape, other.shape)
        one, other = one.expand(shape), other.expand(shape)
        one, other = thin_together(one, other)
        pairs = torch.stack([one.reshape(-1), other.reshape(-1)])
        pairs = pairs[:, (pairs >= 0).all(0)]
        roots = self._root[pairs]
        pairs = pairs[:, roots[0] != roots[1]]
        # What is tied to a fixed unit stays for that unit's reason.
        for fixed, free in (pairs, pairs.flip(0)):
            held = self._root[fixed] == FIXED
            for why in distinct(self._why[fixed[held]]).tolist():
                roots = distinct(self._root[free[held & (self._why[fixed] == why)]])
                self._fix(roots[roots > 0], why)
        self._union(pairs)

    def _union(self, pairs: Tensor) -> None:
        while True:
            roots = self._root[pairs]
            roots = roots[:, roots[0] != roots[1]]
            if not roots.numel():
                return
            low, high = roots.min(0).values, roots.max(0).values
            self._root.scatter_reduce_(0, high, low, "amin")
            while not torch.equal(shorter := self._root[self._root], self._root):
                self._root = shorter

    def varies(self, labels: Tensor, dim: int) -> bool:
        """Whether the classes differ along a dimension."""
        if labels.shape[dim] < 2 or labels.stride(dim) == 0:
            return False
        found = self.classes(thin(labels))
        return bool((found != found.select(dim, 0).unsqueeze(dim)).any())

    def varying(self, labels: Tensor) -> list[int]:
        """The dimensions along which the classes differ."""
        return [dim for dim in range(labels.ndim) if self.varies(labels, dim)]

    def merge(self, labels: Tensor, dim: int) -> None:
        """Join all that lies along a dimension."""
        if labels.shape[dim]:
            self.tie(labels, labels.narrow(dim, 0, 1))


def distinct(labels: Tensor) -> Tensor:
    """The labels that there are, each once, in order."""
    found: Tensor = labels.unique()  # type: ignore[no-untyped-call]
    return found


def broadcast(*shapes: Sequence[int]) -> torch.Size:
    """The shape of tensors of these shapes that are combined element by element."""
    shape: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return shape


def wild(shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Labels that are all WILD."""
    return torch.full((1,) * len(shape), WILD).expand(shape)


def thin(labels: Tensor) -> Tensor:
    """The labels with size 1 in each dimension that they do not depend on."""
    for dim, (size, stride) in enumerate(zip(labels.shape, labels.stride(), strict=True)):
        if stride == 0 and size > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def spread(labels: Tensor) -> Tensor:
    """Equal labels, with stride 0 wherever they do not depend on a dimension."""
    small = thin(labels)
    for dim in range(small.ndim):
        if small.shape[dim] > 1 and bool((small == small.narrow(dim, 0, 1)).all()):
            small = small.narrow(dim, 0, 1)
    return small.contiguous().expand(labels.shape) if small.numel() < labels.numel() else labels


def thin_together(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Labels of one shape with size 1 in each dimension that neither depends on."""
    for dim, size in enumerate(one.shape):
        if size > 1 and one.stride(dim) == 0 and other.stride(dim) == 0:
            one, other = one.narrow(dim, 0, 1), other.narrow(dim, 0, 1)
    return one, other
