"""Domains: the sets that decisions take their values from.

A value is always plain JSON. Each domain has one canonical form of its values and reads several (`parse`):
the forms that exported architectures of older tools use (names, indices, lists of names, indices or
booleans).
"""

from __future__ import annotations

import copy
import json
import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, combinations
from random import Random
from typing import Any, TypeGuard

from lanista.errors import SpaceError

Value = Any
"""A JSON value: None, bool, int, float, str, or a list or mapping of such."""

Architecture = dict[str, Value]
"""label -> value, for the active decisions only."""

Key = Hashable
"""A hashable stand-in for a value."""


def plain(value: object) -> Value:
    """Return `value` as plain JSON (tuples become lists); raises SpaceError where it has no JSON form."""
    if value is None or type(value) in (bool, int, str):
        return value
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SpaceError(
            f"{value!r} ({type(value).__name__}) is not a JSON value; give candidates that are numbers, "
            "strings, booleans, None, or lists of these, or name them with a mapping: "
            "{'relu': nn.ReLU, 'gelu': nn.GELU}"
        ) from error


def key(value: object) -> Key:
    """A hashable stand-in for a value: two are equal exactly if the values are."""
    if isinstance(value, list):
        return tuple(map(key, value))
    if isinstance(value, dict):
        return frozenset((name, key(entry)) for name, entry in value.items())
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether `value` is an int or float; a bool is not a number here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether `value` is an int; a bool is not a number here."""
    return isinstance(value, int) and not isinstance(value, bool)


def options_of(candidates: Iterable[object]) -> tuple[Value, ...]:
    """Candidates as distinct plain values; raises SpaceError if there is none, no order, or two are equal."""
    if isinstance(candidates, str | set | frozenset):
        raise SpaceError(f"candidates is {candidates!r}; give a list, in which the first is the default")
    options = tuple(plain(candidate) for candidate in candidates)
    if not options:
        raise SpaceError("there is no candidate; give at least one")
    seen: set[Key] = set()
    for option in options:
        if key(option) in seen:
            raise SpaceError(f"candidate {option!r} is there twice (1, 1.0 and True are equal); candidates must differ")
        seen.add(key(option))
    return options


@dataclass(frozen=True)
class Domain(ABC):
    """A set of JSON values that a decision takes one of.

    All randomness comes from the generator that is handed in. `parse` is the only method that meets foreign
    values; all others expect canonical ones.
    """

    @property
    @abstractmethod
    def size(self) -> int | float:
        """Number of values; `math.inf` for a continuous range."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Length of `encode`'s result."""

    @abstractmethod
    def default(self) -> Value:
        """The value that a model gets when nobody decides."""

    @abstractmethod
    def draw(self, random: Random) -> Value:
        """A value by the domain's own measure: uniform, or uniform on the log scale."""

    @abstractmethod
    def grid(self, granularity: int | None = None) -> Sequence[Value]:
        """All values in order; a continuous range gives `granularity` evenly spaced ones, both ends included.

        Raises:
            SpaceError: the range is continuous and no granularity is given.
        """

    @abstractmethod
    def parse(self, value: object) -> Value:
        """The canonical form of `value`. Raises ValueError, whose message says only what is wrong."""

    @abstractmethod
    def neighbours(self, value: Value) -> list[Value]:
        """The values that are one step away from `value`, itself excluded."""

    @abstractmethod
    def mutate(self, value: Value, random: Random) -> Value:
        """A random other value. Requires `size > 1`."""

    @abstractmethod
    def encode(self, value: Value) -> list[float]:
        """`value` as `width` numbers in [0, 1]: one-hot for categories, position for ranges."""

    @abstractmethod
    def describe(self) -> str:
        """The allowed values, in a few words, for messages and tables."""

    @abstractmethod
    def to_json(self) -> dict[str, Value]:
        """The domain as JSON; `from_json` reads it."""

    def pick(self, random: Random) -> Value:
        """A value uniform over all values of a finite domain, whatever its own measure."""
        return self.draw(random)

    def probability(self, value: Value) -> float:
        """With what probability `draw` gives `value`, in a finite domain."""
        return 1 / self.size


