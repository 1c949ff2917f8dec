"""What each tensor of a model stands for, so that two models of a space know which tensors they share.

A tensor's identity is its position in the model, written so that it says which candidate each part is of, and does not
depend on what else was chosen: `layers.2[block=conv].0.weight`. Three rules make it:

* a module is called by its name in the module that holds it; in an `nn.Sequential` and the like, whose names are
  numbers, by its rank among the modules that are always there;
* a candidate of a question is called by its name, too: `body[block=conv]`;
* a repetition, or a candidate in a `Cell`, by its own name alone, wherever its place in the list is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

from lanista.nn.mixture import Mixed, Relaxation
from lanista.space.context import Fixed

T = TypeVar("T")


class Key(NamedTuple):
    """What a tensor stands for.

    Attributes:
        path: its position, in words.
        kind: class of the module that holds it, by module and name: a batch norm and a layer norm share nothing.
        ndim: number of its dimensions.
    """

    path: str
    kind: str
    ndim: int


@dataclass(frozen=True)
class Slot:
    """A place in a built model where a tensor is.

    Attributes:
        module: holds it.
        name: of the attribute.
        key: what it stands for.
        buffer: whether it is a buffer, not a parameter.
    """

    module: nn.Module
    name: str
    key: Key
    buffer: bool

    @property
    def table(self) -> dict[str, Any]:
        """The module's table that it is in."""
        return self.module._buffers if self.buffer else self.module._parameters

    @property
    def tensor(self) -> Tensor:
        """What is there now."""
        found: Tensor = self.table[self.name]
        return found


@dataclass
class Placed:
    """What a module stands for, by the questions that it is a part of, the outermost last.

    Attributes:
        module: kept, so that its id stays its own.
        marks: as candidates say it.
        place: as a repetition says it; None: its name counts.
    """

    module: nn.Module
    marks: list[str]
    place: str | None = None

    @property
    def mark(self) -> str:
        """The marks in words, the outermost first."""
        return "".join(f"[{mark}]" for mark in reversed(self.marks))


class Path(Fixed):
    """A `Fixed` that remembers which modules are parts of which questions, and may have parts already.

    Attributes:
        placed: by id of the module.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.placed: dict[int, Placed] = {}

    def part(self, place: str, build: Callable[[], T], *, moves: bool = False) -> T:
        module = super().part(place, build, moves=moves)
        if isinstance(module, nn.Module):
            self.note(module, place, moves)
        return module

    def note(self, module: nn.Module, place: str, moves: bool) -> None:
        """Remember what a module stands for."""
        placed = self.placed.setdefault(id(module), Placed(module, []))
        if moves:
            placed.place = place if placed.place is None else f"{placed.place}|{place}"
        else:
            placed.marks.append(place)


R = TypeVar("R")


class Mixing(Path):
    """Builds a network that has all options of what can be mixed, and remembers why the rest cannot.

    Attributes:
        relaxations: by name.
        obstacles: label or name -> why it cannot be mixed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relaxations: dict[str, Relaxation] = {}
        self.obstacles: dict[str, str] = {}

    def relax(self, label: str, make: Callable[[], R], obstacle: str | None = None) -> R | None:
        if obstacle is not None:
            self.obstacles[label] = obstacle
            return None
        made: Any = self.relaxations.get(label) or make()
        self.relaxations[label] = made
        return made  # type: ignore[no-any-return]

    def visits(self, parts: Any, chosen: Any, *, once: Any = None) -> list[Any]:
        return list(parts)

    def finish(self, labels: Any) -> None:
        """Some questions are not asked: a cell's, where it is mixed."""


def slots(model: nn.Module, placed: Mapping[int, Placed]) -> Iterator[Slot]:
    """All places of tensors in a model, tied ones too; a module that stands at several places is visited once."""
    known = placed.get(id(model))
    yield from _slots(model, "" if known is None else known.mark, placed, set())


def _slots(module: nn.Module, path: str, placed: Mapping[int, Placed], seen: set[int]) -> Iterator[Slot]:
    if id(module) in seen:
        return
    seen.add(id(module))
    if isinstance(module, Mixed):
        for addition, part in module.parts().items():
            yield from _slots(part, f"{path}{addition}".removeprefix("."), placed, seen)
        return
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    prefix = f"{path}." if path else ""
    for table, buffer in ((module._parameters, False), (module._buffers, True)):
        for name, tensor in table.items():
            if tensor is not None:
                yield Slot(module, name, Key(f"{prefix}{name}", kind, tensor.dim()), buffer)
    for segment, child in segments(module, placed):
        yield from _slots(child, f"{prefix}{segment}", placed, seen)


def segments(module: nn.Module, placed: Mapping[int, Placed]) -> list[tuple[str, nn.Module]]:
    """What the modules in a module are called."""
    found: list[tuple[str, nn.Module]] = []
    counts: dict[str, int] = {}
    rank = 0
    for name, child in module._modules.items():
        if child is None:
            continue
        known = placed.get(id(child))
        if known is not None and known.place is not None:
            segment = known.place
        elif name.isdigit():
            segment, rank = str(rank), rank + 1
        else:
            segment = name
        if known is not None:
            segment += known.mark
        if name.isdigit():  # of two repetitions in one list; a cell's operations of one place are one
            counts[segment] = counts.get(segment, 0) + 1
            segment += f"#{counts[segment]}" if counts[segment] > 1 else ""
        found.append((segment, child))
    return found
