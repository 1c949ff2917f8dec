"""`Mutator`: edits of a model's graph that ask questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from lanista.errors import InvalidMutation, SpaceError
from lanista.graph.graph import ModelGraph
from lanista.graph.history import Mutation
from lanista.graph.section import Section
from lanista.space.context import Context, Scope, answering, choice, current, integer, real
from lanista.space.domain import Categorical, Domain, Integer, Value, is_integer
from lanista.space.limit import Limit

T = TypeVar("T")


class _Recorder(Context):
    """Hands questions on to another context, and writes the answers down."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.answers: dict[str, Value] = {}

    @property
    def scope(self) -> Scope:
        return self._context.scope

    def name(self, kind: str, label: str | None) -> str:
        return self._context.name(kind, label)

    @contextmanager
    def inside(self, label: str, part: object, values: Sequence[Value] = ()) -> Iterator[None]:
        with self._context.inside(label, part, values):
            yield

    def decide(self, label: str, domain: Domain, *, seen: bool = False) -> Value:
        answer = self.answers[label] = self._context.decide(label, domain, seen=seen)
        return answer

    def answered(self, label: str, module: object) -> None:
        self._context.answered(label, module)

    def visits(self, parts: Iterable[T], chosen: Iterable[T], *, once: Hashable = None) -> list[T]:
        return self._context.visits(parts, chosen, once=once)

    def part(self, place: str, build: Callable[[], T], *, moves: bool = False) -> T:
        return self._context.part(place, build, moves=moves)

    def refuse(self, labels: Iterable[str], obstacle: str, *, whole: bool = False) -> bool:
        self._context.refuse(labels, obstacle)
        return False

    def require(self, limit: Limit) -> None:
        self._context.require(limit)

    def inputs(self, label: str, given: int | None) -> int | None:
        return self._context.inputs(label, given)

    def observer(self, label: str) -> Callable[[int], None] | None:
        return self._context.observer(label)


@dataclass
class _Session:
    """One mutator at work on one graph."""

    mutator: Mutator
    graph: ModelGraph
    name: str
    recorder: _Recorder
    scope: Scope
    questions: int = 0

    def label(self, kind: str, label: str | None) -> str:
        if label is not None:
            return self.recorder.name(kind, f"{self.name}/{label}" if label and isinstance(label, str) else label)
        if self.recorder.scope is not self.scope:  # in an alternative, a repetition, a candidate of a LayerChoice
            return self.recorder.name(kind, None)
        self.questions += 1
        return self.name if self.questions == 1 else f"{self.name}/{self.questions}"


_session: ContextVar[_Session] = ContextVar("lanista_mutator")


