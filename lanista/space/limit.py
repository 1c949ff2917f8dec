"""Limits on whole architectures: costs that are known without training, and rules of the user's own."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from lanista.errors import SpaceError
from lanista.space.domain import Architecture, Key, Value, is_number, key

ABSENT: Key = ("inactive",)
"""Stands in a table for a decision that does not exist; no value has this key (a list's has plain entries)."""

TOLERANCE = 1e-12
"""How far a cost may miss a bound, relative to it: sums of the same numbers in another order differ by less."""

REMEMBERED = 100_000
"""How many answers of a function a cost remembers."""


class Cost(ABC):
    """A number that an architecture has, the same whenever it is asked.

    Attributes:
        name: what it is, in a word.
        unit: what it is counted in; empty for plain numbers.
        cheap: whether it takes microseconds, so that drawing and rejecting is no waste.
    """

    name: str
    unit: str
    cheap: bool

    @abstractmethod
    def of(self, architecture: Architecture) -> float:
        """The cost of a canonical architecture, which may have labels of other spaces too."""

    @abstractmethod
    def to_json(self) -> dict[str, Value]:
        """The cost as JSON; `cost_from_json` reads it."""


@dataclass(frozen=True)
class Term:
    """What some decisions add to a cost.

    Attributes:
        labels: the decisions.
        table: for each combination of their values that can occur, what it adds; a decision that does not exist
            in a combination is left out of it.
    """

    labels: tuple[str, ...]
    table: tuple[tuple[Mapping[str, Value], float], ...]
    _amounts: dict[Key, float] = field(init=False, repr=False, compare=False)

    def __init__(self, labels: Iterable[str], table: Iterable[tuple[Mapping[str, Value], float]]) -> None:
        object.__setattr__(self, "labels", tuple(labels))
        object.__setattr__(self, "table", tuple((dict(values), amount) for values, amount in table))
        strange = {label for values, _ in self.table for label in values} - set(self.labels)
        if strange or not self.labels or not all(is_number(amount) for _, amount in self.table):
            raise SpaceError(f"a term over {list(self.labels)} has the table {list(self.table)[:3]}; it needs numbers")
        amounts = {self.key(values): float(amount) for values, amount in self.table}
        object.__setattr__(self, "_amounts", amounts)

    def key(self, values: Mapping[str, Value]) -> tuple[Key, ...]:
        """What tells combinations apart: the keys of the values, in the order of the labels."""
        return tuple([key(values[label]) if label in values else ABSENT for label in self.labels])

    def ranges(self, order: Mapping[str, int]) -> dict[int, tuple[tuple[str, ...], dict[Key, tuple[float, float]]]]:
        """The least and the greatest amount that is possible once some of the decisions are decided, in an order.

        For each number of decisions of the space that are decided (0, and each at which one of this term's is), the
        labels that are, and by their combination the two amounts.
        """
        labels = sorted(self.labels, key=order.__getitem__)
        found = {}
        for count in range(len(labels) + 1):
            known = tuple(labels[:count])
            table: dict[Key, tuple[float, float]] = {}
            for values, amount in self.table:
                name = tuple([key(values[label]) if label in values else ABSENT for label in known])
                least, greatest = table.get(name, (amount, amount))
                table[name] = min(least, amount), max(greatest, amount)
            found[order[known[-1]] + 1 if known else 0] = known, table
        return found

    def amount(self, combination: tuple[Key, ...]) -> float:
        """What a combination adds; raises SpaceError where the table does not have it."""
        try:
            return self._amounts[combination]
        except KeyError:
            raise SpaceError(f"the cost of {dict(zip(self.labels, combination, strict=True))} is not known") from None


@final
class Sum(Cost):
    """A constant and a sum of terms: pure data, and the only kind of cost that is drawn exactly.

    Args:
        name: in a word.
        terms: what some decisions add, each.
        constant: what every architecture has.
        unit: what it is counted in.
    """

    cheap = True

    def __init__(self, name: str, terms: Iterable[Term], constant: float = 0.0, unit: str = "") -> None:
        self.name, self.unit = name, unit
        self.terms, self.constant = tuple(terms), float(constant)

    def __repr__(self) -> str:
        return f"Sum({self.name!r}, {len(self.terms)} terms)"

    def of(self, architecture: Architecture) -> float:
        """The sum, correctly rounded whatever the order of the terms."""
        return math.fsum([self.constant, *[term.amount(term.key(architecture)) for term in self.terms]])

    def to_json(self) -> dict[str, Value]:
        terms = [
            {"labels": list(term.labels), "table": [[dict(values), amount] for values, amount in term.table]}
            for term in self.terms
        ]
        return {"type": "sum", "name": self.name, "unit": self.unit, "constant": self.constant, "terms": terms}

    @staticmethod
    def mixed(costs: Sequence[tuple[float, Sum]]) -> Sum:
        """The weighted sum of several."""
        terms = [
            Term(term.labels, [(values, weight * amount) for values, amount in term.table])
            for weight, cost in costs
            for term in cost.terms
        ]
        return Sum("mixed", terms, math.fsum(weight * cost.constant for weight, cost in costs))


@final
class Function(Cost):
    """What a function of the architecture says: a number, or, for a rule, whether it holds (1) or not (0).

    Args:
        name: in a word.
        function: gets a canonical architecture; it must always give it the same answer.
        unit: what it is counted in.
        cheap: whether it takes microseconds.
        rule: whether it answers yes or no.
        repeatable: False where it measures, so that another process would get other answers; see `remember`.
        labels: the decisions that it depends on; None: all. It gets no others.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Architecture], float],
        *,
        unit: str = "",
        cheap: bool = True,
        rule: bool = False,
        repeatable: bool = True,
        labels: Iterable[str] | None = None,
    ) -> None:
        self.name, self.unit, self.cheap, self.rule, self.repeatable = name, unit, cheap, rule, repeatable
        self._function = function
        self._labels = None if labels is None else frozenset(labels)
        self._known: dict[str, float] = {}
        self._tell: Callable[[str, float], None] | None = None

    def __repr__(self) -> str:
        return f"Function({self.name!r})"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_known": {}, "_tell": None}

    def of(self, architecture: Architecture) -> float:
        """The function's answer, remembered where it is dear."""
        if self._labels is not None:
            architecture = {label: value for label, value in architecture.items() if label in self._labels}
        if self.cheap:
            return self._number(architecture)
        name = json.dumps(architecture, sort_keys=True)
        if name not in self._known:
            if len(self._known) >= REMEMBERED and self.repeatable:
                self._known.clear()
            self._known[name] = self._number(architecture)
            if self._tell is not None:
                self._tell(name, self._known[name])
        return self._known[name]

    def remember(self, known: Mapping[str, float], tell: Callable[[str, float], None]) -> None:
        """Take over answers of an earlier process, by architecture as sorted JSON, and tell of each new one."""
        self._known = dict(known)
        self._tell = tell

    def _number(self, architecture: Architecture) -> float:
        try:
            answer = self._function(architecture)
        except KeyError as error:
            raise SpaceError(
                f"{self.name} looks for {error} in the architecture, which does not have it: {architecture}. Decisions "
                "that exist only with some answers are to be looked up with architecture.get(label)"
            ) from error
        if self.rule:
            return float(bool(answer))
        if not is_number(answer):
            raise SpaceError(f"{self.name} gave {answer!r} for {architecture}; a cost must be a number")
        return float(answer)

    def to_json(self) -> dict[str, Value]:
        return {"type": "function", "name": self.name, "unit": self.unit, "rule": self.rule}


@dataclass(frozen=True)
class Limit:
    """What must hold for a cost.

    Attributes:
        cost: the number that is limited.
        least: the least value allowed, or None.
        most: the greatest value allowed, or None.
    """

    cost: Cost
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.least, self.most) if bound is not None]
        if not bounds or not all(is_number(bound) and not math.isnan(bound) for bound in bounds):
            raise SpaceError(f"the limit of {self.cost.name} is from {self.least!r} to {self.most!r}; give a number")
        if len(bounds) == 2 and bounds[0] > bounds[1]:
            raise SpaceError(f"{self.cost.name} is limited to at least {self.least:g} and at most {self.most:g}")

    def excess(self, architecture: Architecture) -> float:
        """0 where the limit holds; else how far it is missed, relative to the bound."""
        value = self.cost.of(architecture)
        if math.isnan(value):
            return math.inf
        if self.least is not None and value < self.least - TOLERANCE * abs(self.least):
            return (self.least - value) / (abs(self.least) or 1.0)
        if self.most is not None and value > self.most + TOLERANCE * abs(self.most):
            return (value - self.most) / (abs(self.most) or 1.0)
        return 0.0

    def from_above(self) -> Limit:
        """The same limit with an upper bound: on the negative of a sum that only has a lower one."""
        if self.most is not None or self.least is None or not isinstance(self.cost, Sum):
            return self
        return Limit(Sum.mixed([(-1.0, self.cost)]), most=-self.least)

    def describe(self) -> str:
        """The limit in a few words."""
        if isinstance(self.cost, Function) and self.cost.rule:
            return f"the rule {self.cost.name} holds"
        bounds = [("at least", self.least), ("at most", self.most)]
        words = " and ".join(f"{word} {bound:,.10g}" for word, bound in bounds if bound is not None)
        return f"{self.cost.name} {words} {self.cost.unit}".rstrip()

    def to_json(self) -> dict[str, Value]:
        """The limit as JSON; `limit_from_json` reads it."""
        return {"cost": self.cost.to_json(), "least": self.least, "most": self.most}


