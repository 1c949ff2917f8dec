"""`Mixture`: several options of a question at once, as differentiable search methods run them.

A method says which options run and how much each counts; a primitive only knows how to run a mixture of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lanista.errors import OneShotError
from lanista.space.domain import Architecture, Value, key

Option: TypeAlias = Callable[..., Tensor]
"""What an option computes: a module, or a function, that returns a tensor."""

Portion: TypeAlias = Callable[..., Tensor]
"""Runs layers on a part of their inputs: called with a function that mixes, layers and inputs, it calls the function
with narrower layers and less, and returns what it makes of the mixture."""

Strengths: TypeAlias = Sequence[Sequence[float]]
"""How strong each option is, from 0: rows of numbers."""

CHANGED = (
    "an input of options that are to be mixed was changed in place, so that not all of them got the same: write "
    "`x = x + ...` instead of `x += ...`, and `F.relu(x)` instead of `F.relu(x, inplace=True)` or `x.relu_()`"
)


@dataclass(frozen=True)
class Mixture:
    """How options are mixed in a forward pass: the sum of the outputs of those that run, times their weights.

    Attributes:
        weights: of shape (rows, options). What does not run has no part in the sum, whatever its weight.
        runs: for each row, the options that run, in ascending order; None: all.
        watched: for each row, options that do not run, and whose weights get the gradient all the same that they
            would have: they are computed in the backward pass, one after another, and keep no memory (ProxylessNAS).
        portion: through what layers are run; None: as they are.
        exact: what runs has the weight 1: the mixture is the sum of the outputs themselves. Nobody asks a GPU for it.
    """

    weights: Tensor
    runs: tuple[tuple[int, ...], ...] | None = None
    watched: tuple[tuple[int, ...], ...] | None = None
    portion: Portion | None = None
    exact: bool = False

    def running(self, row: int) -> Sequence[int]:
        """The options of a row that run."""
        return range(self.weights.shape[1]) if self.runs is None else self.runs[row]

    def mix(self, row: int, options: Sequence[Option], *inputs: Any) -> Tensor:
        """The mixture of what the options of a row make of the inputs; zeros like the first input if none runs."""
        if self.portion is not None and all(isinstance(option, nn.Module) for option in options):
            return self.portion(partial(replace(self, portion=None).mix, row), options, *inputs)
        runs = self.running(row)
        if not runs:
            return torch.zeros_like(inputs[0])
        watched = () if self.watched is None else self.watched[row]
        before = _versions(inputs)
        outputs = [_checked(options[index](*inputs)) for index in runs]
        if len(runs) + len(watched) > 1 and _versions(inputs) != before:
            raise OneShotError(CHANGED)
        if any(output.shape != outputs[0].shape for output in outputs[1:]):
            shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
            raise OneShotError(f"the options that are to be mixed give different shapes: {shapes}")
        if watched or (self.exact and self.weights.requires_grad):
            gates = self.weights[row], list(options), runs, watched, inputs
            return _Gates.apply(*gates, *outputs)  # type: ignore[no-any-return, no-untyped-call]
        if not self.exact:
            outputs = [output * self.weights[row, index] for index, output in zip(runs, outputs, strict=True)]
        return _sum(outputs)


def _sum(outputs: Sequence[Tensor]) -> Tensor:
    """The sum; of one output that itself, not a copy."""
    total = outputs[0]
    for output in outputs[1:]:
        total = total + output
    return total


def _checked(output: object) -> Tensor:
    if not isinstance(output, Tensor):
        raise OneShotError(f"an option that is to be mixed gives a {type(output).__name__}; only tensors can be mixed")
    return output


class _Gates(torch.autograd.Function):
    """The sum of the outputs that run, with gates of 1; backward, it asks what the watched options would change.

    The gradient of a gate is the product of the option's output and the gradient of the sum (arXiv:1812.00332, 3.2).
    """

    @staticmethod
    def forward(
        ctx: Any,
        weights: Tensor,
        options: list[Option],
        runs: Sequence[int],
        watched: Sequence[int],
        inputs: tuple[Any, ...],
        *outputs: Tensor,
    ) -> Tensor:
        ctx.options, ctx.runs, ctx.watched = options, runs, watched
        ctx.inputs = inputs if watched else ()
        ctx.versions = _versions(ctx.inputs)
        kind = outputs[0].device.type
        ctx.autocast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        ctx.save_for_backward(weights, *outputs)
        return _sum(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = gradients[0]
        if _versions(ctx.inputs) != ctx.versions:
            raise OneShotError(CHANGED)
        weights, *outputs = ctx.saved_tensors
        gates = torch.zeros_like(weights)
        for index, output in zip(ctx.runs, outputs, strict=True):
            gates[index] = (output * gradient).sum()
        # a backward pass is made outside the block of autocast that the forward pass was in
        with torch.no_grad(), torch.autocast(*ctx.autocast):
            for index in ctx.watched:
                gates[index] = (ctx.options[index](*ctx.inputs) * gradient).sum()
        if _versions(ctx.inputs) != ctx.versions:
            raise OneShotError(CHANGED)
        return (gates, None, None, None, None, *(gradient for _ in ctx.runs))


def _versions(inputs: tuple[Any, ...]) -> list[int]:
    """What changes when a tensor is changed in place; tensors of inference mode do not count it."""
    return [x._version for x in inputs if isinstance(x, Tensor) and not x.is_inference()]


@dataclass(eq=False)
class Relaxation:
    """A question, or several that belong together, of which all options are there at once.

    Strengths are numbers from 0, one for each option in each row, such as probabilities. A method decides for each row
    on its own, and `pick` makes answers of them.

    Attributes:
        name: the question's label, or what the labels begin with.
        rows: how many choices are made.
        options: between how many, in each row.
        labels: the decisions that are answered.
        pick: the answers, label -> value, that fit strengths best.
        place: the strengths, 0 and whole numbers, that stand for an architecture: what runs, and how often.
        titles: what the options are called.
        drawn: how many options of a row are chosen together.
        rivals: whether rows compete, because in the end few of them count.
        mixture: what the next forward pass does.
    """

    name: str
    rows: int
    options: int
    labels: tuple[str, ...]
    pick: Callable[[Strengths], Architecture]
    place: Callable[[Architecture], list[list[float]]]
    titles: tuple[str, ...]
    drawn: int = 1
    rivals: bool = False
    mixture: Mixture | None = None


class Whole(nn.Module, ABC):
    """A module that has the modules of all options of a question.

    Attributes:
        spliced: whether its parts, and not itself, stand in the list of modules that it is in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spliced = False

    @abstractmethod
    def parts(self) -> dict[str, nn.Module]:
        """The modules that hold weights, by what a supernet adds to this one's own name for them."""