class Mutator(ABC):
    """Changes a model that was not written for it: it finds nodes of its graph, asks, and edits.

    Override `mutate`. Questions go through `self.choice` and its like; those of `lanista.nn` and `lanista.space`
    work too, and give modules to put in (`node.replace(LayerChoice({...}))`). They are named after the mutator:
    with `label="m"`, the first question is `m` and the next ones are `m/2`, `m/3`, ...; one with a label of its
    own, `self.choice([3, 5], label="kernel")`, is `m/kernel`. Inside of `one_of`, `repeat` and `LayerChoice`,
    questions without a label are numbered in the alternative, copy or candidate that they belong to.

    As everywhere, a question that depends on an earlier answer must not stand behind a plain `if`: write
    alternatives as `one_of`, repetitions as `repeat`, and layers with questions of their own as `LayerChoice`.

    Instances must not change while they mutate: one serves many builds.

    Args:
        label: names the mutator and its questions. None: the name of the class and a running number. Two
            mutators with one label ask the same questions.
    """

    label: str | None = None

    def __init__(self, *, label: str | None = None) -> None:
        self.label = label

    @abstractmethod
    def mutate(self, graph: ModelGraph) -> None:
        """Edit `graph`. The same answers must lead to the same edits."""

    def apply(self, graph: ModelGraph) -> None:
        """Mutate `graph` under whoever answers now, and note in its history what was chosen and done.

        Raises:
            InvalidMutation: an edit failed; the message names the mutator and the node.
        """
        context = current()
        recorder = _Recorder(context)
        name = context.name(type(self).__name__, self.label)
        before = len(graph.draft.edits)
        with answering(recorder), context.inside(name, None):
            token = _session.set(_Session(self, graph, name, recorder, context.scope))
            try:
                self.mutate(graph)
            except InvalidMutation as error:
                raise InvalidMutation(f"mutator {name!r} ({type(self).__qualname__}): {error}") from error
            finally:
                _session.reset(token)
        edits = tuple(graph.draft.edits[before:])
        graph.history.append(Mutation(name, type(self).__qualname__, recorder.answers, edits))

    # --- questions ----------------------------------------------------------------------------------------

    def choice(
        self,
        candidates: Sequence[T] | Mapping[str, T],
        *,
        prior: Sequence[float] | None = None,
        label: str | None = None,
    ) -> T:
        """Ask for one of several values; see `lanista.choice`. A callable comes back as it is, not called."""
        return choice(candidates, prior=prior, label=self._at_work().label("choice", label))

    def integer(self, low: int, high: int, *, step: int = 1, log: bool = False, label: str | None = None) -> int:
        """Ask for an integer; see `lanista.integer`."""
        return integer(low, high, step=step, log=log, label=self._at_work().label("integer", label))

    def real(self, low: float, high: float, *, log: bool = False, label: str | None = None) -> float:
        """Ask for a real number; see `lanista.real`."""
        return real(low, high, log=log, label=self._at_work().label("real", label))

    def one_of(self, edits: Mapping[str, Callable[[], object]], *, label: str | None = None) -> None:
        """Ask for one of several edits and make it: `self.one_of({"keep": lambda: None, "drop": node.delete})`.

        Questions that an edit asks exist only where it is chosen.

        Args:
            edits: callables without arguments, by name. The first is the default.
            label: name of the decision, below the mutator's.

        Raises:
            SpaceError: no edit, or one that is not callable.
        """
        if not isinstance(edits, Mapping) or not all(map(callable, edits.values())):
            raise SpaceError(f"edits is {edits!r}; give a mapping of names to callables without arguments")
        session = self._at_work()
        name = session.label("one_of", label)
        chosen = session.recorder.decide(name, Categorical(list(edits)))
        others = [part for part in session.recorder.visits(edits, [chosen]) if part != chosen]
        for part in (*others, chosen):
            with self._part(name, part, [part], made=part == chosen):
                edits[part]()

    def repeat(
        self,
        section: Section,
        depth: tuple[int, int] | Sequence[int],
        edit: Callable[[Section, int], object] | None = None,
        *,
        label: str | None = None,
    ) -> None:
        """Ask how many times a section is there, one after another; see `Section.repeat`.

        Args:
            section: what is repeated.
            depth: `(least, greatest)`, both included; or a list of numbers. The default is the first.
            edit: called for each repetition, with its section and index (0 is the original). Questions that it
                asks without a label are asked for each anew; with a label, they are one for all.
            label: name of the decision, below the mutator's.

        Raises:
            SpaceError: a depth is negative or not an integer.
        """
        session = self._at_work()
        domain: Domain = Integer(*depth) if isinstance(depth, tuple) and len(depth) == 2 else Categorical(list(depth))
        depths = domain.grid()
        if not all(is_integer(d) and d >= 0 for d in depths):
            raise SpaceError(f"depth is {depth!r}; give a pair (least, greatest) or a list, of integers of at least 0")
        name = session.label("repeat", label)
        chosen = session.recorder.decide(name, domain)
        if edit is None:
            section.repeat(chosen)
            return
        visited = session.recorder.visits(range(max(depths)), range(chosen))
        for index in (index for index in visited if index >= chosen):
            with self._part(name, index, [d for d in depths if d > index], made=False):
                edit(section.repeat(index + 1)[index], index)
        for index, copy in enumerate(section.repeat(chosen)):
            with self._part(name, index, [d for d in depths if d > index], made=True):
                edit(copy, index)

    @contextmanager
    def _part(self, label: str, part: object, values: Sequence[Value], *, made: bool) -> Iterator[None]:
        """Make edits that belong to some answers of a question; take them back if that is not the answer given."""
        session = self._at_work()
        draft = session.graph.draft
        mark = draft.mark()
        try:
            with session.recorder.inside(label, part, values):
                yield
        except InvalidMutation:
            if made:
                raise  # otherwise this answer does not go with the others of this trace, and with other ones it may
        if not made:
            draft.rollback(mark)

    def _at_work(self) -> _Session:
        session = _session.get(None)
        if session is None or session.mutator is not self:
            raise SpaceError(
                f"{type(self).__name__} asks a question, but is not mutating; ask inside of `mutate`, and give the "
                "mutator to ModelSpace(..., mutators=[...])"
            )
        return session
