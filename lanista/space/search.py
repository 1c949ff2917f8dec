"""`SearchSpace`: decisions, the conditions under which they exist, and everything that is done with them.

Pure data and the standard library: strategies see only this, never torch.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cache, cached_property
from random import Random

from lanista.errors import ArchitectureError, SpaceError
from lanista.space.census import INACTIVE, Census
from lanista.space.decision import Decision, close, ordered
from lanista.space.domain import Architecture, Domain, Value, from_json, key, listed, plain
from lanista.space.feasible import Acceptance, Feasible, Positioned
from lanista.space.limit import Limit, Sum, limit_from_json, rule

FORMAT = 1
"""Version of the JSON form of a space."""

END: Value = object()
"""Comes after the last value of a decision."""

CROSSINGS = 20
"""How often two parents are crossed in search of a child within the limits."""


class SearchSpace:
    """A finite list of decisions; an architecture gives a value to each active one.

    Decisions are kept so that each comes after those it depends on, and in the given order otherwise. Two
    spaces are equal when their JSON text is. Instances are immutable.

    A space can have limits on whole architectures (see `constrain`): then everything that chooses an architecture
    (`sample`, `default`, `grid`, `mutate`, `crossover`, `neighbours`) gives only such that keep them, so that every
    strategy does. `validate` reads an architecture whether it keeps them or not; `violations` tells.

    Args:
        decisions: `Decision`s, or a mapping of labels to domains.
        limits: what must hold for whole architectures.

    Raises:
        SpaceError: a label is empty or there twice, a domain is none, a condition names an unknown label or a
            value outside of its domain, conditions depend on each other in a circle, or a limit is on an unknown label.
    """

    def __init__(
        self, decisions: Iterable[Decision] | Mapping[str, Domain] = (), *, limits: Iterable[Limit] = ()
    ) -> None:
        given = (
            [Decision(label, domain) for label, domain in decisions.items()]
            if isinstance(decisions, Mapping)
            else list(decisions)
        )
        self._decisions = {decision.label: decision for decision in ordered(given)}
        self._plan = [
            (decision.label, decision.domain.draw, self._active(decision) if decision.when else None)
            for decision in self._decisions.values()
        ]
        self._limits = tuple(limits)
        for limit in self._limits:
            for term in limit.cost.terms if isinstance(limit.cost, Sum) else ():
                for label in term.labels:
                    if label not in self._decisions:
                        raise SpaceError(f"the limit that {limit.describe()} is on {label!r}: {self._unknown(label)}")

    def _active(self, decision: Decision) -> Callable[[Architecture], bool]:
        clauses = [
            [(parent, frozenset(map(key, values))) for parent, values in clause.items()] for clause in decision.when
        ]
        if len(clauses) == 1 and len(clauses[0]) == 1:
            parent, allowed = clauses[0][0]
            return lambda architecture: parent in architecture and key(architecture[parent]) in allowed
        return lambda architecture: any(
            all(parent in architecture and key(architecture[parent]) in allowed for parent, allowed in clause)
            for clause in clauses
        )

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, parents before children."""
        return tuple(self._decisions)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._decisions.values())

    def __len__(self) -> int:
        return len(self._decisions)

    def __contains__(self, label: object) -> bool:
        return label in self._decisions

    def __getitem__(self, label: str) -> Domain:
        try:
            return self._decisions[label].domain
        except KeyError:
            raise SpaceError(self._unknown(label)) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[Callable[..., SearchSpace], tuple[list[Decision], tuple[Limit, ...]]]:
        return _restored, (list(self), self._limits)

    def __or__(self, other: SearchSpace) -> SearchSpace:
        """The decisions of both; one with a label of both exists where it does in either.

        Raises:
            SpaceError: a label of both has two different domains.
        """
        merged = dict(self._decisions)
        for decision in other:
            mine = merged.setdefault(decision.label, decision)
            if mine is decision:
                continue
            if mine.domain != decision.domain:
                raise SpaceError(
                    f"label {decision.label!r} has two different domains: {mine.domain.describe()}, and "
                    f"{decision.domain.describe()}; give one of them another label"
                )
            when = (*mine.when, *decision.when) if mine.when and decision.when else ()
            merged[decision.label] = Decision(decision.label, mine.domain, when)
        return SearchSpace(merged.values(), limits=(*self._limits, *other.limits))

    def __repr__(self) -> str:
        limits = f", {len(self._limits)} limits" if self._limits else ""
        return f"SearchSpace({len(self)} decisions, {format_size(self.size)} architectures{limits})"

    @cached_property
    def _text(self) -> str:
        return json.dumps(self.to_json(), sort_keys=True)

    @cached_property
    def positioned(self) -> Positioned:
        """Label, domain and clauses (over positions) of each decision, each as soon after its parents as can be."""
        order = close(list(self))
        positions = {decision.label: position for position, decision in enumerate(order)}
        return [
            (
                decision.label,
                decision.domain,
                [{positions[parent]: values for parent, values in clause.items()} for clause in decision.when],
            )
            for decision in order
        ]

    @cached_property
    def _census(self) -> Census:
        return Census([(domain, clauses) for _, domain, clauses in self.positioned])

    @property
    def size(self) -> int | float:
        """Exact number of architectures, `math.inf` if a continuous range can be active; limits are not looked at."""
        return self._census.size

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ for different spaces."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    # --- architectures ------------------------------------------------------------------------------------

    def sample(self, rng: Random | int, *, uniform: str = "decisions") -> Architecture:
        """Draw an architecture.

        Args:
            rng: a generator, or a seed for a new one.
            uniform: over what the draw is uniform. `"decisions"` (default): each active decision is drawn by
                itself, by its domain's measure. Under conditions this favours branches with few inner
                decisions: with `body in {conv (kernel 3 or 5), pool}` it gives conv/3, conv/5, pool with 1/4,
                1/4, 1/2. `"architectures"`: each architecture of a finite space is equally likely (1/3 each).

        Raises:
            SpaceError: `uniform` is unknown, or is "architectures" and the space is infinite.
        """
        random = Random(rng) if isinstance(rng, int) else rng
        if uniform not in ("decisions", "architectures"):
            raise SpaceError(f"uniform is {uniform!r}; it must be 'decisions' or 'architectures'")
        if uniform == "architectures" and self.size == math.inf:
            raise SpaceError("the space is infinite, so no draw is uniform over its architectures; use 'decisions'")
        if self._limits:
            drawn = self._feasible.draw(random, uniform)
            return {label: drawn[label] for label in self._decisions if label in drawn}
        return self._any(random, uniform)

    def _any(self, random: Random, uniform: str) -> Architecture:
        """A draw that looks at no limit."""
        if uniform == "decisions":
            architecture: Architecture = {}
            for label, draw, active in self._plan:
                if active is None or active(architecture):
                    architecture[label] = draw(random)
            return architecture
        labels = [label for label, _, _ in self.positioned]
        drawn = dict(zip(labels, self._census.sample(random), strict=True))
        return {label: copy.deepcopy(drawn[label]) for label in self._decisions if drawn[label] is not INACTIVE}

    def default(self) -> Architecture:
        """The architecture in which each active decision has its default; the same repaired, if limits are missed."""
        default = self._complete({}, _default)
        if not self._limits or self._feasible.holds(default):
            return default
        random = Random(0)
        return self._feasible.repair(default, random) or self.sample(random)

    def grid(self, granularity: int | None = None) -> Iterator[Architecture]:
        """All architectures that keep the limits, each once, lazily, the last decision changing fastest.

        Args:
            granularity: number of values that stand for a continuous range; needed if there is one.

        Raises:
            SpaceError: the granularity is less than 1, or a continuous range needs one.
        """
        if granularity is not None and granularity < 1:
            raise SpaceError(f"granularity is {granularity}; it must be at least 1")
        every = self._grid(granularity)
        return filter(self._feasible.holds, every) if self._limits else every

    def _grid(self, granularity: int | None) -> Iterator[Architecture]:
        """All architectures, but for most of those that miss a limit on a sum."""
        values = cache(lambda label: self[label].grid(granularity))
        possible = self._feasible.prospects([label for label, _, _ in self._plan]) if self._limits else None
        architecture: Architecture = {}
        open_: list[Iterator[Value]] = []  # the values left, of each decision decided so far
        while True:
            if len(open_) == len(self._plan):
                yield {label: plain(value) for label, value in architecture.items()}
            else:
                label, _, active = self._plan[len(open_)]
                exists = active is None or active(architecture)
                open_.append(iter(values(label)) if exists else iter((INACTIVE,)))
            while open_:
                label = self._plan[len(open_) - 1][0]
                architecture.pop(label, None)
                following = next(open_[-1], END)
                if following is END:
                    open_.pop()
                    continue
                if following is not INACTIVE:
                    architecture[label] = following
                if possible is None or possible(architecture, len(open_)):
                    break
            else:
                return

    def validate(self, architecture: Mapping[str, object]) -> Architecture:
        """Return the canonical form of `architecture`: every active label in order, with its canonical value.

        Raises:
            ArchitectureError: a label is unknown, missing or inactive, or a value is not in its domain.
        """
        for label in architecture:
            if label not in self._decisions:
                raise ArchitectureError(self._unknown(label))
        canonical = self._complete({}, lambda decision: _parsed(decision, architecture))
        for label in architecture:
            if label not in canonical:
                raise ArchitectureError(
                    f"decision {label!r} has the value {architecture[label]!r}, but does not exist in this "
                    f"architecture: it does only when {self._decisions[label].condition()}; leave it out"
                )
        return canonical

    def complete(self, values: Mapping[str, Value]) -> Architecture:
        """The architecture with these canonical values where they are active, and defaults elsewhere.

        Limits are not looked at.
        """
        return self._complete(dict(values), _default)

    def decide(self, answer: Callable[[Decision], Value]) -> Architecture:
        """The architecture whose active decisions are answered one after another, parents before children.

        Limits are not looked at.

        Args:
            answer: called once for each decision that exists with the answers so far; gives its canonical value.
        """
        return self._complete({}, answer)

    def active(self, architecture: Architecture) -> list[str]:
        """Labels of the decisions that exist with these answers; the architecture may have labels of other spaces."""
        return [label for label, _, active in self._plan if active is None or active(architecture)]

    def key(self, architecture: Architecture) -> str:
        """A string that two canonical architectures share exactly if they are equal."""
        return json.dumps(architecture, sort_keys=True)

    # --- moves --------------------------------------------------------------------------------------------

    def mutate(self, architecture: Architecture, rng: Random, *, probability: float | None = None) -> Architecture:
        """A copy that differs from `architecture` in at least one decision that both have.

        Decisions that a change calls into being are drawn by their domain; those that it ends are dropped. Under limits
        that such a change rarely keeps, further decisions change until they are kept; where nothing else seems to keep
        them, the result is an architecture like any draw, and can be `architecture` itself.

        Args:
            architecture: canonical.
            rng: the generator.
            probability: None (default): exactly one decision changes, each equally likely. A number from 0 to
                1: each decision changes with this probability, but at least one does.

        Raises:
            SpaceError: no active decision has a second value, or the probability is not from 0 to 1.
        """
        if probability is not None and not 0 <= probability <= 1:
            raise SpaceError(f"probability is {probability}; it must be from 0 to 1, or None")
        if not self._limits:
            return self._mutated(architecture, rng, probability)
        return self._feasible.neighbour(architecture, rng, lambda: self._mutated(architecture, rng, probability))

    def _mutated(self, architecture: Architecture, rng: Random, probability: float | None = None) -> Architecture:
        """A mutation that looks at no limit."""
        movable = [label for label in architecture if self[label].size > 1]
        if not movable:
            raise SpaceError("no decision of this architecture has a second value, so it cannot be mutated")
        first = rng.choice(movable)
        further = [label for label in movable if probability is not None and rng.random() < probability]

        def moved(labels: Iterable[str]) -> Architecture:
            values = {label: self[label].mutate(architecture[label], rng) for label in labels}
            return self._complete({**architecture, **values}, lambda decision: decision.domain.draw(rng))

        mutated = moved([first, *further])
        # A change of several decisions may end all that changed: then the first changes alone.
        if all(mutated.get(label, value) == value for label, value in architecture.items()):
            mutated = moved([first])
        return mutated

    def crossover(self, mother: Architecture, father: Architecture, rng: Random) -> Architecture:
        """A child with each decision from a random one of the parents that have it (drawn, if none has).

        Under limits, a child that misses them is crossed again some times, and then mutated into them.
        """
        if not self._limits:
            return self._crossed(mother, father, rng)
        for _ in range(CROSSINGS):
            child = self._crossed(mother, father, rng)
            if self._feasible.holds(child):
                return child
        return self._feasible.repair(child, rng) or self.sample(rng)

    def _crossed(self, mother: Architecture, father: Architecture, rng: Random) -> Architecture:
        """A child that looks at no limit."""
        parents = (mother, father)
        values = {
            label: rng.choice([parent for parent in parents if label in parent])[label]
            for label in {**mother, **father}
        }
        return self._complete(values, lambda decision: decision.domain.draw(rng))

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """All architectures one step away: one decision moved to a near value, new ones at their default."""
        for label, value in architecture.items():
            for near in self[label].neighbours(value):
                neighbour = self._complete({**architecture, label: near}, _default)
                if not self._limits or self._feasible.holds(neighbour):
                    yield neighbour

    # --- limits -------------------------------------------------------------------------------------------

    @property
    def limits(self) -> tuple[Limit, ...]:
        """What must hold for whole architectures."""
        return self._limits

    def constrain(self, *limits: Limit | Callable[[Architecture], bool]) -> SearchSpace:
        """The same space with further limits; a function of the architecture must be true.

        Raises:
            SpaceError: a limit is on an unknown label, or no architecture keeps them as far as an exact count or
                many draws can tell.
        """
        further = [limit if isinstance(limit, Limit) else rule(limit) for limit in limits]
        limited = SearchSpace(self, limits=(*self._limits, *further))
        limited.sample(0)  # raises where there is none
        return limited

    def violations(self, architecture: Architecture) -> list[str]:
        """The limits that a canonical architecture misses, in words; empty if it keeps them all."""
        missed = [limit for limit in self._limits if limit.excess(architecture)]
        return [f"{limit.describe()}, but it has {limit.cost.of(architecture):,.10g}" for limit in missed]

    def repair(self, architecture: Architecture, rng: Random) -> Architecture:
        """An architecture within the limits that is close to a canonical one: itself, where it keeps them.

        Else it is mutated towards the limits, never away from them; where that leads nowhere, the result is a draw.

        Raises:
            SpaceError: no architecture within the limits was found.
        """
        if not self._limits:
            return architecture
        repaired = self._feasible.repair(architecture, rng)
        if repaired is None:
            return self.sample(rng)
        return repaired

    @property
    def acceptance(self) -> Acceptance:
        """How many of the draws so far kept the limits by themselves."""
        return self._feasible.acceptance

    @cached_property
    def _feasible(self) -> Feasible:
        return Feasible(self.positioned, self._limits, self._any, self._mutated)

    # --- numbers and JSON ---------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Length of `encode`'s result."""
        return sum(d.domain.width + bool(d.when) for d in self)

    def encode(self, architecture: Architecture) -> list[float]:
        """A canonical architecture as `width` numbers in [0, 1], for predictors.

        One-hot or multi-hot for categories, the position for ranges; a decision with a condition has one more
        number in front, 1 where it is active, and is all zeros where it is not.
        """
        code: list[float] = []
        for decision in self:
            active = decision.label in architecture
            if decision.when:
                code.append(float(active))
            code += decision.domain.encode(architecture[decision.label]) if active else [0.0] * decision.domain.width
        return code

    def to_json(self) -> dict[str, Value]:
        """The space as plain JSON; `from_json` gives an equal space back."""
        decisions = []
        for decision in self:
            entry = {"label": decision.label, **decision.domain.to_json()}
            if decision.when:
                entry["when"] = [{label: list(vs) for label, vs in clause.items()} for clause in decision.when]
            decisions.append(entry)
        limits = {"limits": [limit.to_json() for limit in self._limits]} if self._limits else {}
        return {"format": FORMAT, "decisions": decisions, **limits}

    @classmethod
    def from_json(cls, data: Mapping[str, Value]) -> SearchSpace:
        """Read what `to_json` wrote.

        Raises:
            SpaceError: the data is of another format version, or is not a space.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            found = repr(data.get("format")) if isinstance(data, Mapping) else "missing"
            raise SpaceError(f"format is {found}; this version of lanista reads format {FORMAT}")
        decisions = []
        try:
            for entry in data["decisions"]:
                domain = from_json({name: v for name, v in entry.items() if name not in ("label", "when")})
                decisions.append(Decision(entry["label"], domain, entry.get("when", ())))
            limits = [limit_from_json(entry) for entry in data.get("limits", ())]
        except (AttributeError, KeyError, TypeError) as error:
            raise SpaceError(f"this is not a space: {type(error).__name__}: {error}") from error
        return cls(decisions, limits=limits)

    # --- inside -------------------------------------------------------------------------------------------

    def _complete(self, known: Architecture, missing: Callable[[Decision], Value]) -> Architecture:
        """The architecture in which each active decision has its `known` value, or else the `missing` one."""
        architecture: Architecture = {}
        for (label, _, active), decision in zip(self._plan, self, strict=True):
            if active is None or active(architecture):
                architecture[label] = known[label] if label in known else missing(decision)
        return architecture

    def _unknown(self, label: object) -> str:
        close = difflib.get_close_matches(str(label), self._decisions, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"there is no decision {label!r}; the labels are {listed(self.labels)}{hint}"


def _restored(decisions: list[Decision], limits: tuple[Limit, ...]) -> SearchSpace:
    return SearchSpace(decisions, limits=limits)


def format_size(size: int | float) -> str:
    """A number of architectures for people: `15,625`, `3.2e+18`, `infinitely many`."""
    if size == math.inf:
        return "infinitely many"
    return f"{size:,}" if size < 10**9 else f"{Decimal(size):.1e}"


def _default(decision: Decision) -> Value:
    return decision.domain.default()


def _parsed(decision: Decision, architecture: Mapping[str, object]) -> Value:
    if decision.label not in architecture:
        existence = f" (it exists because {decision.condition()})" if decision.when else ""
        raise ArchitectureError(
            f"decision {decision.label!r} has no value{existence}; give {decision.domain.describe()}"
        )
    value = architecture[decision.label]
    try:
        return decision.domain.parse(value)
    except ValueError as error:
        raise ArchitectureError(
            f"decision {decision.label!r} has the value {value!r}: {error}; allowed is {decision.domain.describe()}"
        ) from None
