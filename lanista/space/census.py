"""Counts the architectures of a space exactly, and draws uniformly from them.

A dynamic program over the decisions in order. Its state is what the answers so far leave of the conditions of
later decisions: a condition that is settled is True or False, and two histories that leave the same conditions
are one state, so that conditions with many parents (a label shared by twenty branches) stay small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate
from random import Random

from lanista.space.domain import Domain, Key, Value, key

INACTIVE: Value = object()
"""Stands for the value of a decision that does not exist in an architecture."""

REST: Value = object()
"""Stands for all values that no condition mentions."""

Literal = tuple[int, frozenset[Key]]
"""(position of a parent, keys of its values): true when the parent is active and has one of them."""

Condition = bool | frozenset[frozenset[Literal]]
"""A disjunction of conjunctions, or what became of it."""

State = frozenset[tuple[int, Condition]]
"""What is left of the conditions that an earlier answer touched, by position of the decision."""

START: State = frozenset()
"""The state before the first decision, and after the last."""

Group = tuple[Value, int | float, State]
"""A value (or REST, or INACTIVE), how many values it stands for, and the state that they leave."""


class Census:
    """Exact counts for decisions that are given as (domain, clauses), each decision after its parents.

    A clause maps positions of parents to values; without clauses a decision is always active. The states are
    the fewer, the sooner each decision follows its parents. `told` are values, by position, that are kept apart
    in groups of their own, as those are that a condition mentions.
    """

    def __init__(
        self,
        decisions: Sequence[tuple[Domain, Sequence[Mapping[int, Sequence[Value]]]]],
        told: Mapping[int, Sequence[Value]] | None = None,
    ) -> None:
        self._domains = [domain for domain, _ in decisions]
        self._conditions: list[Condition] = []
        self._mentioned: list[dict[Key, Value]] = [{} for _ in decisions]
        for position, values in (told or {}).items():
            self._mentioned[position].update((key(value), value) for value in values)
        self._children: list[dict[int, None]] = [{} for _ in decisions]
        for child, (_, clauses) in enumerate(decisions):
            for parent, values in (item for clause in clauses for item in clause.items()):
                self._mentioned[parent].update((key(value), value) for value in values)
                self._children[parent][child] = None
            condition = frozenset(
                frozenset((parent, frozenset(map(key, values))) for parent, values in clause.items())
                for clause in clauses
            )
            self._conditions.append(condition or True)

    @cached_property
    def _levels(self) -> list[dict[State, list[Group]]]:
        """For each decision, the states it can be met in, and the groups of its values."""
        levels: list[dict[State, list[Group]]] = []
        states: list[State] = [START]
        for position in range(len(self._domains)):
            level = {state: self.groups(position, state) for state in states}
            levels.append(level)
            states = list(dict.fromkeys(after for groups in level.values() for _, _, after in groups))
        return levels

    def groups(self, position: int, state: State) -> list[Group]:
        """The ways to decide a decision in a state that it can be met in."""
        left = dict(state)
        condition = left.pop(position, self._conditions[position])
        if condition is not True:
            # All parents are decided, so that what is not True here is False.
            return [(INACTIVE, 1, self._after(position, left, INACTIVE))]
        mentioned = self._mentioned[position]
        groups: list[Group] = [
            (value, 1, self._after(position, left, stand_in)) for stand_in, value in mentioned.items()
        ]
        rest = self._domains[position].size - len(mentioned)
        if rest:
            groups.append((REST, rest, self._after(position, left, REST)))
        return groups

    def _after(self, position: int, left: Mapping[int, Condition], stand_in: Key) -> State:
        """The state after decision `position` took the value with this key, REST or INACTIVE."""
        following = dict(left)
        for child in self._children[position]:
            condition = following.get(child, self._conditions[child])
            if isinstance(condition, bool):
                continue
            clauses = {
                frozenset(literal for literal in clause if literal[0] != position)
                for clause in condition
                if all(stand_in in keys for parent, keys in clause if parent == position)
            }
            following[child] = True if frozenset() in clauses else (frozenset(clauses) or False)
        return frozenset(following.items())

    @cached_property
    def _counts(self) -> list[dict[State, int | float]]:
        """For each decision and state, the number of ways to decide it and what follows; 1 after the last."""
        counts: list[dict[State, int | float]] = [{START: 1}]
        for level in reversed(self._levels):
            following = counts[-1]
            counts.append(
                {state: sum(n * following[after] for _, n, after in groups) for state, groups in level.items()}
            )
        return counts[::-1]

    @property
    def size(self) -> int | float:
        """Number of architectures; `math.inf` if a continuous domain can be active."""
        return self._counts[0][START]

    def sample(self, random: Random) -> list[Value]:
        """One value or INACTIVE for each decision, each architecture equally likely. Needs a finite size."""
        values, state = [], START
        for position, (level, following) in enumerate(zip(self._levels, self._counts[1:], strict=True)):
            groups = level[state]
            # Integers of any length: `random.choices` would turn them into floats and overflow.
            totals = [int(total) for total in accumulate(n * following[after] for _, n, after in groups)]
            value, _, state = groups[bisect_right(totals, random.randrange(totals[-1]))]
            pick = partial(self._domains[position].pick, random)
            values.append(self.unmentioned(position, pick) if value is REST else value)
        return values

    def unmentioned(self, position: int, draw: Callable[[], Value]) -> Value:
        """A draw for REST: the first one that stands in no group of its own."""
        while True:
            drawn = draw()
            if key(drawn) not in self._mentioned[position]:
                return drawn
