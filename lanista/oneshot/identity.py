"""What each tensor of a model stands for, so that two models of a space know which tensors they share.

A tensor's identity is its position in the model, written so that it says which candidate each part is of, and does not
depend on what else was chosen: `layers.2[block=conv].0.weight`. Three rules make it:

* a module is called by its name in the module that holds it; in an `nn.Sequential` and the like, whose names are
  numbers, repetitions that come before it are not counted;
* a candidate of a question is called by its name, too: `body[block=conv]`;
* a repetition, or a candidate in a `Cell`, by its own name alone, wherever its place in the list is.

A candidate that is there whatever is chosen, because it is also a part of something else or a candidate of another
question, stands for one thing in all models: for what it is where it is not chosen.

What a plain `choice` builds of two classes shares a tensor where its name, and the class that holds it, are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from lanista.nn.mixture import Relaxation, Whole
from lanista.oneshot.slices import Entries
from lanista.space.context import Fixed

T = TypeVar("T")


class Key(NamedTuple):
    """What a tensor stands for.

    Attributes:
        path: its position, in words.
        kind: class of the module that holds it, by module and name: a batch norm and a layer norm share nothing.
        ndim: number of its dimensions; -1 if it has no shape yet.
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
        owner: the module whose weight it is: of a parametrized one (`torch.nn.utils.parametrize`) that itself.
        role: what that module calls it.
        entries: which entries of the widest tensor it has, where a builder said it.
    """

    module: nn.Module
    name: str
    key: Key
    buffer: bool
    owner: nn.Module
    role: str
    entries: Entries

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
    """What a module stands for, by the questions that it is a part of, the innermost first.

    Attributes:
        module: kept, so that its id stays its own.
        marks: as candidates say it.
        place: as a repetition says it; None: its name counts.
    """

    module: nn.Module
    marks: list[str]
    place: str | None = None

    @property
    def marked(self) -> str:
        """The marks, as a path has them."""
        return "".join(f"[{mark}]" for mark in reversed(self.marks))


@dataclass
class Given:
    """A module that can be chosen.

    Attributes:
        module: kept, so that its id stays its own.
        places: where it can be, as a name that no other module has, and as candidates say it.
    """

    module: nn.Module
    places: dict[str, str]


class Path(Fixed):
    """A `Fixed` that remembers which modules are parts of which questions, and may have parts already.

    Attributes:
        placed: by id of the module.
        entries: by id of a tensor that is a slice: itself, and which entries it has.
        common: what modules stand for that may be there without being chosen, by where they can be chosen.
        loose: the same, as this model shows it; complete once all its slots were looked at.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.placed: dict[int, Placed] = {}
        self.entries: dict[int, tuple[object, Entries]] = {}
        self.common: dict[str, str] = {}
        self.loose: dict[str, str] = {}
        self._given: dict[int, Given] = {}
        self._counts: Counter[str] = Counter()

    def given(self, place: str, module: object) -> None:
        if not isinstance(module, nn.Module):
            return
        known = self._given.setdefault(id(module), Given(module, {}))
        if place in known.places.values():
            return
        prefix = self.scope.prefix
        name = place if place.startswith(prefix) else prefix + place
        self._counts[name] += 1  # questions at several places may have one label
        name += f"#{self._counts[name]}" if self._counts[name] > 1 else ""
        before = self._free(known)
        known.places[name] = place
        if before:
            self.loose |= dict.fromkeys([*before, name], before[0])

    def met(self, module: nn.Module, path: str) -> None:
        """Learn where a module is in the model, other than among the options of a question."""
        known = self._given.get(id(module))
        if known is None:
            return
        marked = self.placed[id(module)].marked if id(module) in self.placed else ""
        plain = "".join(path.rsplit(marked, 1)) if marked else path
        for name in self._free(known):
            if self.loose.get(name, name) in known.places:
                self.loose[name] = plain

    def stands(self, module: nn.Module) -> str | None:
        """What a module stands for, if it may be there without being chosen."""
        known = self._given.get(id(module))
        earlier = ""
        for name, place in () if known is None else known.places.items():
            if name in self.common:
                return self.common[name] + earlier
            if place in self.marks(module):
                earlier = f"[{place}]{earlier}"
        return None

    def marks(self, module: nn.Module) -> list[str]:
        """The questions to which a module is the answer, the innermost first."""
        return self.placed[id(module)].marks if id(module) in self.placed else []

    def _free(self, known: Given) -> list[str]:
        """Where a module can be chosen, and is not."""
        marks = self.marks(known.module)
        return [name for name, place in known.places.items() if place not in marks]

    def part(self, place: str, build: Callable[[], T], *, moves: bool = False) -> T:
        module = super().part(place, build, moves=moves)
        if isinstance(module, nn.Module):
            self.note(module, place, moves)
        return module

    def sliced(self, tensor: object, kept: Mapping[int, Any]) -> None:
        entries = {dim: tuple(positions.tolist()) for dim, positions in kept.items()}
        self.entries[id(tensor)] = tensor, tuple(entries.items())

    def of(self, tensor: Tensor) -> Entries:
        """Which entries of the widest tensor a tensor has, where a builder said it."""
        return self.entries.get(id(tensor), (None, ()))[1]

    @property
    def asked(self) -> set[str]:
        """The decisions that were asked for."""
        return self._asked

    def note(self, module: nn.Module, place: str, moves: bool) -> None:
        """Remember what a module stands for."""
        placed = self.placed.setdefault(id(module), Placed(module, []))
        if moves:
            placed.place = place if placed.place is None else f"{placed.place}|{place}"
        else:
            placed.marks.append(place)


