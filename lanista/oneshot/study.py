"""What each number of a space changes in the network that has all options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from lanista.oneshot.identity import Key, Mixing, slots
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Value

Changed: TypeAlias = tuple[tuple[str, Value], ...]
"""Numbers that are not the greatest."""


class Study:
    """Builds networks with other numbers, and compares them.

    Args:
        supernet: of the space.
        widest: the greatest numbers, and an answer for all other decisions.

    Attributes:
        changes: for each label that `effect` was asked for: which dimensions of which tensors it changes.
    """

    def __init__(self, supernet: Supernet, widest: Mapping[str, Value]) -> None:
        self.changes: dict[str, dict[Key, set[int]]] = {}
        self._supernet, self._widest = supernet, dict(widest)
        self._entries: dict[Changed, dict[Key, dict[int, tuple[int, ...]]]] = {}
        self._known: dict[Changed, dict[Key, tuple[int, ...]]] = {}
        self._training: dict[Changed, list[float]] = {}

    def name(self, changed: Mapping[str, Value]) -> Changed:
        """What is remembered of these numbers is called so."""
        return tuple(sorted(item for item in changed.items() if item[1] != self._widest[item[0]]))

    def part(self, key: Key, dim: int, changed: Mapping[str, Value]) -> tuple[int, tuple[int, ...] | None]:
        """The size of a dimension with these numbers, and which entries these are where a builder said it."""
        size = self.shapes(changed)[key][dim]
        return size, self._entries[self.name(changed)].get(key, {}).get(dim)

    def shapes(self, changed: Mapping[str, Value]) -> dict[Key, tuple[int, ...]]:
        """The shapes of all tensors, where these numbers are not the greatest."""
        name = self.name(changed)
        if name not in self._known:
            model, context = self._supernet.skeleton({**self._widest, **changed}, Mixing)
            found = list(slots(model, context))
            self._known[name] = {slot.key: tuple(slot.tensor.shape) for slot in found}
            self._entries[name] = {slot.key: dict(slot.entries) for slot in found if slot.entries}
            self._training[name] = list(_rates(model))
        return self._known[name]

    def effect(self, label: str, values: Sequence[Value]) -> str | None:
        """Learn which dimensions of which tensors a decision changes, or why it cannot be mixed."""
        full, rates = self.shapes({}), self._training[()]
        changes = self.changes[label] = {}
        for value in values:
            found = self.shapes({label: value})
            if found.keys() != full.keys():
                return "it changes which layers there are; ask with Repeat or LayerChoice"
            if self._training[self.name({label: value})] != rates:
                return "it changes a dropout rate or a momentum"
            for name, shape in full.items():
                for dim, (size, most) in enumerate(zip(found[name], shape, strict=True)):
                    if size > most:
                        return f"with {value!r} a tensor is larger than with the greatest value"
                    if size != most:
                        changes.setdefault(name, set()).add(dim)
        if not changes:
            return "it changes the size of no weight (as a stride, a rate or a dilation does not)"
        return None


def _rates(model: nn.Module) -> Iterator[float]:
    """What has an effect in training only."""
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            yield module.p
        if isinstance(module, _NormBase):
            yield -1.0 if module.momentum is None else module.momentum
        yield from (value for name, value in vars(module).items() if "drop" in name and isinstance(value, float))
