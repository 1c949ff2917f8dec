"""`ModelSpace`: a callable that builds a model and asks questions on the way."""

from __future__ import annotations

import pickle
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lanista.errors import InvalidMutation, LanistaError, SpaceError
from lanista.graph.duplicate import duplicate, sketch
from lanista.graph.graph import ModelGraph
from lanista.graph.history import Mutation
from lanista.graph.mutator import Mutator
from lanista.serialize import dumps
from lanista.space.context import Fixed, Trace, answering
from lanista.space.domain import Architecture, Value, is_number
from lanista.space.explanation import Explanation, explain
from lanista.space.limit import Cost, Limit, rule
from lanista.space.probe import UNBUILDABLE, probe
from lanista.space.search import SearchSpace

T = TypeVar("T")


class Quantity(ABC):
    """Something that built models have an amount of, known without training: `lanista.profile` has the usual ones.

    Comparing it with a number makes a limit for `ModelSpace.constrain`: `parameters <= 5e6`.

    Attributes:
        name: a word, for tables and messages.
        unit: what it is counted in; empty for plain numbers.
    """

    name: str
    unit: str = ""

    @abstractmethod
    def cost(self, space: ModelSpace) -> Cost:
        """The amount as a function of the architectures of `space`."""

    def __le__(self, most: float) -> Bound:
        return Bound(self, None, self._number(most))

    def __ge__(self, least: float) -> Bound:
        return Bound(self, self._number(least), None)

    def _number(self, value: float) -> float:
        if not is_number(value):
            unit = f" of {self.unit}" if self.unit else ""
            raise SpaceError(f"{self.name} is compared with {value!r}; give a number{unit}")
        return float(value)


@dataclass(frozen=True)
class Bound:
    """A limit on a quantity, such as `parameters <= 5e6`.

    Attributes:
        quantity: what is limited.
        least: the least amount allowed, or None.
        most: the greatest amount allowed, or None.
    """

    quantity: Quantity
    least: float | None
    most: float | None


