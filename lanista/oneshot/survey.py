"""Finds out which tensors the models of a space have, by building some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from lanista.errors import ArchitectureError, OneShotError
from lanista.model import ModelSpace
from lanista.oneshot.identity import Key, Path, slots
from lanista.oneshot.slices import Layout, cut, layout
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Value, is_number, key
from lanista.space.search import SearchSpace

Skeleton: TypeAlias = Callable[[Architecture, type[Path]], tuple[nn.Module, Path]]
"""Builds a model whose weights are not filled, and gives the context that knows what its modules stand for."""

OPTIONS = 16
"""How many values of a decision are tried."""

PATIENCE = 20
"""How many random models in a row must bring nothing new."""

MOST = 400
"""How many random models are built at most."""


@dataclass
class Survey:
    """What was found.

    Attributes:
        shapes: the greatest size of each dimension of each shared tensor.
        layouts: how each is cut.
        private: buffers that each model computes for itself.
        cover: architectures that together have all tensors, each at its greatest where one model has that.
    """

    shapes: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    layouts: dict[Key, Layout] = field(default_factory=dict)
    private: set[Key] = field(default_factory=set)
    cover: list[Architecture] = field(default_factory=list)


class _Surveyor:
    def __init__(self, skeleton: Skeleton) -> None:
        self.found = Survey()
        self._skeleton = skeleton
        self._realised: dict[Key, tuple[int, Architecture]] = {}
        self._widest: dict[Key, Tensor] = {}

    def visit(self, architecture: Architecture) -> bool:
        """Build a model; True if it had something new."""
        model, context = self._skeleton(architecture, Path)
        new, known = False, set[int]()
        doubtful: list[Key] = []
        for slot in slots(model, context.placed):
            tensor = slot.tensor
            if is_lazy(tensor):
                raise OneShotError(
                    f"{slot.key.path!r} has no shape before the model sees data; use modules that are told their sizes "
                    f"instead of {type(slot.module).__name__}"
                )
            if id(tensor) in known:
                continue
            known.add(id(tensor))
            shape = tuple(tensor.shape)
            earlier = self.found.shapes.get(slot.key)
            if earlier is None:
                self.found.layouts[slot.key] = layout(slot.module, slot.name, tensor.dim())
            most = shape if earlier is None else tuple(map(max, shape, earlier))
            new |= most != earlier
            self.found.shapes[slot.key] = most
            self._realise(slot.key, shape, architecture)
            if slot.buffer and not isinstance(slot.module, _NormBase) and not self._agrees(slot.key, tensor):
                doubtful.append(slot.key)
        if any(name not in self.found.private for name in doubtful):
            self._settle(architecture, doubtful)
        return new

    def _realise(self, name: Key, shape: tuple[int, ...], architecture: Architecture) -> None:
        size = torch.Size(shape).numel()
        if name not in self._realised or size > self._realised[name][0]:
            self._realised[name] = size, architecture

    def _agrees(self, name: Key, value: Tensor) -> bool:
        """Whether a buffer is a part of the widest one that was met, or that of this one."""
        known = self._widest.setdefault(name, value)
        wide, narrow = (known, value) if known.numel() >= value.numel() else (value, known)
        self._widest[name] = wide
        try:
            return torch.equal(cut(wide, narrow.shape, self.found.layouts[name]), narrow)
        except OneShotError:
            return False

    def _settle(self, architecture: Architecture, doubtful: Sequence[Key]) -> None:
        """Buffers that differ between models: random state is shared, what is computed from the answers is not."""
        values = []
        for _ in range(2):
            model, context = self._skeleton(architecture, Path)
            values.append({slot.key: slot.tensor for slot in slots(model, context.placed) if slot.buffer})
        self.found.private.update(name for name in doubtful if torch.equal(values[0][name], values[1][name]))

    def result(self) -> Survey:
        for name in self.found.private:
            del self.found.shapes[name]
        needed = {
            id(architecture): architecture
            for name, (_, architecture) in self._realised.items()
            if name in self.found.shapes
        }
        self.found.cover = list(needed.values())
        return self.found


def survey(space: ModelSpace, include: Sequence[Architecture], skeleton: Skeleton) -> Survey:
    """Build models until they bring nothing new."""
    surveyor, random = _Surveyor(skeleton), Random(0)
    for architecture in (*include, *_planned(space.decisions)):
        try:  # limits are no matter here: all options have weights
            surveyor.visit(architecture)
        except ArchitectureError:  # but that a question makes, such as the number of edges of a cell
            surveyor.visit(space.decisions.repair(architecture, random))
    if space.decisions.size > 2 * PATIENCE:
        waited = 0
        for _ in range(MOST):
            waited = 0 if surveyor.visit(space.decisions.sample(random)) else waited + 1
            if waited == PATIENCE:
                break
    return surveyor.result()


def _planned(space: SearchSpace) -> Iterator[Architecture]:
    """Extremes, and each value of each decision at least once, limits or not; all architectures of a small space."""
    if space.size <= 2 * PATIENCE:
        yield from SearchSpace(space).grid()
        return
    met = set[object]()

    def noted(architecture: Architecture) -> Architecture:
        met.update((label, key(value)) for label, value in architecture.items())
        return architecture

    options = {decision.label: _options(decision) for decision in space}
    yield noted(space.decide(lambda decision: _greatest(options[decision.label])))
    yield noted(space.decide(lambda decision: options[decision.label][0]))
    for index in range(max(map(len, options.values()), default=0)):
        yield noted(space.decide(lambda decision: _nth(options[decision.label], index)))  # noqa: B023 (used at once)
    for decision in space:
        for value in options[decision.label]:
            if (decision.label, key(value)) not in met:
                wanted = {**_conditions(space, decision), decision.label: value}
                yield noted(
                    space.decide(lambda d: wanted.get(d.label, _greatest(options[d.label])))  # noqa: B023 (used at once)
                )


def _options(decision: Decision) -> list[Value]:
    values = list(decision.domain.grid(OPTIONS))
    if len(values) > OPTIONS:  # ends and middle: subsets are in the order of their size
        values = values[: OPTIONS // 2] + values[-OPTIONS // 2 :]
    return values


def _greatest(values: Sequence[Value]) -> Value:
    if all(is_number(value) for value in values):
        return max(values)
    if all(isinstance(value, list) for value in values):
        return max(values, key=len)
    return values[-1]


def _nth(values: Sequence[Value], index: int) -> Value:
    """Option `index`, starting over after the last; of numbers the greatest."""
    return max(values) if all(is_number(value) for value in values) else values[index % len(values)]


def _conditions(space: SearchSpace, decision: Decision) -> dict[str, Value]:
    """Answers under which a decision exists."""
    if not decision.when:
        return {}
    clause: Mapping[str, Sequence[Value]] = decision.when[0]
    wanted: dict[str, Value] = {}
    by_label = {other.label: other for other in space}
    for label, values in clause.items():
        wanted.update({**_conditions(space, by_label[label]), label: values[0]})
    return wanted
