"""Who answers when a model that is being built asks a question.

The asking side (`choice`, `integer`, `real` here; `LayerChoice` and its kin in `lanista.nn`) calls
`current()` and knows nothing else. The answering side is a `Context`, set for a block of code with
`answering`:

* no context: each question gets its default, so that the user's own `Net()` is a working model;
* `Trace`: defaults, and every question is written down with the condition under which it was asked;
* `Fixed`: what an architecture says.
"""

from __future__ import annotations

import copy
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar, cast

from lanista.errors import ArchitectureError, SpaceError
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical, Domain, Integer, Real, Value, key
from lanista.space.limit import Limit
from lanista.space.search import SearchSpace

T = TypeVar("T")
R = TypeVar("R")

Condition = dict[str, tuple[Value, ...]]
"""label -> values: true when each of these decisions has one of its values."""


@dataclass
class Scope:
    """A part of the model that has automatic labels of its own, and the answers under which it is built."""

    prefix: str
    condition: Condition
    questions: int = 0

    @property
    def possible(self) -> bool:
        """Whether its condition can be true: not in a candidate of `a` inside of another candidate of `a`."""
        return all(self.condition.values())


class Context(ABC):
    """Answers questions while a model is built. One instance serves one build, in one thread.

    Args:
        prefix: put before automatic labels.
    """

    def __init__(self, prefix: str = "") -> None:
        self._scopes = [Scope(prefix, {})]

    @property
    def scope(self) -> Scope:
        """The innermost scope."""
        return self._scopes[-1]

    def name(self, kind: str, label: str | None) -> str:
        """The label of a question: the given one, or `<scope>/<kind><running number in the scope>`."""
        if label is None:
            self.scope.questions += 1
            return f"{self.scope.prefix}{kind}{self.scope.questions}"
        if not isinstance(label, str) or not label:
            raise SpaceError(f"label is {label!r}; give a non-empty string, or None for an automatic label")
        return label

    @contextmanager
    def inside(self, label: str, part: object, values: Sequence[Value] = ()) -> Iterator[None]:
        """Build a part of question `label`, which exists if the answer is one of `values` (none: always).

        A `part` that is None stands for all that is named after `label`.
        """
        condition = dict(self.scope.condition)
        if values:
            earlier = condition.get(label)
            keys = set(map(key, values))
            condition[label] = tuple(values if earlier is None else (v for v in earlier if key(v) in keys))
        self._scopes.append(Scope(f"{label}/" if part is None else f"{label}/{part}/", condition))
        try:
            yield
        finally:
            self._scopes.pop()

    @abstractmethod
    def decide(self, label: str, domain: Domain, *, seen: bool = False) -> Value:
        """The answer to the question `label`, a canonical value of `domain`.

        `seen` says that the user's code sees the answer, and might ask other questions depending on it.
        """

    @abstractmethod
    def require(self, limit: Limit) -> None:
        """Take note of a limit on the answers."""

    def answered(self, label: str, module: object) -> None:  # noqa: B027 (most contexts need not know)
        """Learn which module came of the question `label`."""

    def visits(self, parts: Iterable[T], chosen: Iterable[T], *, once: Hashable = None) -> list[T]:
        """Which parts of a question must be built: only the chosen ones, except where all must be seen.

        With equal `once`, the parts ask the same in the same scope, so that nobody must see them twice.
        """
        return list(chosen)

    def part(self, place: str, build: Callable[[], T], *, moves: bool = False) -> T:
        """A part of the model, built unless whoever answers has it already.

        In a supernet, parts of two models share weights if they stand for the same.

        Args:
            place: tells the part from others that may stand where it stands, such as the other candidates.
            build: makes it.
            moves: whether `place` alone says what it stands for, whatever its name in the module that holds it.
        """
        return build()

    def given(self, place: str, module: object) -> None:  # noqa: B027 (most contexts need not know)
        """Learn of a module that can be chosen at a place, whether it is or not: it may be in the model anyway.

        Of modules that are built only if they are chosen, it is told then.
        """

    def relax(self, label: str, make: Callable[[], R], obstacle: str | None = None) -> R | None:
        """What says how to mix all options of a question; None if one of them is wanted.

        Args:
            label: name of what is mixed; the same for all places that are mixed in the same way.
            make: makes it, where it is not known yet.
            obstacle: why these options cannot be mixed, where that is so.
        """
        return None

    def sliced(self, tensor: object, kept: Mapping[int, object]) -> None:  # noqa: B027 (most contexts need not know)
        """Learn which entries of a full tensor a part of it has, along each dimension that was cut."""

    def refuse(self, labels: Iterable[str], obstacle: str, *, whole: bool = False) -> bool:
        """Learn why the options of some decisions cannot be mixed.

        With `whole`, they can at least be built together: that is wanted where True comes back.
        """
        return False

    def inputs(self, label: str, given: int | None) -> int | None:
        """Number of candidates of an InputChoice that was told `given`; None if nobody knows it yet."""
        return given

    def observer(self, label: str) -> Callable[[int], None] | None:
        """Whom to tell the number of candidates once a forward pass shows it; None if nobody wants to."""
        return None


