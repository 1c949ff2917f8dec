"""Counts the architectures of a space exactly, and draws uniformly from them.

A dynamic program over the decisions in order. Its state is what the answers so far leave of the conditions of later
decisions: a condition that is settled is True or False, and two histories that leave the same conditions are one
state, so that conditions with many parents (a label shared by twenty branches) stay small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from random import Random

from lanista.space.domain import Domain, Key, Value, key

INACTIVE: Value = object()
"""Stands for the value of a decision that does not exist in an architecture."""

Literal = tuple[int, frozenset[Key]]
"""(position of a parent, keys of its values): true when the parent is active and has one of them."""

Condition = bool | frozenset[frozenset[Literal]]
"""A disjunction of conjunctions, or what became of it."""

State = frozenset[tuple[int, Condition]]
"""What is left of the conditions that an earlier answer touched, by position of the decision."""

Group = tuple[Value, int | float, State]
"""Values that leave the same state: one of them (or REST), how many they are, and that state."""

REST: Value = object()
"""Stands for all values that no condition mentions."""


class Census:
    """Exact counts for decisions given as (domain, clauses), each after its parents; no clauses: always active."""

    def __init__(self, decisions: Sequence[tuple[Domain, Sequence[frozenset[Literal]]]]) -> None:
        self._domains = [domain for domain, _ in decisions]
        self._conditions: list[Condition] = [
            frozenset(clauses) if clauses else True for _, clauses in decisions
        ]
        self._mentioned: list[dict[Key, None]] = [{} for _ in decisions]
        self._children: list[list[int]] = [[] for _ in decisions]
        for child, (_, clauses) in enumerate(decisions):
            for parent, keys in sorted(
                {literal for clause in clauses for literal in clause}, key=lambda x: x[0]
            ):
                self._mentioned[parent].update(dict.fromkeys(keys))
                if child not in self._children[parent]:
                    self._children[parent].append(child)

    @cached_property
    def _levels(self) -> list[dict[State, list[Group]]]:
        """For each decision, the states it can be met in, and the groups of its values."""
        levels: list[dict[State, list[Group]]] = []
        states: list[State] = [frozenset()]
        for position in range(len(self._domains)):
            level = {state: self._groups(position, state) for state in states}
            levels.append(level)
            states = list(dict.fromkeys(after for groups in level.values() for _, _, after in groups))
        return levels

    def _groups(self, position: int, state: State) -> list[Group]:
        left = dict(state)
        condition = left.pop(position, self._conditions[position])
        if condition is not True:
            # All parents are decided, so that what is not True here is False.
            return [(INACTIVE, 1, self._after(position, left, INACTIVE))]
        domain, groups = self._domains[position], dict[State, tuple[Value, int | float]]()
        mentioned = self._mentioned[position]
        if domain.size > len(mentioned):
            groups[self._after(position, left, REST)] = (REST, domain.size - len(mentioned))
        result: list[Group] = [(value, count, after) for after, (value, count) in groups.items()]
        result += [(value, 1, self._after(position, left, value)) for value in mentioned]
        return result

    def _after(self, position: int, left: dict[int, Condition], value: Value) -> State:
        """The state after decision `position` took the value with this key (REST: none of those mentioned)."""
        following = dict(left)
        for child in self._children[position]:
            condition = following.get(child, self._conditions[child])
            if isinstance(condition, bool):
                continue
            clauses: set[frozenset[Literal]] = set()
            for clause in condition:
                mine = [keys for parent, keys in clause if parent == position]
                if all(value is not REST and value in keys for keys in mine):
                    clauses.add(frozenset(literal for literal in clause if literal[0] != position))
            following[child] = True if frozenset() in clauses else (frozenset(clauses) or False)
        return frozenset(following.items())

    @cached_property
    def _counts(self) -> list[dict[State, int | float]]:
        """For each decision and state, the number of ways to decide it and all that follow."""
        counts: list[dict[State, int | float]] = []
        following: dict[State, int | float] | None = None
        for level in reversed(self._levels):
            here = {
                state: sum(n * (1 if following is None else following[after]) for _, n, after in groups)
                for state, groups in level.items()
            }
            counts.append(here)
            following = here
        return counts[::-1]

    @property
    def size(self) -> int | float:
        """Number of architectures; `math.inf` if a continuous domain can be active."""
        return self._counts[0][frozenset()] if self._domains else 1

    def sample(self, random: Random) -> list[Value]:
        """One value (or INACTIVE) for each decision; every architecture equally likely. Requires a finite size."""
        values, state = [], State()
        for position, level in enumerate(self._levels):
            groups = level[state]
            weights = [
                n * (self._counts[position + 1][after] if position + 1 < len(self._levels) else 1)
                for _, n, after in groups
            ]
            # Integers of any length: `random.choices` would turn them into floats and overflow.
            ticket = random.randrange(int(sum(weights)))
            for (value, _, after), weight in zip(groups, weights, strict=True):  # noqa: B007 (used below)
                if ticket < weight:
                    break
                ticket -= int(weight)
            values.append(self._pick(position, value, random))
            state = after
        return values

    def _pick(self, position: int, value: Value, random: Random) -> Value:
        domain = self._domains[position]
        if value is INACTIVE:
            return INACTIVE
        if value is not REST:
            return domain.parse(_unkey(value, domain))
        while True:
            picked = domain.pick(random)
            if key(picked) not in self._mentioned[position]:
                return picked


def _unkey(mentioned: Key, domain: Domain) -> Value:
    """The value of a domain that has this key."""
    if not isinstance(mentioned, str):
        return mentioned
    return next((value for value in domain.grid() if key(value) == mentioned), mentioned)
