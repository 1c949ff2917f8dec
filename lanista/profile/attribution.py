"""Learns a cost of a model space as a sum over its decisions, so that limits on it are kept exactly.

A measure that is a sum over the parts of a model (its modules) says how much each part costs in one model. Which
decisions a part depends on is found by changing one decision at a time. Then each combination of these decisions
is built once, many parts at a time, and the sum is checked on random architectures: it must agree to the last digit.
A part that turns out to depend on one more decision gets it, and the search for combinations goes on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from random import Random

from lanista.errors import LanistaError
from lanista.space.domain import Architecture, Key, Value, key
from lanista.space.limit import ABSENT, Sum, Term
from lanista.space.probe import UNBUILDABLE
from lanista.space.search import SearchSpace

BUILDS = 600
"""At most so many models are built to learn a cost."""

BASES = 2
"""Around so many architectures, the default and random ones, each decision is changed."""

VALUES = 3
"""So many other values of a decision are tried around each of them; what they do not show, random ones do."""

CHECKS = 25
"""On so many random architectures the learnt sum is compared with the measure."""

Parts = Mapping[str, float]

Table = dict[tuple[Key, ...], tuple[Architecture, float]]
"""By the combination of some decisions: an architecture that has it, and what a group of parts costs there."""

log = logging.getLogger("lanista")


class Unlearnable(Exception):
    """The cost is not a sum of terms of few decisions each, as far as the allowed number of builds can tell."""


def learn(decisions: SearchSpace, parts: Callable[[Architecture], Parts], name: str, unit: str = "") -> Sum:
    """The cost as a sum of terms.

    Args:
        decisions: of the model space; models that miss its limits are built, too.
        parts: what each part of the model of an architecture costs, by its path.
        name: of the cost.
        unit: of the cost.

    Raises:
        Unlearnable: as it says.
    """
    log.info("learning %s from the models of up to %d architectures", name, BUILDS)
    study = _Study(decisions, parts)
    study.vary()
    while True:
        study.fill()
        if study.check():
            log.info("%s is a sum over decisions, learnt from %d models", name, study.builds)
            return study.sum(name, unit)


class _Study:
    """What is known of a cost so far.

    `depends` has for each part the labels that it depends on; `seen` all architectures that were built, with
    what their parts cost.
    """

    def __init__(self, space: SearchSpace, parts: Callable[[Architecture], Parts]) -> None:
        self._space, self._limited, self._parts = SearchSpace(space), space, parts
        self._random = Random(0)
        self._order = {label: position for position, label in enumerate(space.labels)}
        self._seen: dict[str, tuple[Architecture, Parts]] = {}
        self._depends: dict[str, set[str]] = {}

    @property
    def builds(self) -> int:
        return len(self._seen)

    def look(self, architecture: Architecture) -> Parts:
        """What the parts of an architecture cost."""
        name = self._space.key(architecture)
        if name not in self._seen:
            if len(self._seen) >= BUILDS:
                raise Unlearnable(f"{BUILDS:,} models were not enough")
            found = {path: amount for path, amount in self._built(architecture).items() if amount}
            for path in found:
                self._depends.setdefault(path, set())
            self._seen[name] = architecture, found
        return self._seen[name][1]

    def _built(self, architecture: Architecture) -> Parts:
        try:
            return self._parts(architecture)
        except (LanistaError, *UNBUILDABLE) as error:
            if not self._limited.violations(architecture):
                raise
            raise Unlearnable(f"models that miss a limit cannot be built: {error}") from error

    # --- which decisions a part depends on ----------------------------------------------------------------

    def vary(self) -> None:
        """Change one decision at a time, around several architectures that together have all decisions."""
        bases = [self._space.default(), *(self._space.sample(self._random) for _ in range(BASES - 1))]
        met: set[str] = set()
        for label in self._space.labels:
            if not any(label in base for base in bases):
                bases.append(self._with(label))
        for base in bases:
            # Later bases serve the decisions that the first ones do not have.
            for label in base if len(met) < BASES * len(self._order) else ():
                self._vary(base, label)
                met.add(label)

    def _with(self, label: str) -> Architecture:
        """An architecture that has a decision."""
        values: dict[str, Value] = {}
        waiting = [label]
        conditions = {decision.label: decision.when for decision in self._space}
        while waiting:
            for parent, allowed in (conditions[waiting.pop()] or ({},))[0].items():
                if parent not in values:
                    values[parent] = allowed[0]
                    waiting.append(parent)
        return self._space.complete(values)

    def _vary(self, base: Architecture, label: str) -> None:
        before = self.look(base)
        for value in self._others(label, base[label]):
            after = self.look(self._space.complete({**base, label: value}))
            for path in before.keys() | after.keys():
                if before.get(path, 0.0) != after.get(path, 0.0):
                    self._depends[path].add(label)

    def _others(self, label: str, value: Value) -> list[Value]:
        domain = self._space[label]
        if domain.size == 1:
            return []
        if domain.size <= VALUES + 1:
            return [other for other in domain.grid() if key(other) != key(value)]
        others = [domain.mutate(value, self._random) for _ in range(VALUES)]
        return list({key(other): other for other in others}.values())

    # --- what each combination of them costs --------------------------------------------------------------

    def _groups(self) -> dict[tuple[str, ...], list[str]]:
        """The parts, by the labels that they depend on."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for path, labels in self._depends.items():
            groups.setdefault(tuple(sorted(labels, key=self._order.__getitem__)), []).append(path)
        return groups

    def _combinations(self, labels: tuple[str, ...]) -> Iterator[Architecture]:
        """All that the labels and the decisions that they hang on can be together."""
        wanted = list(labels)
        for label in wanted:  # grows on the way
            decision = next(decision for decision in self._space if decision.label == label)
            wanted += [parent for clause in decision.when for parent in clause if parent not in wanted]
        part = SearchSpace(decision for decision in self._space if decision.label in wanted)
        if any(math.isinf(part[label].size) for label in part.labels):
            raise Unlearnable(f"it depends on a continuous decision among {list(part.labels)}")
        if part.size > 2 * BUILDS:  # those that a condition makes equal count once only
            raise Unlearnable(f"{part.size:,} combinations of {list(part.labels)} may each cost something else")
        return part.grid()

    def fill(self) -> None:
        """Build architectures until each combination of each group was seen."""
        while True:
            groups = self._groups()
            missing: list[list[Architecture]] = []
            for labels in groups:
                known = {_key(labels, architecture) for architecture, _ in self._seen.values()}
                lacking: dict[tuple[Key, ...], Architecture] = {}
                for combination in self._combinations(labels) if labels else ():
                    lacking.setdefault(_key(labels, combination), combination)
                missing.append([values for name, values in lacking.items() if name not in known])
            missing = sorted(filter(None, missing), key=len, reverse=True)
            if not missing:
                return
            if len(missing[0]) > BUILDS - self.builds:
                raise Unlearnable(f"{len(missing[0]):,} combinations of {list(missing[0][0])} are to be built")
            for _ in range(len(missing[0])):
                values: Architecture = {}
                for group in missing:
                    # One combination of each group, where they do not contradict each other.
                    fits = (all(values.get(k, v) == v for k, v in combination.items()) for combination in group)
                    place = next((place for place, fit in enumerate(fits) if fit), None)
                    if place is not None:
                        values.update(group.pop(place))
                self.look(self._space.complete(values))

    def _tables(self) -> dict[tuple[str, ...], Table]:
        """What each group costs, by the combination; a group that contradicts itself gets one decision more."""
        tables = None
        while tables is None:
            tables = self._tabulated()
        return tables

    def _tabulated(self) -> dict[tuple[str, ...], Table] | None:
        """The tables, or None where a contradiction was found and mended."""
        tables: dict[tuple[str, ...], Table] = {}
        for labels, paths in self._groups().items():
            table = tables[labels] = {}
            for architecture, parts in self._seen.values():
                amount = math.fsum(parts.get(path, 0.0) for path in paths)
                other, known = table.setdefault(_key(labels, architecture), (architecture, amount))
                if known != amount:
                    self._extend(labels, paths, other, architecture)
                    return None
        return tables

    def _extend(self, labels: tuple[str, ...], paths: list[str], one: Architecture, other: Architecture) -> None:
        """Walk from one architecture to another of the same combination, and see which step changes the group."""
        last, before = one, self.look(one)
        shared = {label: value for label, value in other.items() if label in labels}
        for label in other:
            if label in labels or last.get(label, ABSENT) == other[label]:
                continue
            step = self._space.complete({**last, **shared, label: other[label]})
            after = self.look(step)
            changed = [path for path in paths if before.get(path, 0.0) != after.get(path, 0.0)]
            for path in changed:
                self._depends[path].add(label)
                self._combinations(tuple(self._depends[path]))  # raises if they are too many
            if changed:
                return
            last, before = step, after
        raise Unlearnable(f"parts such as {paths[0]!r} change with something that is no decision")

    def check(self) -> bool:
        """Whether the sum is right on random architectures; what they show is taken up otherwise."""
        before = {path: set(labels) for path, labels in self._depends.items()}
        for _ in range(CHECKS):
            self.look(self._space.sample(self._random))
        self._tables()
        return before == self._depends

    # --- the result ---------------------------------------------------------------------------------------

    def sum(self, name: str, unit: str) -> Sum:
        """What was learnt; a group is added to one that depends on the same decisions and more."""
        tables = self._tables()
        constant = sum(amount for _, amount in tables.pop((), {}).values())
        terms: dict[tuple[str, ...], Table] = {}
        for labels in sorted(tables, key=len, reverse=True):
            wider = next((known for known in terms if set(labels) <= set(known)), None)
            if wider is None:
                terms[labels] = tables[labels]
                continue
            table = tables[labels]
            terms[wider] = {
                combination: (architecture, amount + table[_key(labels, architecture)][1])
                for combination, (architecture, amount) in terms[wider].items()
            }
        return Sum(
            name,
            [
                Term(labels, [(_restricted(labels, a), amount) for a, amount in table.values()])
                for labels, table in terms.items()
                if any(amount for _, amount in table.values())
            ],
            constant,
            unit,
        )


def _restricted(labels: tuple[str, ...], architecture: Architecture) -> Architecture:
    return {label: architecture[label] for label in labels if label in architecture}


def _key(labels: tuple[str, ...], architecture: Architecture) -> tuple[Key, ...]:
    return tuple([key(architecture[label]) if label in architecture else ABSENT for label in labels])