class Defaults(Context):
    """Answers when nobody else does. Stateless, so that it can be shared."""

    def name(self, kind: str, label: str | None) -> str:
        return label or kind

    @contextmanager
    def inside(self, label: str, part: object, values: Sequence[Value] = ()) -> Iterator[None]:
        yield

    def decide(self, label: str, domain: Domain, *, seen: bool = False) -> Value:
        return domain.default()

    def require(self, limit: Limit) -> None:
        """Nothing is asked of defaults."""


@dataclass
class Question:
    """A question as it was asked.

    Attributes:
        domain: the answers allowed.
        place: file and line in the user's code.
        seen: whether that code sees the answer.
        clauses: under which other answers it was asked, each time; none if these exclude each other.
    """

    domain: Domain
    place: str
    seen: bool
    clauses: list[Condition]


class Trace(Context):
    """Gives the default, or the answer that `answers` prescribes, and writes every question down.

    Args:
        answers: label -> value, for questions that should not get their default.
        counts: label -> number of candidates, for each InputChoice that does not know its own.
        prefix: put before automatic labels.
    """

    def __init__(self, answers: Mapping[str, Value], counts: Mapping[str, int], prefix: str = "") -> None:
        super().__init__(prefix)
        self._answers = answers
        self._counts = counts
        self.questions: dict[str, Question] = {}
        self.limits: list[Limit] = []
        self._visited: set[Hashable] = set()
        self.uncounted: dict[str, Condition] = {}
        self.counted: dict[str, int] = {}

    def decide(self, label: str, domain: Domain, *, seen: bool = False) -> Value:
        question = self.questions.get(label)
        if question is None:
            question = self.questions[label] = Question(domain, _place(), seen, [])
        elif question.domain != domain:
            raise SpaceError(
                f"label {label!r} is asked twice with different answers allowed: "
                f"{question.domain.describe()} at {question.place}, and {domain.describe()} at {_place()}. "
                "One label is one decision: give the second another label, or equal candidates"
            )
        question.seen |= seen
        if self.scope.possible:
            question.clauses.append(self.scope.condition)
        return domain.parse(self._answers[label]) if label in self._answers else domain.default()

    def require(self, limit: Limit) -> None:
        # Parts with one label state one limit.
        if self.scope.possible and limit not in self.limits:
            self.limits.append(limit)

    def visits(self, parts: Iterable[T], chosen: Iterable[T], *, once: Hashable = None) -> list[T]:
        if once is None:
            return list(parts)
        conditions = frozenset((label, key(list(values))) for label, values in self.scope.condition.items())
        seen = (once, self.scope.prefix, conditions) in self._visited
        self._visited.add((once, self.scope.prefix, conditions))
        return list(chosen if seen else parts)

    def inputs(self, label: str, given: int | None) -> int | None:
        count = given or self._counts.get(label)
        if count is None and self.scope.possible:
            self.uncounted[label] = self.scope.condition
        return count

    def observer(self, label: str) -> Callable[[int], None]:
        def observe(count: int) -> None:
            if self.counted.setdefault(label, count) != count:
                raise SpaceError(
                    f"InputChoice {label!r} is called with {self.counted[label]} inputs and with {count}; "
                    "one label is one decision: always give as many, or another label"
                )

        return observe

    def space(self) -> SearchSpace:
        """The questions as a search space."""
        domains = {label: question.domain for label, question in self.questions.items()}
        decisions = [
            Decision(label, question.domain, _simplified(question.clauses, domains))
            for label, question in self.questions.items()
            if question.clauses
        ]
        return SearchSpace(decisions, limits=self.limits)