@dataclass(frozen=True)
class Categorical(Domain):
    """One of several candidates, in no order.

    Read forms: the candidate itself; `[candidate]`; its index, unless a candidate is a number or a boolean; a
    list of booleans, one for each candidate, with exactly one true.

    Args:
        options: the candidates.
        prior: a positive weight for each candidate: how often it is drawn, relative to the others. None: all
            equally often. What is uniform over architectures, and mutation, do not look at it.
    """

    options: tuple[Value, ...]
    prior: tuple[float, ...] | None
    _index: dict[Key, int] = field(init=False, repr=False, compare=False)
    _nested: bool = field(init=False, repr=False, compare=False)
    _cumulative: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __init__(self, options: Iterable[object], prior: Iterable[float] | None = None) -> None:
        values = options_of(options)
        object.__setattr__(self, "options", values)
        object.__setattr__(self, "prior", _checked_prior(prior, values))
        object.__setattr__(self, "_cumulative", tuple(accumulate(self.prior or ())))
        object.__setattr__(self, "_index", {key(option): i for i, option in enumerate(values)})
        object.__setattr__(self, "_nested", any(isinstance(option, list | dict) for option in values))

    @property
    def size(self) -> int:
        return len(self.options)

    @property
    def width(self) -> int:
        return len(self.options)

    def index(self, value: Value) -> int:
        """Position of a canonical value among the candidates."""
        return self._index[key(value)]

    def default(self) -> Value:
        return copy.deepcopy(self.options[0])

    def draw(self, random: Random) -> Value:
        if self.prior is None:
            index = int(random.random() * len(self.options))
        else:
            cumulative = self._cumulative
            # The last bound is left out: rounding must not lead beyond the last option.
            index = bisect_right(cumulative, random.random() * cumulative[-1], hi=len(cumulative) - 1)
        return copy.deepcopy(self.options[index]) if self._nested else self.options[index]

    def pick(self, random: Random) -> Value:
        option = self.options[int(random.random() * len(self.options))]
        return copy.deepcopy(option) if self._nested else option

    def probability(self, value: Value) -> float:
        return 1 / len(self.options) if self.prior is None else self.prior[self.index(value)] / self._cumulative[-1]

    def grid(self, granularity: int | None = None) -> Sequence[Value]:
        return self.options

    def parse(self, value: object) -> Value:
        return copy.deepcopy(self.options[_position(self.options, self._index, value)])

    def neighbours(self, value: Value) -> list[Value]:
        return [copy.deepcopy(option) for option in self.options if option != value]

    def mutate(self, value: Value, random: Random) -> Value:
        i = int(random.random() * (len(self.options) - 1))
        return copy.deepcopy(self.options[i + (i >= self.index(value))])

    def encode(self, value: Value) -> list[float]:
        code = [0.0] * len(self.options)
        code[self.index(value)] = 1.0
        return code

    def describe(self) -> str:
        return f"one of {listed(self.options)}"

    def to_json(self) -> dict[str, Value]:
        return {"type": "categorical", "options": list(self.options), **_prior_json(self.prior)}


