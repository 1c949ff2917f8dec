"""`Collapse`: signs that a search ended in an architecture for no good reason.

Differentiable methods are known to prefer options without parameters, whose gradients are useful before the weights of
the others are (Zela et al.: Understanding and Robustifying Differentiable Architecture Search. ICLR 2020,
https://arxiv.org/abs/1909.09656). Nobody should get a network of skip connections unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lanista.nn.mixture import Strengths
from lanista.oneshot.identity import Path
from lanista.oneshot.network import Network
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture, Value, key

SURPRISE = 0.05
"""What a uniform draw has with less than this probability is reported."""

ALL = 3
"""So many decisions, all for options of one kind, are reported however likely that is."""

SETTLED = 0.05
"""A row has collapsed if its entropy is less than this part of the greatest possible one."""

EARLY = 0.5
"""Before this part of the search, rows must not have collapsed."""

OPTIONS = 32
"""Decisions with more values are not looked at."""


class Weight(IntEnum):
    """What an option does, from the least."""

    NOTHING = 0
    """It gives zeros, or what it got."""
    LITTLE = 1
    """It has no parameters, as a pooling."""
    SOMETHING = 2
    """It has parameters."""


@dataclass(frozen=True)
class Share:
    """How many of an architecture's decisions are for options of a kind.

    Attributes:
        kind: the options, in words.
        labels: the decisions that are.
        total: how many decisions have options of this kind and others.
        expected: how many would be for this kind in a uniform draw, on average.
        chance: the probability that a uniform draw has at least as many.
    """

    kind: str
    labels: tuple[str, ...]
    total: int
    expected: float
    chance: float

    @property
    def suspicious(self) -> bool:
        """Whether so many are hardly an accident, or all are of this kind."""
        return self.chance < SURPRISE or (self.total >= ALL and len(self.labels) == self.total)


@dataclass(frozen=True)
class Collapse:
    """Signs of a collapse.

    Attributes:
        shares: of the options that do nothing, and of those without parameters.
        blind: whether the model gives the same for different inputs.
        entropy: the mean entropy of the strengths, from 0 to 1, relative to that of equal ones; None: not known.
        settled: whether all rows of strengths have collapsed, and too early.
        progress: how much of the search was done, from 0 to 1.
    """

    shares: tuple[Share, ...]
    blind: bool = False
    entropy: float | None = None
    settled: bool = False
    progress: float = 1.0

    @property
    def messages(self) -> list[str]:
        """The signs that there are, in words; empty if there are none."""
        found: list[str] = []
        reported: tuple[str, ...] = ()
        for share in self.shares:
            if share.suspicious and share.labels != reported:
                reported = share.labels
                found.append(
                    f"{len(reported)} of {share.total} decisions are for options that {share.kind}; a uniform draw has "
                    f"{share.expected:.1f} on average, and at least as many with probability {share.chance:.2g}: "
                    + ", ".join(reported)
                )
        if self.blind:
            found.append("the model gives the same for different inputs: no path leads through it")
        if self.settled:
            found.append(
                f"after {self.progress:.0%} of the search all decisions are made: the entropy of strengths is "
                f"{self.entropy:.1%} of that of equal ones; what comes later hardly counts; try a smaller learning rate"
            )
        return found


def collapse(
    network: Network,
    architecture: Architecture,
    strengths: Mapping[str, Strengths] | None = None,
    progress: float = 1.0,
) -> list[str]:
    """Warnings in words about a collapse; empty if there is no sign of one. See `diagnose`."""
    return diagnose(network, architecture, strengths, progress).messages


def diagnose(
    network: Network,
    architecture: Architecture,
    strengths: Mapping[str, Strengths] | None = None,
    progress: float = 1.0,
) -> Collapse:
    """Look for signs of a collapse.

    What options do is measured: whether they have parameters, and where the space has an `example_input`, whether they
    give zeros, or what they got, for random inputs.

    Args:
        network: of the supernet that was searched, in any mode, which stays.
        architecture: a canonical one, such as the best that was found.
        strengths: of the options, such as probabilities, by name of each relaxation.
        progress: how much of the search is done, from 0 to 1.
    """
    space = network.supernet.space.decisions
    weights = _weights(network.supernet, architecture)
    shares = []
    for kind, words in ((Weight.NOTHING, "give zeros or what they get"), (Weight.LITTLE, "have no parameters")):
        chances, labels = [], []
        for label, options in weights.items():
            light = [value for value, weight in options if weight <= kind]
            if 0 < len(light) < len(options):
                chances.append(sum(space[label].probability(value) for value in light))
                if any(key(value) == key(architecture[label]) for value in light):
                    labels.append(label)
        shares.append(Share(words, tuple(labels), len(chances), sum(chances), _at_least(len(labels), chances)))
    entropies = _entropies(strengths or {})
    return Collapse(
        tuple(shares),
        _blind(network.supernet, architecture),
        sum(entropies) / len(entropies) if entropies else None,
        _settled(entropies, progress),
        progress,
    )


def premature(strengths: Mapping[str, Strengths], progress: float) -> str | None:
    """A warning, if all rows of strengths have collapsed and too early; see `diagnose`."""
    entropies = _entropies(strengths)
    if not _settled(entropies, progress):
        return None
    return Collapse((), False, sum(entropies) / len(entropies), True, progress).messages[0]


def _entropies(strengths: Mapping[str, Strengths]) -> list[float]:
    return [_entropy(row) for known in strengths.values() for row in known if len(row) > 1]


def _settled(entropies: list[float], progress: float) -> bool:
    return bool(entropies) and progress < EARLY and max(entropies) < SETTLED


def _at_least(count: int, chances: list[float]) -> float:
    """The probability that at least so many of independent events happen."""
    numbers = [1.0]
    for chance in chances:
        numbers = [a * (1 - chance) + b * chance for a, b in zip([*numbers, 0.0], [0.0, *numbers], strict=True)]
    return math.fsum(numbers[count:])


def _entropy(row: Any) -> float:
    """From 0 to 1."""
    total: float = sum(row)
    if not total:
        return 1.0
    shares = [value / total for value in row if value > 0]
    return -math.fsum(share * math.log(share) for share in shares) / math.log(len(row))


class _Answering(Path):
    """Remembers which modules came of which question."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules: dict[str, list[nn.Module]] = {}

    def answered(self, label: str, module: object) -> None:
        if isinstance(module, nn.Module):
            self.modules.setdefault(label, []).append(module)