class Fixed(Context):
    """Gives the answers of a canonical architecture, and notices questions that the space does not know.

    Args:
        architecture: canonical.
        counts: as for `Trace`.
        prefix: put before automatic labels.
        space: where it is given, the domains of its decisions must be those that the questions have.
    """

    def __init__(
        self,
        architecture: Architecture,
        counts: Mapping[str, int],
        prefix: str = "",
        *,
        space: SearchSpace | None = None,
    ) -> None:
        super().__init__(prefix)
        self._architecture = architecture
        self._space = SearchSpace() if space is None else space
        self._counts = counts
        self._asked: set[str] = set()

    def decide(self, label: str, domain: Domain, *, seen: bool = False) -> Value:
        if label not in self._architecture:
            raise ArchitectureError(
                f"decision {label!r}, asked at {_place()}, appears only with some answers "
                f"({self._answers()}), and the space does not know it. {HOW_TO_CONDITION}"
            )
        self._asked.add(label)
        answer = self._architecture[label]
        if label not in self._space:
            return domain.parse(answer)
        known = self._space[label]
        # Most questions are asked with the very domain that the trace met; comparing it would take half of the time.
        if known is not domain and known != domain:
            raise ArchitectureError(
                f"decision {label!r}, asked at {_place()}, allows {domain.describe()} with these answers "
                f"({self._answers()}), and {known.describe()} otherwise. {HOW_TO_FIX_CANDIDATES}"
            )
        return copy.deepcopy(answer) if isinstance(answer, list | dict) else answer

    def require(self, limit: Limit) -> None:
        """Whoever chose the architecture kept the limits, or did not want to."""

    def inputs(self, label: str, given: int | None) -> int | None:
        return given or self._counts.get(label)

    def finish(self, labels: Iterable[str]) -> None:
        """Raise ArchitectureError if one of `labels` was never asked for."""
        unasked = [label for label in labels if label not in self._asked]
        if unasked:
            raise ArchitectureError(
                f"decision {unasked[0]!r} was not asked for with these answers ({self._answers()}), though "
                f"the space says that it exists then. {HOW_TO_CONDITION}"
            )

    def _answers(self) -> str:
        return ", ".join(f"{label}={value!r}" for label, value in self._architecture.items())


HOW_TO_CONDITION = (
    "A question inside a plain `if` cannot be seen before the answer is given: put the branch into a "
    "callable candidate, LayerChoice({'plain': Plain, 'wide': lambda: Wide(choice([2, 4], label='x'))}); "
    "or into Repeat(block, depth=(0, 1)), which needs the depths themselves, not a choice among them; "
    "or ask the question always, and use its answer only in the branch"
)

HOW_TO_FIX_CANDIDATES = (
    "The candidates of one decision cannot depend on another answer: ask for something that always has the "
    "same ones, such as a ratio, or put each case into a callable candidate, under a label of its own"
)

_context: ContextVar[Context | None] = ContextVar("lanista_context", default=None)
_DEFAULTS = Defaults()


def current() -> Context:
    """Whoever answers here and now."""
    return _context.get() or _DEFAULTS