class Collection(Whole):
    """All that a question could build, where it cannot be run at once: a supernet learns its weights from it.

    Args:
        modules: by what a supernet adds to this one's own name for them.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names, self.modules_ = list(modules), nn.ModuleList(modules.values())

    def parts(self) -> dict[str, nn.Module]:
        return dict(zip(self.names, self.modules_, strict=True))


class Mixed(Whole):
    """A module that runs a mixture of its options.

    Args:
        relaxation: says which mixture.
    """

    def __init__(self, relaxation: Relaxation) -> None:
        super().__init__()
        self.relaxation = relaxation

    @property
    def mixture(self) -> Mixture:
        """What is to be run now."""
        return mixture_of(self.relaxation)


def mixture_of(relaxation: Relaxation) -> Mixture:
    """What is to be run now; raises OneShotError where nothing was set."""
    if relaxation.mixture is None:
        raise OneShotError(
            f"{relaxation.name!r} has no mixture to run; a method's step sets one, and so does "
            "`network.select(architecture)`"
        )
    return relaxation.mixture


def exact(strengths: Strengths) -> Mixture:
    """The mixture of the options whose strength is not 0: with strengths of 1, their plain sum."""
    runs = tuple(tuple(index for index, value in enumerate(row) if value) for row in strengths)
    ones = all(value in (0, 1) for row in strengths for value in row)
    return Mixture(torch.tensor([list(row) for row in strengths], device="cpu"), runs, exact=ones)


def strongest(row: Sequence[float], count: int = 1) -> list[int]:
    """The positions of the `count` greatest numbers, in ascending order; the first ones of equal numbers."""
    return sorted(sorted(range(len(row)), key=lambda index: -row[index])[:count])


def one_of(label: str, values: Sequence[Value]) -> Relaxation:
    """The relaxation of a decision for one of several values."""
    position = {key(value): index for index, value in enumerate(values)}

    def pick(strengths: Strengths) -> Architecture:
        return {label: values[strongest(strengths[0])[0]]}

    def place(architecture: Mapping[str, Value]) -> list[list[float]]:
        row = [0.0] * len(values)
        if label in architecture:
            row[position[key(architecture[label])]] = 1.0
        return [row]

    return Relaxation(label, 1, len(values), (label,), pick, place, tuple(map(str, values)))