def rule(predicate: Callable[[Architecture], bool], name: str | None = None) -> Limit:
    """The limit that a function of the architecture is true.

    Args:
        predicate: gets a canonical architecture; it must be quick, and always answer the same.
        name: in a word; default: the function's name.
    """
    name = name or getattr(predicate, "__qualname__", None) or type(predicate).__name__
    return Limit(Function(name, predicate, rule=True), least=1.0)


def limit_from_json(data: Mapping[str, Value]) -> Limit:
    """Read what `Limit.to_json` wrote; raises KeyError or TypeError where it is something else.

    Python functions are no JSON: the limit then knows its name, and raises SpaceError when it is asked.
    """
    cost = data["cost"]
    if cost["type"] == "sum":
        terms = [Term(term["labels"], term["table"]) for term in cost["terms"]]
        read: Cost = Sum(cost["name"], terms, cost["constant"], cost["unit"])
    else:
        read = Function(cost["name"], _Lost(cost["name"]), unit=cost["unit"], rule=cost["rule"])
    return Limit(read, data["least"], data["most"])


@dataclass(frozen=True)
class _Lost:
    """Takes the place of a function that was stored as JSON."""

    name: str

    def __call__(self, architecture: Architecture) -> float:
        raise SpaceError(
            f"the limit {self.name!r} is a Python function, which a stored space does not hold; use the space that "
            "your code makes"
        )