R = TypeVar("R")


class Mixing(Path):
    """Builds a network that has all options of all questions about layers, and remembers which it cannot mix, and why.

    Attributes:
        relaxations: by name.
        obstacles: label -> why it cannot be mixed.
        whole: the labels of which all options are there, mixed or not.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.relaxations: dict[str, Relaxation] = {}
        self.obstacles: dict[str, str] = {}
        self.whole: set[str] = set()

    def relax(self, label: str, make: Callable[[], R], obstacle: str | None = None) -> R | None:
        made: Any = self.relaxations.get(label) or make()
        self.relaxations[label] = made
        self.whole.update(made.labels)
        if obstacle is not None:
            self.refuse(made.labels, obstacle)
        return made  # type: ignore[no-any-return]

    def refuse(self, labels: Iterable[str], obstacle: str, *, whole: bool = False) -> bool:
        found = dict.fromkeys(labels, obstacle)
        self.obstacles.update(found)
        if whole:
            self.whole.update(found)
        return whole

    def visits(self, parts: Any, chosen: Any, *, once: Any = None) -> list[Any]:
        return list(parts)

    def _free(self, known: Given) -> list[str]:
        """All: what is chosen is a mixture, never a module."""
        return list(known.places)

    def finish(self, labels: Any) -> None:
        """Some questions are not asked: a cell's, where it is mixed."""


def slots(model: nn.Module, context: Path) -> Iterator[Slot]:
    """All places of tensors in a model, tied ones too; a module that stands at several places is visited once.

    Args:
        model: as built.
        context: that answered while it was built.
    """
    known = context.placed.get(id(model))
    path = "" if known is None else (known.place or "") + known.marked
    return _slots(model, _Where(path, None), context, set())


class _Where(NamedTuple):
    """Where a module is.

    Attributes:
        path: its own.
        owner: of what is a parametrization's: the module, and its name for the tensor.
    """

    path: str
    owner: tuple[nn.Module, str] | None

    def within(self, segment: str) -> str:
        """The path of something in the module."""
        return f"{self.path}.{segment}" if self.path else segment


def _slots(module: nn.Module, where: _Where, context: Path, seen: set[int]) -> Iterator[Slot]:
    if id(module) in seen:
        return
    seen.add(id(module))
    stands = context.stands(module)
    if stands is not None:
        where = where._replace(path=stands)
    if isinstance(module, Whole):
        for addition, part in module.parts().items():
            path = where.path + addition
            yield from _slots(part, where._replace(path=path if where.path else path.lstrip(".")), context, seen)
        return
    kind = f"{type(module).__module__}.{type(module).__qualname__}"
    for table, buffer in ((module._parameters, False), (module._buffers, True)):
        for name, tensor in table.items():
            if tensor is not None:
                owner, role = where.owner or (module, name)
                key = Key(where.within(name), kind, -1 if is_lazy(tensor) else tensor.dim())
                yield Slot(module, name, key, buffer, owner, role, context.of(tensor))
    parametrized = is_parametrized(module)
    for segment, child in segments(module, context.placed):
        if isinstance(child, Whole) and child.spliced and segment.isdigit():
            yield from _slots(child, where, context, seen)
            continue
        below = _Where(where.within(segment), where.owner)
        context.met(child, below.path)
        if parametrized and segment == "parametrizations":
            for role, list_ in child.named_children():
                yield from _slots(list_, _Where(below.within(role), (module, role)), context, seen)
        else:
            yield from _slots(child, below, context, seen)


def segments(module: nn.Module, placed: Mapping[int, Placed]) -> list[tuple[str, nn.Module]]:
    """What the modules in a module are called."""
    found: list[tuple[str, nn.Module]] = []
    counts: dict[str, int] = {}
    moved = 0
    for name, child in module._modules.items():
        if child is None:
            continue
        known = placed.get(id(child))
        number = name.isdigit()
        if known is not None and known.place is not None:
            segment, moved = known.place, moved + 1
        else:
            segment = str(int(name) - moved) if number else name
            if isinstance(child, Whole) and child.spliced and number:
                found.append((segment, child))
                moved += 1
                continue
        if known is not None:
            segment += known.marked
        if number:  # of two repetitions in one list; a cell's operations of one place are one
            counts[segment] = counts.get(segment, 0) + 1
            segment += f"#{counts[segment]}" if counts[segment] > 1 else ""
        found.append((segment, child))
    return found