class ModelSpace:
    """All the models that a callable can build, one for each set of answers to the questions that it asks.

    The callable is called once or a few times now, on torch's meta device where that is possible (no memory,
    no random numbers used), to learn the questions; and once for each `build`. It must ask the same questions
    whenever it gets the same answers, and build all its modules itself: one that it gets from outside is shared
    by all models. Instances are immutable and can be pickled, also when the callable is a lambda or comes
    from a notebook.

    With mutators, the model is then edited as a graph: each build gives a `torch.fx.GraphModule`, in which the
    parts that no mutator touched keep their names and weights.

    Args:
        builder: the callable, which returns a `torch.nn.Module`; a module class or a function. With mutators
            also a built module, which is copied, with its weights, for each build.
        args: positional arguments for it.
        example_input: a tensor, or a tuple of positional inputs, that the model can be run on. Needed when an
            InputChoice is to count its candidates; used to check exported code, and the shapes after each edit of
            a mutator.
        mutators: what edits the model, in this order; see `lanista.graph.Mutator`. They may ask questions.
        leaves: classes of modules that mutators see as one node each, because torch.fx cannot trace through
            them, or is not to.
        kwargs: keyword arguments for it.

    Attributes:
        decisions: the search space, pure data.
        example_input: as given.

    Raises:
        SpaceError: the callable is none or a built module, does not return one, or asks questions that do not
            fit together; or mutators are to edit a model that torch.fx cannot trace.
        InvalidMutation: an edit fails where all questions have their default answers.
    """

    decisions: SearchSpace

    def __init__(
        self,
        builder: Callable[..., nn.Module],
        /,
        *args: Any,
        example_input: Tensor | tuple[Any, ...] | None = None,
        mutators: Sequence[Mutator] = (),
        leaves: Sequence[type[nn.Module]] = (),
        **kwargs: Any,
    ) -> None:
        if isinstance(builder, nn.Module) and not mutators:
            kind = type(builder).__name__
            raise SpaceError(
                f"ModelSpace got a built {kind}; give what builds it (the class or a function, and its "
                f"arguments): ModelSpace({kind}, ...); or mutators that edit it: ModelSpace(model, mutators=[...])"
            )
        if isinstance(builder, nn.Module) and (args or kwargs):
            raise SpaceError("ModelSpace got a built module and arguments for it; give arguments with what builds it")
        if isinstance(mutators, Mutator) or not all(isinstance(mutator, Mutator) for mutator in mutators):
            raise SpaceError(f"mutators is {mutators!r}; give a list of instances of lanista.graph.Mutator")
        if not callable(builder):
            raise SpaceError(f"ModelSpace got {builder!r}; give a callable that builds a torch.nn.Module")
        self._callable, self._args, self._kwargs = builder, args, kwargs
        self._mutators, self._leaves = tuple(mutators), tuple(leaves)
        self._costs: dict[Quantity, Cost] = {}
        self.example_input = example_input
        traced, self._counts = self._count()
        self.decisions = traced.space()
        probe(traced, lambda answers: self._trace(answers, self._counts))

    def build(self, architecture: Mapping[str, Value]) -> nn.Module:
        """Build the model of `architecture`: the module that a person would have written, without lanista.

        Weights come from torch's global generator: two builds after the same `torch.manual_seed` are equal.

        Args:
            architecture: label -> value for every active decision, in any form that `SearchSpace.validate`
                reads.

        Raises:
            ArchitectureError: it does not fit the space, or the callable asks a question that the space does
                not know.
        """
        canonical = self.decisions.validate(architecture)
        with self.answers(canonical):
            return self.create()

    @contextmanager
    def answers(self, architecture: Architecture, kind: type[Fixed] = Fixed) -> Iterator[Fixed]:
        """Answer what is asked in the `with` block from a canonical architecture, which may have more labels.

        Args:
            architecture: canonical.
            kind: class of the context that answers, which the block is given.

        Raises:
            ArchitectureError: on leaving, if a decision of this space was not asked for.
        """
        context = kind(architecture, self._counts, space=self.decisions)
        with answering(context):
            yield context
        context.finish(self.decisions.active(architecture))

    def create(self) -> nn.Module:
        """Call the callable under whoever answers now (see `answers`); without anybody, with all defaults."""
        return self._mutated().module() if self._mutators else self._base()

    def history(self, architecture: Mapping[str, Value]) -> list[Mutation]:
        """What each mutator chooses and does in the model of `architecture`: pure data, and printable.

        Raises:
            ArchitectureError: as `build`.
        """
        canonical = self.decisions.validate(architecture)

        def build() -> list[Mutation]:
            with self.answers(canonical):
                return self._mutated().history

        return self.apart(build)

    def sketch(self, architecture: Mapping[str, Value]) -> nn.Module:
        """The model of `architecture` without weights: on torch's meta device, where the callable can bear that.

        It has all modules and shapes, costs no memory for weights, and draws no random numbers.

        Raises:
            ArchitectureError: as `build`.
        """
        return self.apart(lambda: self.build(architecture))

    def sample(self, seed: int | Random) -> Architecture:
        """A random architecture that keeps the limits; see `SearchSpace.sample`."""
        return self.decisions.sample(seed)

    def cost(self, quantity: Quantity) -> Cost:
        """A quantity as a function of architectures; learnt once (a sum over decisions where it is one)."""
        if quantity not in self._costs:
            self._costs[quantity] = quantity.cost(self)
        return self._costs[quantity]

    def constrain(self, *limits: Bound | Limit | Callable[[Architecture], bool]) -> ModelSpace:
        """The same space with limits: `space.constrain(parameters <= 5e6, lambda a: a["width"] != 24)`.

        Whatever chooses an architecture of it keeps the limits, so every strategy does. Where a quantity turns out
        to be a sum over decisions, as parameters and operations often are, draws are exact and cheap: a draw of the
        unlimited space, given that the limits hold. Other limits are kept by rejecting draws, and by mutating
        towards the limits after too many rejections; `decisions.acceptance` tells how often. `build` builds
        architectures that miss the limits too.

        Args:
            limits: comparisons of quantities with numbers; limits on architectures; or functions of an
                architecture that must be true (quick, and always with the same answer).

        Raises:
            SpaceError: no architecture keeps the limits, as far as an exact count or many draws can tell.
        """
        limited = ModelSpace.__new__(ModelSpace)
        limited.__dict__.update(self.__dict__)  # the costs that were learnt, too
        limited.decisions = self.decisions.constrain(*map(self._limit, limits))
        return limited

    def explain(self, *wanted: Quantity | Bound | Limit) -> Explanation:
        """What architectures cost, and how many keep which limits, before anything is spent; print it.

        Args:
            wanted: quantities to report, and limits to try beside those that the space has.
        """
        limits = [self._limit(limit) for limit in wanted if not isinstance(limit, Quantity)]
        costs = [self.cost(quantity) for quantity in wanted if isinstance(quantity, Quantity)]
        return explain(self.decisions, costs, limits)

    def _limit(self, limit: Bound | Limit | Callable[[Architecture], bool]) -> Limit:
        if isinstance(limit, Bound):
            return Limit(self.cost(limit.quantity), limit.least, limit.most)
        if isinstance(limit, Limit):
            return limit
        if not callable(limit):
            raise SpaceError(f"the limit is {limit!r}; give a comparison, such as parameters <= 5e6, or a function")
        return rule(limit)

    @property
    def mutators(self) -> tuple[Mutator, ...]:
        """What edits the model, in this order."""
        return self._mutators

    @property
    def name(self) -> str:
        """Name of the callable, or of the class of the built module."""
        return getattr(self._callable, "__qualname__", None) or type(self._callable).__name__

    def __repr__(self) -> str:
        return f"ModelSpace({self.name}: {self.decisions!r})"

    def __reduce__(self) -> tuple[Callable[[bytes], ModelSpace], tuple[bytes]]:
        return _restored, (dumps({**self.__dict__, "_costs": {}}),)  # a measured cost holds the space itself

    def _base(self) -> nn.Module:
        """The model that mutators get, under whoever answers now."""
        if isinstance(self._callable, nn.Module):
            throwaway = torch.get_default_device().type == "meta"
            return sketch(self._callable) if throwaway else duplicate(self._callable)
        model = self._callable(*self._args, **self._kwargs)
        if not isinstance(model, nn.Module):
            raise SpaceError(
                f"{self.name} returned {model!r} ({type(model).__name__}); a model space must build a torch.nn.Module"
            )
        return model

    def _mutated(self) -> ModelGraph:
        graph = ModelGraph(self._base(), example_input=self.example_input, leaves=self._leaves)
        for mutator in self._mutators:
            mutator.apply(graph)
        return graph

    def _trace(self, answers: Mapping[str, Value], counts: Mapping[str, int]) -> Trace:
        """Ask all questions once; run the model where an InputChoice must see its inputs."""
        return self.apart(lambda: self._asked(answers, counts))

    def apart(self, build: Callable[[], T]) -> T:
        """What `build` gives, where the models that it builds are thrown away.

        They are built on the meta device, or for real where a constructor needs real numbers; without a trace in
        torch's generator, or a word about weights that the meta device has no room for.
        """
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            try:
                with torch.device("meta"):
                    return build()
            except InvalidMutation:  # on the meta device, tensors that forward makes may not go with others
                return build()
            except LanistaError:
                raise
            except UNBUILDABLE:
                return build()

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
            unknown = [label for label in traced.uncounted if label not in counts]
            untried = [label for label in unknown if label not in tried]
            if unknown and (self.example_input is None or not untried):
                remedy = (
                    "give n_candidates, or ModelSpace(..., example_input=tensor)"
                    if self.example_input is None
                    else "the forward pass never reaches it with the example input; give n_candidates"
                )
                raise SpaceError(f"InputChoice {unknown[0]!r} does not know how many candidates it has: {remedy}")
            # The answers under which the forward pass reaches it; none if the next trace counts all.
            condition = traced.uncounted[untried[0]] if untried else {}
            answers = {label: values[0] for label, values in condition.items()}
            tried.update(untried[:1])


def _restored(data: bytes) -> ModelSpace:
    space = ModelSpace.__new__(ModelSpace)
    space.__dict__.update(pickle.loads(data))
    return space


def _run(model: nn.Module, example: Tensor | tuple[Any, ...]) -> None:
    """Forward pass without gradients, on the device that the model was built on."""
    inputs = example if isinstance(example, tuple) else (example,)
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(*(value.to(device) if isinstance(value, Tensor) else value for value in inputs))
    finally:
        for module, training in modes:  # some may be the caller's
            module.training = training