@dataclass(frozen=True)
class Subset(Domain):
    """Several of the candidates: exactly `n_chosen`; any number of them (0 included) when that is None; or, when
    it is a pair, from its first to its second number of them.

    A value is a list of candidates in the order of the domain. Read forms: a list of candidates; of indices,
    unless a candidate is a number or a boolean; of booleans, one for each candidate, unless a candidate is a
    boolean; a single candidate or index.

    Args:
        options: the candidates.
        n_chosen: how many are chosen.
        prior: a positive weight for each candidate; a set is drawn with a probability proportional to the product
            of its members' weights. (With any number chosen, weight w is a chance of w / (1 + w) to be among
            them.) None: all sets equally often.
    """

    options: tuple[Value, ...]
    n_chosen: int | tuple[int, int] | None
    prior: tuple[float, ...] | None
    _index: dict[Key, int] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        options: Iterable[object],
        n_chosen: int | Sequence[int] | None = None,
        prior: Iterable[float] | None = None,
    ) -> None:
        values = options_of(options)
        bounds = n_chosen if isinstance(n_chosen, list | tuple) else (n_chosen, n_chosen)
        if n_chosen is not None and not (
            len(bounds) == 2 and all(is_integer(n) for n in bounds) and 0 <= bounds[0] <= bounds[1] <= len(values)
        ):
            raise SpaceError(
                f"n_chosen is {n_chosen!r}; it must be None, an integer from 0 to {len(values)}, "
                "or a pair (least, greatest) of such"
            )
        if isinstance(n_chosen, list | tuple):
            n_chosen = bounds[0] if bounds[0] == bounds[1] else (bounds[0], bounds[1])
        object.__setattr__(self, "options", values)
        object.__setattr__(self, "n_chosen", None if n_chosen == (0, len(values)) else n_chosen)
        object.__setattr__(self, "prior", _checked_prior(prior, values))
        object.__setattr__(self, "_index", {key(option): i for i, option in enumerate(values)})

    @property
    def counts(self) -> range:
        """How many candidates may be chosen."""
        if self.n_chosen is None:
            return range(len(self.options) + 1)
        least, most = self.n_chosen if isinstance(self.n_chosen, tuple) else (self.n_chosen, self.n_chosen)
        return range(least, most + 1)

    @property
    def size(self) -> int:
        return sum(math.comb(len(self.options), n) for n in self.counts)

    @property
    def width(self) -> int:
        return len(self.options)

    def _value(self, indices: Iterable[int]) -> list[Value]:
        return [copy.deepcopy(self.options[i]) for i in sorted(indices)]

    def _chosen(self, value: Value) -> set[int]:
        return {self._index[key(option)] for option in value}

    def default(self) -> list[Value]:
        return self._value(range(min(max(1, self.counts[0]), self.counts[-1])))

    def draw(self, random: Random) -> list[Value]:
        return self.pick(random) if self.prior is None else self._weighted(random)

    def pick(self, random: Random) -> list[Value]:
        if self.n_chosen is None:
            return self._value(i for i in range(len(self.options)) if random.random() < 0.5)
        n = self.n_chosen
        if isinstance(n, tuple):
            totals = list(accumulate(math.comb(len(self.options), count) for count in self.counts))
            n = self.counts[bisect_right(totals, random.randrange(totals[-1]))]
        return self._value(random.sample(range(len(self.options)), n))

    @cached_property
    def _products(self) -> list[list[float]]:
        """For each position i and count k: sum over the sets of k candidates from i on of the product of weights."""
        weights = self.prior or (1.0,) * len(self.options)
        table = [[1.0] + [0.0] * len(weights)]
        for weight in reversed(weights):
            after = table[-1]
            table.append([after[k] + (weight * after[k - 1] if k else 0.0) for k in range(len(after))])
        return table[::-1]

    def _weighted(self, random: Random) -> list[Value]:
        totals = list(accumulate(self._products[0][n] for n in self.counts))
        left = self.counts[bisect_right(totals, random.random() * totals[-1], hi=len(totals) - 1)]
        chosen = []
        for i in range(len(self.options)):
            without = self._products[i + 1][left]
            if left and random.random() * self._products[i][left] >= without:
                chosen.append(i)
                left -= 1
        return self._value(chosen)

    def probability(self, value: Value) -> float:
        if self.prior is None:
            return 1 / self.size
        weight = math.prod(self.prior[i] for i in self._chosen(value))
        return weight / sum(self._products[0][n] for n in self.counts)

    def grid(self, granularity: int | None = None) -> Sequence[Value]:
        return [self._value(chosen) for n in self.counts for chosen in combinations(range(len(self.options)), n)]

    def parse(self, value: object) -> list[Value]:
        entries = list(value) if isinstance(value, list | tuple) else [value]
        if _is_mask(entries, self.options):
            indices = [i for i, entry in enumerate(entries) if entry]
        else:
            indices = [_position(self.options, self._index, entry) for entry in entries]
        if len(set(indices)) < len(indices):
            raise ValueError("a candidate is chosen twice")
        if len(indices) not in self.counts:
            raise ValueError(f"{len(indices)} candidates are chosen")
        return self._value(indices)

    def _moves(self, chosen: set[int]) -> list[set[int]]:
        """The sets one step away: one candidate more or less, or, where the number is fixed, another one."""
        others = [i for i in range(len(self.options)) if i not in chosen]
        if isinstance(self.n_chosen, int):
            return [chosen - {old} | {new} for old in sorted(chosen) for new in others]
        return [moved for i in range(len(self.options)) if len(moved := chosen ^ {i}) in self.counts]

    def neighbours(self, value: Value) -> list[Value]:
        return [self._value(moved) for moved in self._moves(self._chosen(value))]

    def mutate(self, value: Value, random: Random) -> list[Value]:
        return self._value(random.choice(self._moves(self._chosen(value))))

    def encode(self, value: Value) -> list[float]:
        chosen = self._chosen(value)
        return [float(i in chosen) for i in range(len(self.options))]

    def describe(self) -> str:
        if self.n_chosen is None:
            count = "any number"
        else:
            count = f"{self.counts[0]} to {self.counts[-1]}" if isinstance(self.n_chosen, tuple) else str(self.n_chosen)
        return f"a list of {count} of {listed(self.options)}"

    def to_json(self) -> dict[str, Value]:
        n_chosen = list(self.n_chosen) if isinstance(self.n_chosen, tuple) else self.n_chosen
        return {"type": "subset", "options": list(self.options), "n_chosen": n_chosen, **_prior_json(self.prior)}


