"""Decisions as series of choices, each among a few, for strategies that learn how likely each should be."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

from lanista.space.domain import Categorical, Domain, Integer, Real, Subset, Value, key, plain

TRIES = 100
"""How often a value of a part is drawn before one near its middle is taken."""


class Question(ABC):
    """How a value of a domain comes about by choices.

    Attributes:
        weights: for each choice, how often each of its options is taken at first, relative to the others.
    """

    weights: list[list[float]]

    @abstractmethod
    def allowed(self, taken: Sequence[int]) -> list[bool]:
        """Which options the next choice has after these."""

    @abstractmethod
    def value(self, taken: Sequence[int], rng: random.Random) -> Value:
        """The value to which all these choices lead; where it is one of several, a random one."""

    @abstractmethod
    def taken(self, value: Value) -> list[int]:
        """The choices that lead to `value`."""


@final
class Category(Question):
    """One choice among values."""

    def __init__(self, values: Sequence[Value], prior: Sequence[float] | None) -> None:
        self._values = values
        self._index = {key(value): i for i, value in enumerate(values)}
        self.weights = [list(prior or [1.0] * len(values))]

    def allowed(self, taken: Sequence[int]) -> list[bool]:
        return [True] * len(self._values)

    def value(self, taken: Sequence[int], rng: random.Random) -> Value:
        return plain(self._values[taken[0]])

    def taken(self, value: Value) -> list[int]:
        return [self._index[key(value)]]


@final
class Members(Question):
    """Of each option of a subset, whether it is out (0) or in (1), where its bounds leave both."""

    def __init__(self, domain: Subset) -> None:
        self._domain = domain
        self.weights = [[1.0, weight] for weight in domain.prior or (1.0,) * len(domain.options)]

    def allowed(self, taken: Sequence[int]) -> list[bool]:
        least, most = self._domain.counts[0], self._domain.counts[-1]
        further = len(self._domain.options) - len(taken) - 1
        return [sum(taken) + further >= least, sum(taken) < most]

    def value(self, taken: Sequence[int], rng: random.Random) -> Value:
        return plain([option for option, inside in zip(self._domain.options, taken, strict=True) if inside])

    def taken(self, value: Value) -> list[int]:
        return [int(bit) for bit in self._domain.encode(value)]


@final
class Bins(Question):
    """One choice among equal parts of a range (on the log scale, if it has one); the value is random within.

    Parts in which no value lies, as on the log scale below 2, are not allowed.
    """

    def __init__(self, domain: Integer | Real, bins: int) -> None:
        self._domain, self._bins = domain, bins
        self.weights = [[1.0] * bins]
        self._middles = [self._middle(i) for i in range(bins)]

    def allowed(self, taken: Sequence[int]) -> list[bool]:
        return [middle is not None for middle in self._middles]

    def value(self, taken: Sequence[int], rng: random.Random) -> Value:
        for _ in range(TRIES):
            value = self._domain.at((taken[0] + rng.random()) / self._bins)
            if self.taken(value) == list(taken):  # not an integer beyond the edge
                return value
        return self._middles[taken[0]]

    def taken(self, value: Value) -> list[int]:
        return [min(int(self._domain.encode(value)[0] * self._bins), self._bins - 1)]

    def _middle(self, part: int) -> Value | None:
        """A value in the middle of a part, or near it; None if there is none."""
        middle = self._domain.at((part + 0.5) / self._bins)
        near = [middle, *self._domain.neighbours(middle)]
        return next((value for value in near if self.taken(value) == [part]), None)


def question(domain: Domain, bins: int) -> Question:
    """The choices that a domain asks for; a range with more than `bins` values is cut into so many parts."""
    if isinstance(domain, Subset):
        return Members(domain)
    if isinstance(domain, Real) or (isinstance(domain, Integer) and domain.size > bins):
        return Bins(domain, bins)
    return Category(domain.grid(), domain.prior if isinstance(domain, Categorical) else None)