@contextmanager
def answering(context: Context) -> Iterator[None]:
    """Let `context` answer all questions that are asked inside of the `with` block."""
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def choice(
    candidates: Sequence[T] | Mapping[str, T], *, prior: Sequence[float] | None = None, label: str | None = None
) -> T:
    """Ask for one of several values; the answer is the plain candidate itself.

    Args:
        candidates: JSON values (numbers, strings, booleans, None, lists or tuples of these), or a mapping of
            names to anything: `choice({"relu": nn.ReLU, "gelu": nn.GELU})`. The first is the default.
        prior: a positive weight for each candidate, how often it is drawn relative to the others; None: all equally
            often.
        label: name of the decision; questions with equal labels are one decision.

    Raises:
        SpaceError: no candidate, two equal ones, or one that is not JSON and has no name; a prior that does not
            fit; or another question has this label and other candidates.
    """
    if isinstance(candidates, str) or not isinstance(candidates, Sequence | Mapping):
        raise SpaceError(f"candidates is {candidates!r}; give a list of values, or a mapping of names to values")
    objects = list(candidates.values() if isinstance(candidates, Mapping) else candidates)
    domain = Categorical(candidates, prior)
    context = current()
    chosen = context.decide(context.name("choice", label), domain, seen=True)
    return objects[domain.index(chosen)]


def integer(low: int, high: int, *, step: int = 1, log: bool = False, label: str | None = None) -> int:
    """Ask for an integer from `low` to `high`, both included. The default is `low`.

    Args:
        low: least value.
        high: greatest value.
        step: distance between values, counted from `low`.
        log: draw on the log scale (needs `low >= 1`).
        label: name of the decision.

    Raises:
        SpaceError: the range is empty or not of integers, or the label is taken by another domain.
    """
    context = current()
    domain = Integer(low, high, step, log)
    return cast(int, context.decide(context.name("integer", label), domain, seen=True))


def real(low: float, high: float, *, log: bool = False, label: str | None = None) -> float:
    """Ask for a real number from `low` to `high`. The default is the middle (of the log scale, with `log`).

    Args:
        low: least value.
        high: greatest value.
        log: draw on the log scale (needs `low > 0`), as for a learning rate.
        label: name of the decision.

    Raises:
        SpaceError: the range is empty or not finite, or the label is taken by another domain.
    """
    context = current()
    return cast(float, context.decide(context.name("real", label), Real(low, high, log), seen=True))


def require(limit: Limit) -> None:
    """State a limit on the answers to questions that were asked, such as which cells are valid.

    The limit must hold where a decision that it looks at does not exist.
    """
    current().require(limit)


def _place() -> str:
    """File and line of the innermost frame that is not lanista's own."""
    frame = sys._getframe(1)
    own = __name__.partition(".")[0]
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] in (own, "contextlib"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _simplified(clauses: Sequence[Condition], domains: Mapping[str, Domain]) -> list[Condition]:
    """An equivalent shorter condition: clauses that differ in one decision are joined; [] if always true."""
    left: list[Condition] = []
    for clause in clauses:
        _join(left, clause, domains)
    return [] if {} in left else left


def _join(clauses: list[Condition], clause: Condition, domains: Mapping[str, Domain]) -> None:
    """Add a clause, merged as far as it goes."""
    # Clauses come from nested scopes: where one names a decision, it also names those that this one depends
    # on. So a decision that may have any of its values says no more than that it is active: it is left out.
    new = {label: values for label, values in clause.items() if len(values) < domains[label].size}
    for old in clauses:
        if old.keys() <= new.keys() and all(_within(new[label], values) for label, values in old.items()):
            return
        differing = [label for label in new if old.keys() == new.keys() and not _same(old[label], new[label])]
        if len(differing) == 1:
            [label] = differing
            union = {key(value): value for value in (*old[label], *new[label])}
            clauses.remove(old)
            _join(clauses, {**new, label: tuple(union.values())}, domains)
            return
    clauses.append(new)


def _within(values: Sequence[Value], others: Sequence[Value]) -> bool:
    return set(map(key, values)) <= set(map(key, others))


def _same(values: Sequence[Value], others: Sequence[Value]) -> bool:
    return _within(values, others) and _within(others, values)