@dataclass(frozen=True)
class Integer(Domain):
    """The integers `low, low + step, ...` up to `high` (included when a step falls on it).

    With `log`, they are drawn and encoded on the log scale; `low` must then be at least 1.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            number = getattr(self, name)
            if not is_integer(number):
                raise SpaceError(f"{name} is {number!r}; an integer range needs integers")
        if self.low > self.high:
            raise SpaceError(f"low is {self.low} and high is {self.high}; low must be at most high")
        if self.step < 1:
            raise SpaceError(f"step is {self.step}; it must be at least 1")
        if self.log and self.low < 1:
            raise SpaceError(f"low is {self.low}; on a log scale it must be at least 1")

    @property
    def size(self) -> int:
        return (self.high - self.low) // self.step + 1

    @property
    def width(self) -> int:
        return 1

    def default(self) -> int:
        return self.low

    def draw(self, random: Random) -> int:
        if not self.log:
            return self.pick(random)
        # Each integer owns the interval of half a step around it, cut at half a step beyond the ends.
        half = self.step / 2
        last = self.low + (self.size - 1) * self.step
        low, high = math.log(max(self.low - half, 0.5)), math.log(last + half)
        exact = math.exp(low + (high - low) * random.random())
        return self._nearest(exact)

    def probability(self, value: Value) -> float:
        if not self.log:
            return 1 / self.size
        half = self.step / 2
        last = self.low + (self.size - 1) * self.step
        least, greatest = max(self.low - half, 0.5), last + half
        low, high = max(value - half, least), min(value + half, greatest)
        return (math.log(high) - math.log(low)) / (math.log(greatest) - math.log(least))

    def at(self, unit: float) -> int:
        """The value nearest to a position of the (log) range: low at 0, the last value at 1."""
        last = self.low + (self.size - 1) * self.step
        if self.log:
            return self._nearest(math.exp(math.log(self.low) + (math.log(last) - math.log(self.low)) * unit))
        return self._nearest(self.low + (last - self.low) * unit)

    def _nearest(self, exact: float) -> int:
        steps = round((exact - self.low) / self.step)
        return self.low + self.step * min(max(steps, 0), self.size - 1)

    def pick(self, random: Random) -> int:
        return self.low + self.step * int(random.random() * self.size)

    def grid(self, granularity: int | None = None) -> Sequence[Value]:
        return range(self.low, self.high + 1, self.step)

    def parse(self, value: object) -> int:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if not is_integer(number):
            raise ValueError("it is not an integer")
        if number not in self.grid():
            raise ValueError("it is not in the range")
        return number

    def neighbours(self, value: Value) -> list[Value]:
        return [near for near in (value - self.step, value + self.step) if near in self.grid()]

    def mutate(self, value: int, random: Random) -> int:
        i = int(random.random() * (self.size - 1))
        return self.low + self.step * (i + (i >= (value - self.low) // self.step))

    def encode(self, value: Value) -> list[float]:
        last = self.low + (self.size - 1) * self.step
        return [_unit(value, self.low, last, self.log)]

    def describe(self) -> str:
        step = "" if self.step == 1 else f" in steps of {self.step}"
        return f"an integer from {self.low} to {self.high}{step}"

    def to_json(self) -> dict[str, Value]:
        return {"type": "integer", "low": self.low, "high": self.high, "step": self.step, "log": self.log}


REAL_STEP = 0.1
"""A neighbour of a real value lies this part of the (log) range away."""

REAL_DEVIATION = 0.2
"""Standard deviation of a real value's mutation, as part of the (log) range."""