def _weights(supernet: Supernet, architecture: Architecture) -> dict[str, list[tuple[Value, Weight]]]:
    """What each option of each decision that an architecture has does, where modules came of the question."""
    space = supernet.space.decisions
    options = {label: list(space[label].grid()) for label in architecture if space[label].size <= OPTIONS}
    found: dict[str, dict[object, Weight]] = {label: {} for label in options}
    for variant in _variants(architecture, options):
        changed = space.decide(lambda d: variant.get(d.label, d.domain.default()))  # noqa: B023 (used at once)
        left = [label for label in changed if label in found and key(changed[label]) not in found[label]]
        if left:
            for label, weight in _measured(supernet, changed, left).items():
                found[label][key(changed[label])] = weight
    return {
        label: [(value, found[label][key(value)]) for value in values]
        for label, values in options.items()
        if len(found[label]) == len(values)
    }


def _variants(architecture: Architecture, options: Mapping[str, list[Value]]) -> Iterator[Architecture]:
    """The architecture, and others with all options: of all decisions together, then one by one, for hidden ones."""
    yield architecture
    for index in range(max(map(len, options.values()), default=0)):
        yield {**architecture, **{label: values[index % len(values)] for label, values in options.items()}}
    for label, values in options.items():
        for value in values:
            yield {**architecture, label: value}


def _measured(supernet: Supernet, architecture: Architecture, labels: list[str]) -> dict[str, Weight]:
    """What the chosen options of these decisions do."""
    model, context = supernet.skeleton(architecture, _Answering)
    supernet.bind(model, context)
    came = {label: context.modules[label] for label in labels if label in context.modules}
    light = {
        module: (Weight.LITTLE, label)
        for label, modules in came.items()
        for module in modules
        if not any(True for _ in module.parameters())
    }
    idle = _idle(supernet, model, list(light))
    return {
        label: Weight.SOMETHING
        if any(module not in light for module in modules)
        else max(Weight.NOTHING if module in idle else Weight.LITTLE for module in modules)
        for label, modules in came.items()
    }


def _idle(supernet: Supernet, model: nn.Module, modules: list[nn.Module]) -> set[nn.Module]:
    """Which of these modules give zeros, or what they got."""
    idle: set[nn.Module] = set()

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point():
            handles.pop(module).remove()
            given = torch.rand(inputs[0].shape, generator=generator, device="cpu").to(inputs[0]) - 0.5
            gives = module(given)
            if isinstance(gives, Tensor) and (not gives.any() or torch.equal(gives, given)):
                idle.add(module)

    generator = torch.Generator().manual_seed(0)
    handles = {module: module.register_forward_hook(look) for module in modules}
    if _inputs(supernet, 0) is not None:
        with torch.no_grad():
            model.eval()(*_inputs(supernet, 0) or ())
    return idle


def _inputs(supernet: Supernet, seed: int) -> tuple[Any, ...] | None:
    """Inputs like the space's example, but random numbers for floating-point ones; None if there is no example."""
    example = supernet.example
    if example is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(value.shape, generator=generator, device="cpu").to(value)
        if isinstance(value, Tensor) and value.is_floating_point()
        else value
        for value in example
    )


def _blind(supernet: Supernet, architecture: Architecture) -> bool:
    """Whether an architecture's model gives the same for different floating-point inputs."""
    first, second = _inputs(supernet, 0), _inputs(supernet, 1)
    if first is None or second is None:
        return False
    if not any(isinstance(value, Tensor) and value.is_floating_point() for value in first):
        return False
    model, context = supernet.skeleton(architecture, Path)
    supernet.bind(model, context)
    model.eval()
    with torch.no_grad():
        outputs = [pytree.tree_leaves(model(*inputs)) for inputs in (first, second)]
    return all(torch.equal(a, b) for a, b in zip(*outputs, strict=True) if isinstance(a, Tensor))
