"""Panels: the boxes that show a model and its parts, with small operations joined and repetitions drawn once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from lanista.draw.calls import Call, Op, feeders, given
from lanista.draw.kinds import ROWS, Chosen, Item, Kind, Kinds, is_chain, is_small
from lanista.draw.operation import Words
from lanista.space.domain import Architecture, key

LAG = 2
"""Repeated boxes may be fed by this many boxes before them."""

COMMON = 2
"""So many decisions that all parts of a kind have in common are shown at each of them."""

PERIODS = (1, 2, 3, 4)
"""Repetitions of this many boxes in a row are found."""


@dataclass(frozen=True)
class Row:
    """A line in a box; `kind` is what shows more of it, `light` says that it is a lesser operation."""

    title: str
    detail: str = ""
    kind: Kind | None = None
    light: bool = False


@dataclass(eq=False)
class Box:
    """A box of a panel.

    Attributes:
        rows: what it says.
        role: "box", "pill" (joins tensors), or "port" (input or output of the panel).
        path: of the first module in it.
        last: of the same module in the last repetition.
        covers: paths of all modules in it.
        inputs: the boxes before it.
        labels: of decisions.
        count: how often it is repeated.
        shape: of its result.
        key: boxes with equal ones look alike.
        heavy: it is not put into the box before it.
        loose: it is fed by the box before only because it was made after it.
    """

    rows: list[Row]
    role: str = "box"
    path: str = ""
    last: str = ""
    covers: list[str] = field(default_factory=list)
    inputs: list[Box] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    count: int = 1
    shape: str = ""
    loose: bool = False
    key: Hashable = None
    heavy: bool = True


@dataclass(eq=False)
class Panel:
    """A picture of one part: its boxes in topological order."""

    title: str
    subject: Kind
    boxes: list[Box]


def panels(root: Call, chosen: Chosen, decisions: Architecture, *, depth: int | None = None) -> list[Panel]:
    """The panels that show `root`: first itself, then the kinds that its boxes refer to, in order.

    Args:
        root: the model.
        chosen: which modules came from which decisions.
        decisions: their values.
        depth: how many levels of kinds are shown; None: all.
    """
    kinds = Kinds(root, chosen, decisions)
    queue, found = [(Kind(type(root.module).__name__, [root]), 0)], []
    seen: set[Kind] = set()
    while queue:
        kind, level = queue.pop(0)
        panel = Panel(kind.name, kind, _boxes(kind, kinds))
        found.append(panel)
        for box in panel.boxes:
            for row in box.rows:
                if row.kind is not None and row.kind not in seen and (depth is None or level < depth):
                    seen.add(row.kind)
                    queue.append((row.kind, level + 1))
    return found


def _boxes(kind: Kind, kinds: Kinds) -> list[Box]:
    """The boxes of the panel that shows a kind."""
    call = kind.calls[0]
    words = kind.words()
    several = len(kind.calls) > 1
    whole = call is not kinds.root and type(call.module) is nn.Sequential and is_chain(call)
    shown = [(call, ())] if whole else _open(call, kinds)
    boxes: list[Box] = []
    of_op: dict[Op, Box] = {}

    def port(entry: Op) -> None:
        of_op[entry] = Box([Row(entry.words.name)], "port", shape="" if several else entry.shape)
        boxes.append(of_op[entry])

    for entry in call.entries:
        port(entry)
    for item, labels in shown:
        closed = kinds.of.get(item) if isinstance(item, Call) and item is not call else None
        before = item.inputs if isinstance(item, Op) else given(item) if item is not call else call.entries
        inputs = feeders(before, call.entries)
        box = _box(item, closed, words)
        box.labels, box.loose = labels, not call.traced
        box.key = (box.key, tuple(key(kinds.decisions[label]) for label in labels))
        box.inputs = list(dict.fromkeys(of_op[op] for op in inputs))
        if several:
            box.shape = ""
        boxes.append(box)
        of_op |= dict.fromkeys(item.ops() if isinstance(item, Call) else [item], box)
    ends = list(dict.fromkeys(of_op[op] for op in feeders(call.outputs, call.entries)))
    boxes = _joined(boxes, ends)
    last = [box for box in boxes if box in ends]
    boxes.append(Box([Row("output")], "port", inputs=last, loose=not call.traced))
    return boxes


def _open(call: Call, kinds: Kinds) -> Iterator[tuple[Item, tuple[str, ...]]]:
    """What a panel shows: operations and closed calls. Labels of an open call go to the first thing in it."""
    for item in call.items:
        labels = _shown_labels(item, kinds)
        if isinstance(item, Op) or item in kinds.of or is_small(item):
            yield item, labels
            continue
        for inner, own in _open(item, kinds):
            yield inner, tuple(dict.fromkeys([*labels, *own]))
            labels = ()


def _shown_labels(item: Item, kinds: Kinds) -> tuple[str, ...]:
    """The labels of an item; if all calls of its kind have the same and many, the kind's panel alone shows them."""
    kind = kinds.of.get(item) if isinstance(item, Call) else None
    hidden = kind.labels if kind is not None and len(kind.labels) > COMMON else ()
    return tuple(label for label in kinds.labels(item) if label not in hidden)


def _box(item: Item, kind: Kind | None, words: Mapping[Op, Words]) -> Box:
    ops = [item] if isinstance(item, Op) else list(item.ops())
    said = [words[op] for op in ops]
    if isinstance(item, Call) and kind is not None:
        rows = [Row(kind.name, _summary(said), kind)]
        shape = item.outputs[-1].shape if item.outputs else ""
    else:
        rows = [Row(one.title, one.detail, light=not one.heavy) for one in said]
        shape = ops[-1].shape
    role = "pill" if len(said) == 1 and said[0].symbol else "box"
    heavy = isinstance(item, Call) or said[0].heavy
    covers = [op.path for op in ops if op.module is not None]
    return Box(rows, role, item.path, item.path, covers, shape=shape, key=(*rows, shape), heavy=heavy)