@dataclass(frozen=True)
class Real(Domain):
    """The real numbers from `low` to `high`. With `log`, on the log scale; `low` must then be above 0.

    Default: the middle (of the log scale, with `log`). Mutation: a normal step of a fifth of the range,
    reflected at the ends.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            number = getattr(self, name)
            if not is_number(number) or not math.isfinite(number):
                raise SpaceError(f"{name} is {number!r}; a real range needs finite numbers")
            object.__setattr__(self, name, float(number))
        if self.low >= self.high:
            raise SpaceError(f"low is {self.low} and high is {self.high}; low must be less than high")
        if self.log and self.low <= 0:
            raise SpaceError(f"low is {self.low}; on a log scale it must be above 0")
        width = math.log(self.high) - math.log(self.low) if self.log else self.high - self.low
        if not 0 < width < math.inf:
            raise SpaceError(
                f"low is {self.low} and high is {self.high}; floating-point numbers cannot tell positions between them"
            )

    @property
    def size(self) -> float:
        return math.inf

    @property
    def width(self) -> int:
        return 1

    def at(self, unit: float) -> float:
        """The value at a position of the (log) range: low at 0 or less, high at 1 or more."""
        if unit <= 0 or unit >= 1:  # the logarithm's rounding would miss the ends
            return self.low if unit <= 0 else self.high
        if self.log:
            exact = math.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * unit)
        else:
            exact = self.low + (self.high - self.low) * unit
        return min(max(exact, self.low), self.high)

    def default(self) -> float:
        return self.at(0.5)

    def draw(self, random: Random) -> float:
        return self.at(random.random())

    def grid(self, granularity: int | None = None) -> Sequence[Value]:
        if granularity is None:
            raise SpaceError("a continuous range has no grid by itself; give a granularity, such as 5 points")
        if granularity == 1:
            return [self.default()]
        # A range of few floating-point numbers would give some twice.
        return list(dict.fromkeys(self.at(i / (granularity - 1)) for i in range(granularity)))

    def parse(self, value: object) -> float:
        if not is_number(value):
            raise ValueError("it is not a number")
        if not self.low <= value <= self.high:
            raise ValueError("it is not in the range")
        return float(value)

    def neighbours(self, value: Value) -> list[Value]:
        unit = _unit(value, self.low, self.high, self.log)
        return [near for near in (self.at(unit - REAL_STEP), self.at(unit + REAL_STEP)) if near != value]

    def mutate(self, value: Value, random: Random) -> float:
        unit = _unit(value, self.low, self.high, self.log)
        while True:
            near = abs(unit + random.gauss(0, REAL_DEVIATION)) % 2
            moved = self.at(min(near, 2 - near))
            if moved != value:
                return moved

    def encode(self, value: Value) -> list[float]:
        return [_unit(value, self.low, self.high, self.log)]

    def describe(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def to_json(self) -> dict[str, Value]:
        return {"type": "real", "low": self.low, "high": self.high, "log": self.log}


def from_json(data: dict[str, Value]) -> Domain:
    """The domain that `Domain.to_json` wrote; raises SpaceError on anything else."""
    arguments = {name: value for name, value in data.items() if name != "type"}
    kinds: dict[str, type[Domain]] = {
        "categorical": Categorical, "subset": Subset, "integer": Integer, "real": Real,
    }  # fmt: skip
    kind = kinds.get(str(data.get("type")))
    if kind is None:
        raise SpaceError(f"domain type {data.get('type')!r} is unknown; known are {', '.join(kinds)}")
    try:
        return kind(**arguments)
    except TypeError as error:
        raise SpaceError(f"domain {data!r} cannot be read: {error}") from error


def _checked_prior(prior: Iterable[float] | None, options: tuple[Value, ...]) -> tuple[float, ...] | None:
    """The weights as floats; raises SpaceError if they are not one positive number for each option."""
    if prior is None:
        return None
    weights = list(prior)
    if len(weights) != len(options) or not all(is_number(w) and 0 < w < math.inf for w in weights):
        raise SpaceError(f"prior is {weights!r}; give one positive number for each of the {len(options)} candidates")
    return tuple(map(float, weights))


def _prior_json(prior: tuple[float, ...] | None) -> dict[str, Value]:
    return {} if prior is None else {"prior": list(prior)}


def _position(options: tuple[Value, ...], index: dict[Key, int], value: object) -> int:
    """Index of the option that `value` means; raises ValueError where it means none."""
    entry = list(value) if isinstance(value, tuple) else value
    try:
        position = index.get(key(entry))
    except TypeError:  # unhashable, so not JSON
        position = None
    # 1, 1.0 and True are equal for Python, but an answer of the other kind is a mistake.
    if position is not None and isinstance(options[position], bool) == isinstance(entry, bool):
        return position
    if is_integer(entry) and not any(isinstance(option, int | float) for option in options):
        if 0 <= entry < len(options):
            return entry
        raise ValueError(f"index {entry} is not in 0 to {len(options) - 1}")
    if isinstance(entry, list):
        if _is_mask(entry, options) and sum(entry) == 1:
            return entry.index(True)
        if len(entry) == 1 and not isinstance(entry[0], list):
            return _position(options, index, entry[0])
    raise ValueError("it is not a candidate")


def _is_mask(entries: list[Any], options: tuple[Value, ...]) -> bool:
    """Whether `entries` says of each option if it is chosen; boolean options are named, not flagged."""
    if len(entries) != len(options) or any(isinstance(option, bool) for option in options):
        return False
    return all(isinstance(entry, bool) for entry in entries)


def _unit(value: float, low: float, high: float, log: bool) -> float:
    """Position of `value` between `low` (0) and `high` (1)."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    if high == low:
        return 0.0
    return min(max((value - low) / (high - low), 0.0), 1.0)


def listed(options: Sequence[object], most: int = 12) -> str:
    """The first options, and how many there are if these are not all, for messages."""
    shown = ", ".join(repr(option) for option in options[:most])
    return f"{shown}, ... ({len(options)} in all)" if len(options) > most else shown
