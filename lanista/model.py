"""`ModelSpace`: a callable that builds a model and asks questions on the way."""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from lanista.errors import LanistaError, SpaceError
from lanista.serialize import dumps
from lanista.space.context import HOW_TO_CONDITION, Fixed, Trace, answering
from lanista.space.domain import Architecture, Categorical, Domain, Integer, Value
from lanista.space.search import SearchSpace

PROBE_SECONDS = 1.0
"""How long tracing looks for questions that appear only with some answers. What it does not find, `build` does."""

PROBED_VALUES = 8
"""How many values of one decision such a probe tries."""

UNBUILDABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What constructors raise on the meta device, or for answers that do not go together."""


class ModelSpace:
    """All the models that a callable can build, one for each set of answers to the questions that it asks.

    The callable is called once or a few times now, on torch's meta device where that is possible (no memory, no
    random numbers used), to learn the questions; and once for each `build`. It must ask the same questions whenever
    it gets the same answers. Instances are immutable and can be pickled, also when the callable is a lambda or comes
    from a notebook.

    Args:
        callable: builds a `torch.nn.Module`; a module class or a function.
        args: positional arguments for it.
        example_input: a tensor, or a tuple of positional inputs, that the model can be run on. Needed when an
            InputChoice is to count its candidates; used to check exported code.
        kwargs: keyword arguments for it.

    Attributes:
        decisions: the search space, pure data.
        example_input: as given.

    Raises:
        SpaceError: the callable is a built module, does not return one, or asks questions that do not fit together.
    """

    decisions: SearchSpace

    def __init__(
        self,
        callable: Callable[..., nn.Module],
        /,
        *args: Any,
        example_input: Tensor | tuple[Any, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(callable, nn.Module):
            raise SpaceError(
                f"ModelSpace got a built {type(callable).__name__}; give what builds it (the class or a function, "
                f"and its arguments): ModelSpace({type(callable).__name__}, ...)"
            )
        self._callable, self._args, self._kwargs = callable, args, kwargs
        self.example_input = example_input
        traced, self._counts = self._count()
        self.decisions = traced.space()
        self._probe(traced)

    def build(self, architecture: Mapping[str, Value]) -> nn.Module:
        """Build the model of `architecture`: the module that a person would have written, nothing of lanista in it.

        Weights come from torch's global generator: two builds after the same `torch.manual_seed` are equal.

        Args:
            architecture: label -> value for every active decision, in any form that `SearchSpace.validate` reads.

        Raises:
            ArchitectureError: it does not fit the space, or the callable asks a question that the space does not know.
        """
        canonical = self.decisions.validate(architecture)
        with self.answers(canonical):
            return self.create()

    @contextmanager
    def answers(self, architecture: Architecture) -> Iterator[None]:
        """Answer what is asked in the `with` block from a canonical architecture, which may have further labels.

        Raises:
            ArchitectureError: on leaving, if a decision of this space was not asked for.
        """
        context = Fixed(architecture, self._counts)
        with answering(context):
            yield
        context.finish(label for label in architecture if label in self.decisions)

    def create(self) -> nn.Module:
        """Call the callable under whoever answers now (see `answers`); without anybody, with all defaults."""
        model = self._callable(*self._args, **self._kwargs)
        if not isinstance(model, nn.Module):
            raise SpaceError(
                f"{getattr(self._callable, '__qualname__', self._callable)} returned {model!r} "
                f"({type(model).__name__}); a model space must build a torch.nn.Module"
            )
        return model

    def sample(self, seed: int | Random) -> Architecture:
        """A random architecture; see `SearchSpace.sample`."""
        return self.decisions.sample(seed)

    def __repr__(self) -> str:
        name = getattr(self._callable, "__qualname__", repr(self._callable))
        return f"ModelSpace({name}: {self.decisions!r})"

    def __reduce__(self) -> tuple[Callable[[bytes], ModelSpace], tuple[bytes]]:
        return _restored, (dumps(self.__dict__),)

    def _trace(self, answers: Mapping[str, Value], counts: Mapping[str, int]) -> Trace:
        """Ask all questions once; run the model where an InputChoice must see its inputs.

        What is built here is thrown away: it is built on the meta device, or for real where a constructor needs real
        numbers; without a trace in torch's generator, or a word about weights that the meta device has no room for.
        """
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            try:
                with torch.device("meta"):
                    return self._asked(answers, counts)
            except LanistaError:
                raise
            except UNBUILDABLE:
                return self._asked(answers, counts)

    def _asked(self, answers: Mapping[str, Value], counts: Mapping[str, int]) -> Trace:
        context = Trace(answers, counts)
        with answering(context):
            model = self.create()
            if context.uncounted and self.example_input is not None:
                _run(model, self.example_input)
        return context

    def _count(self) -> tuple[Trace, dict[str, int]]:
        """Trace, once more for each InputChoice that must be run to learn its number of candidates."""
        counts: dict[str, int] = {}
        answers: dict[str, Value] = {}
        tried: set[str] = set()
        while True:
            traced = self._trace(answers, counts)
            counts.update(traced.counted)
            if not traced.uncounted:
                return traced, counts
            waiting = [label for label in traced.uncounted if label not in counts]
            untried = [label for label in waiting if label not in tried]
            if waiting and (self.example_input is None or not untried):
                remedy = (
                    "give n_candidates, or ModelSpace(..., example_input=tensor)"
                    if self.example_input is None
                    else "the forward pass never reaches it with the example input; give n_candidates"
                )
                raise SpaceError(
                    f"InputChoice {waiting[0]!r} does not know how many candidates it has: {remedy}"
                )
            if untried:
                tried.add(untried[0])
                answers = {label: values[0] for label, values in traced.uncounted[untried[0]].items()}
            else:
                answers = {}

    def _probe(self, traced: Trace) -> None:
        """Look for questions that a plain `if` hides: give each value another answer, and see what is asked."""
        deadline = time.monotonic() + PROBE_SECONDS
        for label, question in traced.questions.items():
            for value in _others(question.domain) if question.seen else ():
                if time.monotonic() > deadline:
                    return
                try:
                    probed = self._trace({label: value}, self._counts)
                except LanistaError:
                    raise
                except UNBUILDABLE:
                    continue  # this answer does not go with the defaults of the others
                for here, there, when in (
                    (probed, traced, value),
                    (traced, probed, question.domain.default()),
                ):
                    hidden = next((q for q in here.questions if q not in there.questions), None)
                    if hidden is not None:
                        raise SpaceError(
                            f"decision {hidden!r}, asked at {here.questions[hidden].place}, appears only with some "
                            f"answers to {label!r} (such as {when!r}). {HOW_TO_CONDITION}"
                        )


def _restored(data: bytes) -> ModelSpace:
    space = ModelSpace.__new__(ModelSpace)
    space.__dict__.update(pickle.loads(data))
    return space


def _others(domain: Domain) -> list[Value]:
    """Some values beside the default, ends first."""
    if not isinstance(domain, Categorical | Integer):
        return []
    values = domain.grid()
    others = [values[i] for i in range(min(len(values), PROBED_VALUES))]
    return [value for value in [values[-1], *others] if value != domain.default()][:PROBED_VALUES]


def _run(model: nn.Module, example: Tensor | tuple[Any, ...]) -> None:
    """Forward pass without gradients, on the device that the model was built on."""
    inputs = example if isinstance(example, tuple) else (example,)
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    with torch.no_grad():
        model.eval()(*(value.to(device) if isinstance(value, Tensor) else value for value in inputs))
