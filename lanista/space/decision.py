"""`Decision`: a question with a name, and the conditions under which it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lanista.errors import SpaceError
from lanista.space.domain import Domain, Value, key, listed, plain

Clause = Mapping[str, Sequence[Value]]
"""label -> values: true when each of these decisions is active and has one of its values."""


@dataclass(frozen=True)
class Decision:
    """A question with a name.

    Attributes:
        label: its name, unique in the space.
        domain: the values it can take.
        when: the decision is active if any of these clauses is true; always, if there is none.
    """

    label: str
    domain: Domain
    when: tuple[Clause, ...] = ()

    def __init__(self, label: str, domain: Domain, when: Clause | Iterable[Clause] = ()) -> None:
        clauses = [
            {parent: tuple(map(plain, values)) for parent, values in clause.items()}
            for clause in ([when] if isinstance(when, Mapping) else when)
        ]
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "domain", domain)
        # A clause that asks for nothing is always true.
        object.__setattr__(self, "when", tuple(clauses) if all(clauses) else ())

    def condition(self) -> str:
        """When the decision is active, in words; empty if always."""
        return " or ".join(
            " and ".join(f"{label} is {' or '.join(map(repr, values))}" for label, values in clause.items())
            for clause in self.when
        )


def ordered(decisions: Sequence[Decision]) -> list[Decision]:
    """Parents before children, otherwise in the given order; checks labels, domains and conditions."""
    known: dict[str, Decision] = {}
    for decision in decisions:
        if not isinstance(decision.label, str) or not decision.label:
            raise SpaceError(f"label {decision.label!r} is not a non-empty string")
        if decision.label in known:
            raise SpaceError(f"label {decision.label!r} is there twice; labels must differ")
        if not isinstance(decision.domain, Domain):
            raise SpaceError(
                f"the domain of {decision.label!r} is {decision.domain!r}; give a Domain, such as Categorical([16, 32])"
            )
        known[decision.label] = decision
    for decision in decisions:
        for parent, value in ((p, v) for clause in decision.when for p, vs in clause.items() for v in vs):
            if parent in known and not _is_canonical(value, known[parent].domain):
                raise SpaceError(
                    f"the condition of {decision.label!r} says {parent!r} is {value!r}; allowed is "
                    f"{known[parent].domain.describe()}"
                )
        unknown = [parent for clause in decision.when for parent in clause if parent not in known]
        if unknown:
            raise SpaceError(f"the condition of {decision.label!r} names {unknown[0]!r}, which does not exist")
    ordered: list[Decision] = []
    placed: set[str] = set()
    waiting = list(decisions)
    while waiting:
        ready = next((d for d in waiting if all(parent in placed for clause in d.when for parent in clause)), None)
        if ready is None:
            circle = listed([decision.label for decision in waiting])
            raise SpaceError(f"the conditions of {circle} depend on each other in a circle")
        waiting.remove(ready)
        placed.add(ready.label)
        ordered.append(ready)
    return ordered


def _is_canonical(value: Value, domain: Domain) -> bool:
    try:
        return key(domain.parse(value)) == key(value)
    except ValueError:
        return False


def close(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions, each as soon after its parents as can be: that keeps the census's states few."""
    waiting = {d.label: {parent for clause in d.when for parent in clause} for d in decisions}
    children: dict[str, list[Decision]] = {decision.label: [] for decision in decisions}
    for decision in decisions:
        for parent in waiting[decision.label]:
            children[parent].append(decision)
    order: list[Decision] = []
    ready = [decision for decision in reversed(decisions) if not decision.when]
    while ready:
        decision = ready.pop()
        order.append(decision)
        for child in reversed(children[decision.label]):
            waiting[child.label].remove(decision.label)
            if not waiting[child.label]:
                ready.append(child)
    return order
