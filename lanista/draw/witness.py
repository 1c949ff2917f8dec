"""The witness: answers questions while a model is built, and remembers which modules came of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lanista.draw.kinds import Chosen
from lanista.model import ModelSpace
from lanista.space.context import Fixed
from lanista.space.domain import Architecture, Domain, Value
from lanista.space.probe import UNBUILDABLE


class Witness(Fixed):
    """A `Fixed` that knows, for each label, a module: what came of the question, or else who asked it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._came: dict[str, list[nn.Module]] = {}
        self._asked_by: list[tuple[str, Callable[[], nn.Module | None]]] = []
        self._parts: list[tuple[str, object]] = []

    @contextmanager
    def inside(self, label: str, part: object, values: Sequence[Value] = ()) -> Iterator[None]:
        self._parts.append((label, part))
        try:
            with super().inside(label, part, values):
                yield
        finally:
            self._parts.pop()

    def decide(self, label: str, domain: Domain, *, seen: bool = False) -> Value:
        answer = super().decide(label, domain, seen=seen)
        asker = _asker()
        place = self._parts[-1] if self._parts else None
        self._asked_by.append((label, lambda: asker if asker is not None else self._part(place)))
        return answer

    def answered(self, label: str, module: object) -> None:
        if isinstance(module, nn.Module):
            self._came.setdefault(label, []).append(module)

    def _part(self, place: tuple[str, object] | None) -> nn.Module | None:
        """The module that was built as a part of a question: a candidate, or a repetition."""
        if place is None or place[0] not in self._came:
            return None
        label, part = place
        module = self._came[label][-1]
        if isinstance(part, int) and isinstance(module, nn.Sequential) and part < len(module):
            return module[part]
        return module

    def chosen(self, model: nn.Module) -> dict[int, list[str]]:
        """id of a module -> labels; what belongs to no part of `model` belongs to the whole."""
        parts = set(map(id, model.modules()))
        chosen: dict[int, list[str]] = {}
        for label, asker in self._asked_by:
            for module in self._came.get(label, [asker()]):
                own = chosen.setdefault(id(module) if id(module) in parts else id(model), [])
                if label not in own:
                    own.append(label)
        return chosen


def witnessed(space: ModelSpace, architecture: Architecture) -> tuple[nn.Module, Chosen]:
    """Build the model of a canonical architecture, without weights where that is possible, and say what came of what.

    torch's generator of random numbers is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return _build(space, architecture)
        except UNBUILDABLE:
            return _build(space, architecture)


def _build(space: ModelSpace, architecture: Architecture) -> tuple[nn.Module, Chosen]:
    with space.answers(architecture, Witness) as witness:
        model = space.create()
    assert isinstance(witness, Witness)
    return model, witness.chosen(model)


def _asker() -> nn.Module | None:
    """The module whose constructor asks, if that is nearer than a candidate that is being built."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        name = str(frame.f_globals.get("__name__"))
        if name.startswith("lanista.nn.") and frame.f_code.co_name == "make":
            return None
        if frame.f_code.co_name == "__init__":
            owner = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
            if isinstance(owner, nn.Module):
                return owner
    return None