def _summary(words: Sequence[Words]) -> str:
    """What boxes of one kind differ in most: kernel, widths, stride."""
    kernels = {w.parts["kernel"] for w in words if w.parts.get("kernel") not in (None, "1×1", "1", "k×k")}
    kernel = kernels.pop() if len(kernels) == 1 else ""
    widths = [w.parts["widths"] for w in words if "→" in w.parts.get("widths", "")]
    strides = [w.parts["stride"] for w in words if w.parts.get("stride")]
    # Where results are put side by side, the width of the last layer is not that of the result.
    whole = widths and not any(w.name in ("concat", "stack") for w in words)
    ends = f"{widths[0].partition('→')[0]}→{widths[-1].partition('→')[2]}" if whole else ""
    return " ".join(filter(None, [kernel, ends, strides[0] if strides else ""]))


def _joined(boxes: list[Box], ends: list[Box]) -> list[Box]:
    """The boxes, with small operations put into the box before them, and repetitions found."""
    boxes = _fused(boxes, ends)
    for period in PERIODS:
        boxes = _repeated(boxes, ends, period)
    return boxes


def _users(boxes: Sequence[Box]) -> Counter[Box]:
    return Counter(box for user in boxes for box in user.inputs)


def _fused(boxes: list[Box], ends: list[Box]) -> list[Box]:
    """Put an operation that is not heavy into the box of the one that alone feeds it, and feeds nothing else."""
    users = _users(boxes)
    kept: list[Box] = []
    home: dict[Box, Box] = {}
    for box in boxes:
        box.inputs = list(dict.fromkeys(home.get(one, one) for one in box.inputs))
        before = box.inputs[0] if len(box.inputs) == 1 else None
        light = box.role == "box" and not box.heavy
        if before is not None and light and before.role == "box" and before.rows[-1].kind is None:
            # The users of what was fused last count, not those of the box that it is in.
            last = next(reversed([b for b, h in home.items() if h is before]), before)
            if users[last] == 1 and last not in ends and len(before.rows) < 2 * ROWS:
                _take(before, box)
                home[box] = before
                continue
        kept.append(box)
    ends[:] = [home.get(box, box) for box in ends]
    return kept


def _take(box: Box, other: Box) -> None:
    """Put the content of `other` into `box`."""
    box.rows += other.rows
    box.covers += other.covers
    box.labels = tuple(dict.fromkeys([*box.labels, *other.labels]))
    box.key = (box.key, other.key)
    box.shape = other.shape


def _repeated(boxes: list[Box], ends: list[Box], period: int) -> list[Box]:
    """Find runs of equal boxes, each fed in the same way, and draw them as one.

    With a period of several boxes, these must follow one another as a chain.
    """
    at = {box: index for index, box in enumerate(boxes)}
    fed = [tuple(index - at[one] for one in box.inputs) for index, box in enumerate(boxes)]
    users: dict[int, list[int]] = {}
    for index, box in enumerate(boxes):
        for one in box.inputs:
            users.setdefault(at[one], []).append(index)
    start = 0
    kept: list[Box] = []
    home: dict[Box, Box] = {}
    while start < len(boxes):
        count = _run(boxes, fed, users, [at[box] for box in ends], start, period)
        first = boxes[start]
        if count < 2:
            kept.append(first)
            start += 1
            continue
        members = boxes[start : start + count * period]
        inputs = [one for box in members for one in box.inputs if one not in members]
        merged = replace(first, count=count, inputs=inputs, covers=[p for b in members for p in b.covers])
        for box in members[1:period]:
            merged.rows = [*merged.rows, *box.rows]
        merged.labels = tuple(dict.fromkeys(label for box in members for label in box.labels))
        merged.shape, merged.last = members[-1].shape, members[-period].path
        merged.key = (merged.key, count)
        home |= dict.fromkeys(members, merged)
        kept.append(merged)
        start += count * period
    for box in kept:
        box.inputs = list(dict.fromkeys(home.get(one, one) for one in box.inputs))
    ends[:] = list(dict.fromkeys(home.get(box, box) for box in ends))
    return kept


def _run(
    boxes: Sequence[Box],
    fed: Sequence[tuple[int, ...]],
    users: Mapping[int, Sequence[int]],
    ends: Sequence[int],
    start: int,
    period: int,
) -> int:
    """How often the `period` boxes at `start` come one after another, at least once."""

    def chained(indices: range) -> bool:
        return all(fed[i] == (1,) for i in indices)

    def alike(first: int) -> bool:
        group = range(first, first + period)
        if group.stop > len(boxes) or any(boxes[i].key != boxes[i - period].key for i in group):
            return False
        # The first of all may be fed by other things; from the second on, all must be fed alike.
        later = first > start + period
        if period > 1:
            return chained(group)
        return 1 in fed[first] and max(fed[first]) <= LAG and (not later or fed[first] == fed[first - 1])

    single = all(box.role == "box" and box.count == 1 for box in boxes[start : start + period])
    if not single or start + period > len(boxes) or not chained(range(start + 1, start + period)):
        return 1
    count = 1
    while alike(start + count * period):
        count += 1
    # What is fed from the midst of a run must lie in it or right behind it, as the lag of its boxes has it.
    last = start + count * period - 1
    lag = max((max(fed[i]) for i in range(start + 1, last + 1)), default=1)
    for i in range(start, last):
        if i in ends or any(user > last and user > i + lag for user in users.get(i, ())):
            return 1
    return count
