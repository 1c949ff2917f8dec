"""Kinds: the parts of a model that are built alike, so that a picture shows them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from lanista.draw.calls import Call, Op, feeders
from lanista.draw.operation import Words
from lanista.space.domain import Architecture

Item = Call | Op
Chosen = Mapping[int, Sequence[str]]
"""id of a module -> labels of the decisions that it came from, or that were taken while it was made."""

ROWS = 4
"""A part of at most this many operations in a row is shown open, as one box."""


@dataclass(eq=False)
class Kind:
    """Parts of the model that are built alike, whatever their widths and kernels.

    Attributes:
        name: as boxes refer to it.
        calls: all of them.
        labels: decisions that all of them came from.
    """

    name: str
    calls: list[Call]
    labels: tuple[str, ...] = ()

    def words(self) -> dict[Op, Words]:
        """The words for each operation of the first call: what differs among the calls is left open."""
        columns = [call.ops() for call in self.calls]
        return {ops[0]: ops[0].words.merged([op.words for op in ops[1:]]) for ops in zip(*columns, strict=True)}


class Kinds:
    """The calls of a model, sorted.

    Attributes:
        of: the kind of each call that is shown as a box with a panel of its own.

    Args:
        root: the model.
        chosen: which modules came from which decisions.
        decisions: their values.
    """

    def __init__(self, root: Call, chosen: Chosen, decisions: Architecture) -> None:
        self.chosen, self.decisions = chosen, decisions
        self.root = root
        self._keys: dict[Call, Hashable] = {}
        _key(root, self._keys)
        self._classes = Counter(_class(call.module) for call in root.calls())
        self._beside = {
            call: sum(1 for other in calls if self._keys[other] == self._keys[call])
            for parent in root.calls()
            for calls in [[item for item in parent.items if isinstance(item, Call)]]
            for call in calls
        }
        groups: dict[tuple[str, Hashable], list[Call]] = {}
        for call in root.calls():
            if call is not root and self._closed(call):
                groups.setdefault((self.name(call), self._keys[call]), []).append(call)
        names = Counter(name for name, _ in groups)
        used: Counter[str] = Counter()
        self.of: dict[Call, Kind] = {}
        kinds: list[Kind] = []
        for (name, _), calls in groups.items():
            letter = f" {_letters(used[name])}" if names[name] > 1 else ""
            used[name] += 1
            kinds.append(Kind(f"{name}{letter}", calls))
            self.of |= dict.fromkeys(calls, kinds[-1])
        self.risen: dict[Call, list[str]] = {call: [] for call in root.calls()}
        for kind in sorted(kinds, key=lambda kind: sum(1 for _ in kind.calls[0].ops())):
            self._raise_labels(kind)

    def name(self, call: Call) -> str:
        """Its class; of a Sequential, which candidate it is, or else where it is in the model."""
        if not isinstance(call.module, nn.Sequential) or type(call.module) is not nn.Sequential:
            return type(call.module).__name__
        values = [self.decisions[label] for label in self.chosen.get(id(call.module), ())]
        if values and isinstance(values[0], str):
            return values[0]
        names = [part for part in call.path.split(".") if not part.isdigit()]
        return names[-1] if names else "Sequential"

    def labels(self, item: Item) -> tuple[str, ...]:
        """Decisions to show at an item: its own, and those that rose from inside of it."""
        if isinstance(item, Op):
            return tuple(self.chosen.get(id(item.module), ())) if item.module is not None else ()
        own = [label for module in (item.module, *item.silent) for label in self.chosen.get(id(module), ())]
        return tuple(dict.fromkeys([*own, *self.risen[item]]))

    def _closed(self, call: Call) -> bool:
        """Whether a call is shown as one box, with a panel of its own; else its content is shown in its place."""
        joins = isinstance(call.module, fx.GraphModule) and all(op.module is None for op in call.ops())
        # As one box, it would not say which of its results goes where.
        several = len(feeders(call.outputs, call.entries)) > 1
        if is_small(call) or joins or several:
            return False
        if type(call.module) is nn.Sequential:
            flat = all(isinstance(item, Op) for item in call.items)
            return flat and (id(call.module) in self.chosen or self._beside[call] > 1)
        return self._classes[_class(call.module)] > 1 or id(call.module) in self.chosen

    def _raise_labels(self, kind: Kind) -> None:
        """Decisions that only some calls of a kind came from rise to the boxes that stand for these."""
        for items in _aligned(kind.calls):
            labels = [self.labels(item) for item in items]
            if any(one != labels[0] for one in labels):
                for call, own in zip(kind.calls, labels, strict=True):
                    self.risen[call] += own
        whole = [self.labels(call) for call in kind.calls]
        if all(one == whole[0] for one in whole):
            kind.labels = whole[0]


def _class(module: nn.Module) -> object:
    """The class; of a generated module, which has one of its own, the class's name."""
    return type(module).__name__ if isinstance(module, fx.GraphModule) else type(module)


def _key(call: Call, keys: dict[Call, Hashable]) -> Hashable:
    """What two calls have in common exactly if they are built alike, whatever their widths and kernels."""
    places: dict[Op, int] = {}

    def place(ops: Iterable[Op]) -> tuple[int, ...]:
        return tuple(places.setdefault(op, len(places)) for op in ops)

    place(call.entries)
    parts: list[Any] = [_class(call.module), call.traced]
    for item in call.items:
        if isinstance(item, Call):
            parts.append((_key(item, keys), *(place(entry.inputs) for entry in item.entries)))
            place(item.ops())
        else:
            grouped = item.words.parts.get("groups") == "depthwise"
            parts.append((item.words.name, grouped, place(item.inputs)))
            place([item])
    keys[call] = (*parts, place(call.outputs))
    return keys[call]


def _aligned(calls: Sequence[Call]) -> Iterator[Sequence[Item]]:
    """The same item of each of several calls of one kind, item by item; not those inside of the calls' parts."""
    for items in zip(*(call.items for call in calls), strict=True):
        yield items
        inner = [item for item in items if isinstance(item, Call)]
        if inner:
            yield from _aligned(inner)


def is_chain(call: Call) -> bool:
    """Whether each operation in a call takes the result of the one before alone, and the last gives the call's."""
    ops = list(call.ops())
    fed = [feeders(op.inputs, call.entries) for op in ops]
    return (
        bool(ops)
        and len(fed[0]) <= 1
        and all(one == [before] for before, one in zip(ops, fed[1:], strict=False))
        and feeders(call.outputs, call.entries) == [ops[-1]]
    )


def is_small(call: Call) -> bool:
    """Whether a call is a chain of so few operations that one box shows them all."""
    return sum(1 for _ in call.ops()) <= ROWS and is_chain(call)


def _letters(index: int) -> str:
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)
