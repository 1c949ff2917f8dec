"""Numbers such as widths and window sizes, mixed by masks on the widest weights.

As in FBNetV2 (https://arxiv.org/abs/2004.05565): a smaller model is the widest one with zeros for the weights that it
lacks, so that a mixture of sizes is one pass with each weight times the sum of the shares of the sizes that have it.

A channel goes through two weights, that which makes it and that which sums over it. Where it is enough, only the latter
is masked: what comes out of the sum is then the mixture of what the sizes would give, to the letter, whatever stands
between that keeps channels apart. Whether a decision can be treated so is not guessed: the masked model must give the
outputs of the smaller ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lanista.nn.mixture import Relaxation, exact, one_of
from lanista.oneshot.audit import difference
from lanista.oneshot.binding import Bound, Source, bind
from lanista.oneshot.identity import Key, Mixing, Slot, slots
from lanista.oneshot.slices import Layout, Part, cut, layout, summed
from lanista.oneshot.study import Study
from lanista.oneshot.supernet import Supernet
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Value, is_number, key
from lanista.space.search import SearchSpace

OPTIONS = 16
"""How many sizes a decision may have."""

COMBINATIONS = 64
"""How many combinations of sizes a dimension may have."""

TIMES = 2
"""In how many random architectures each size must be right."""

Sizes: TypeAlias = dict[str, list[Value]]
"""The values of each decision that is mixed by masks."""


@dataclass(eq=False)
class Factor:
    """How much of each entry counts along some dimensions, whose sizes depend on the same decisions.

    Attributes:
        relaxations: of these decisions.
        which: for each combination of their options, in the order of `itertools.product`, the number of its sizes.
        indicators: 1 where a smaller tensor has an entry; of shape (sizes, ...), with 1 for the other dimensions.
    """

    relaxations: list[Relaxation]
    which: Tensor
    indicators: Tensor

    def value(self, device: torch.device) -> Tensor:
        """For the mixtures of now."""
        shares = torch.ones(1, device=device)
        for relaxation in self.relaxations:
            shares = torch.outer(shares, _shares(relaxation).to(device)).flatten()
        if self.indicators.device != device:
            self.indicators, self.which = self.indicators.to(device), self.which.to(device)
        by_size = torch.zeros(len(self.indicators), device=device).index_add(0, self.which, shares)
        value: Tensor = torch.tensordot(by_size, self.indicators, 1)
        return value


def _shares(relaxation: Relaxation) -> Tensor:
    """The weights of a row of sizes; what neither runs nor is watched has none."""
    mixture = relaxation.mixture
    assert mixture is not None
    weights = mixture.weights[0]
    if mixture.runs is None:
        return weights
    counted = [*mixture.runs[0], *(mixture.watched[0] if mixture.watched is not None else ())]
    kept = torch.zeros_like(weights)
    kept[counted] = 1.0
    return weights * kept


@dataclass(eq=False)
class Masked:
    """A tensor times its mask, as a module's table takes it.

    Attributes:
        source: what gives the tensor.
        factors: of the mask.
        mask: for the mixtures of now.
    """

    source: Source
    factors: list[Factor] = field(default_factory=list)
    mask: Tensor = field(default_factory=lambda: torch.ones(()))

    def update(self, device: torch.device) -> None:
        """Compute the mask for the mixtures of now."""
        mask = torch.ones((), device=device)
        for factor in self.factors:
            mask = mask * factor.value(device)
        self.mask = mask

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.source.shape

    @property
    def split(self) -> bool:
        """Whether `view` is a copy."""
        return self.source.split

    @property
    def learns(self) -> bool:
        """Whether gradients go through it."""
        return self.source.learns

    @property
    def identity(self) -> int:
        """Its own."""
        return id(self)

    def read(self) -> Tensor:
        """The tensor times the mask, in the tensor's precision."""
        tensor = self.source.read()
        return tensor * self.mask.to(tensor.dtype)

    def view(self) -> Tensor:
        """The tensor, for what changes it in place."""
        return self.source.view()

    def write(self, value: Tensor) -> None:
        """Replace the tensor."""
        self.source.write(value)


class Masks:
    """The masks of a network.

    Args:
        masked: the tensors whose sizes are mixed.
        relaxations: of the decisions that are mixed so, by label.
        widest: the greatest value of each of these.
    """

    def __init__(
        self,
        masked: Iterable[Masked] = (),
        relaxations: Mapping[str, Relaxation] | None = None,
        widest: Mapping[str, Value] | None = None,
    ) -> None:
        self._masked, self.relaxations, self._widest = list(masked), dict(relaxations or {}), dict(widest or {})

    def place(self, label: str, architecture: Mapping[str, Value]) -> list[list[float]]:
        """The strengths that stand for an architecture; what does not exist in it is as wide as can be."""
        known = architecture if label in architecture else {label: self._widest[label]}
        return self.relaxations[label].place(dict(known))

    def update(self, device: torch.device) -> None:
        """Take note of the mixtures of now."""
        for masked in self._masked:
            masked.update(device)


def find(
    supernet: Supernet,
    model: nn.Module,
    context: Mixing,
    widest: Mapping[str, Value],
    decisions: Sequence[Decision],
) -> tuple[Masks, dict[str, str]]:
    """Mix what is left by masks, as far as that is right; and say why the rest cannot be mixed.

    Args:
        supernet: whose tensors the network uses.
        model: the network, with the greatest numbers, which gets the masks.
        context: under which it was built.
        widest: the answers under which it was built.
        decisions: those that are not mixed yet.
    """
    obstacles: dict[str, str] = dict(context.obstacles)
    sizes: Sizes = {}
    study = Study(supernet, widest)
    for decision in decisions:
        values = list(decision.domain.grid(OPTIONS + 1))
        reason = context.obstacles.get(decision.label) or _reason(decision, values, supernet, context)
        reason = reason or study.effect(decision.label, values)
        if reason is None:
            sizes[decision.label] = values
        else:
            obstacles[decision.label] = reason
    relaxations = {label: one_of(label, values) for label, values in sizes.items()}
    search = _Search(supernet, model, context, study, sizes, relaxations)
    obstacles |= search.too_many()
    if obstacles or not sizes:
        return Masks(), obstacles
    for strategy in (_summing, _making, _every):
        masks = search.masks(strategy)
        reasons = search.wrong(masks)
        if not reasons:
            return masks, {}
    return Masks(), reasons


def _reason(decision: Decision, values: Sequence[Value], supernet: Supernet, context: Mixing) -> str | None:
    """Why a decision is not even tried."""
    if decision.label not in context.asked:
        return "it is not asked where all options are there at once, as in the second operation of a cell's node"
    if not all(is_number(value) for value in values):
        if supernet.space.mutators:
            return "its options are no sizes, and a model that mutators edit has one of its layers at a time"
        return "its options are no layers, inputs, depths or sizes; ask with LayerChoice for one of several layers"
    if len(values) > OPTIONS or decision.domain.size > OPTIONS:
        return f"it has more than {OPTIONS} values; give a list of fewer"
    if supernet.space.example_input is None:
        return "whether its sizes can be mixed is found out by running the model; give ModelSpace an example_input"
    return None


Strategy: TypeAlias = Callable[[Slot, int], bool]
"""Whether a dimension of the tensor at a place is masked."""


def _window(slot: Slot, dim: int) -> bool:
    return layout(slot.owner, slot.role, dim + 1).centred and dim >= 2


def _summing(slot: Slot, dim: int) -> bool:
    return summed(slot.owner, slot.role) == dim or _window(slot, dim)


def _making(slot: Slot, dim: int) -> bool:
    return summed(slot.owner, slot.role) != dim


def _every(slot: Slot, dim: int) -> bool:
    return True


@dataclass
class _Search:
    """Finds a way to mask that is right."""

    supernet: Supernet
    model: nn.Module
    context: Mixing
    study: Study
    sizes: Sizes
    relaxations: Mapping[str, Relaxation]

    def __post_init__(self) -> None:
        self._masked: dict[Key, tuple[Slot, Masked]] = {}
        names = {id(parameter): name for name, parameter in self.supernet.named_parameters()}
        for slot in slots(self.model, self.context):
            if not slot.buffer and any(slot.key in self.study.changes[label] for label in self.sizes):
                table = slot.module._parameters
                source: Source | None = table.parts.get(slot.name) if isinstance(table, Bound) else None
                if source is None:
                    tensor = slot.tensor
                    kind = layout(slot.owner, slot.role, tensor.dim())
                    source = Part(self.supernet, names[id(tensor)], tuple(tensor.shape), kind)
                self._masked[slot.key] = slot, Masked(source)
        for slot, masked in self._masked.values():
            bind(slot.module, {slot.name: masked})

    def too_many(self) -> dict[str, str]:
        """The decisions that have too many combinations, and where."""
        return {
            label: f"{slot.key.path!r} has too many sizes, with {labels}"
            for slot, _ in self._masked.values()
            for labels, _ in self._groups(slot, _every)
            if torch.Size([len(self.sizes[label]) for label in labels]).numel() > COMBINATIONS
            for label in labels
        }

    def masks(self, strategy: Strategy) -> Masks:
        """Mask what a strategy says."""
        for slot, masked in self._masked.values():
            masked.factors = [self._factor(slot, *group) for group in self._groups(slot, strategy)]
        widest = {label: max(values) for label, values in self.sizes.items()}
        return Masks([masked for _, masked in self._masked.values()], self.relaxations, widest)

    def _groups(self, slot: Slot, strategy: Strategy) -> list[tuple[list[str], list[int]]]:
        """The dimensions of a tensor that are masked, by the decisions that they depend on: each is in one group."""
        groups: list[tuple[set[str], set[int]]] = []
        for dim in range(slot.tensor.dim()):
            labels = {label for label in self.sizes if dim in self.study.changes[label].get(slot.key, ())}
            if labels and strategy(slot, dim):
                near = [group for group in groups if group[0] & labels]
                groups = [group for group in groups if group not in near]
                groups.append((labels.union(*(group[0] for group in near)), {dim}.union(*(group[1] for group in near))))
        return [([label for label in self.sizes if label in labels], sorted(dims)) for labels, dims in groups]

    def _factor(self, slot: Slot, labels: Sequence[str], dims: Sequence[int]) -> Factor:
        whole = tuple(slot.tensor.shape)
        kind = layout(slot.owner, slot.role, len(whole))
        found: dict[tuple[tuple[int, tuple[int, ...] | None], ...], int] = {}
        which = []
        for values in product(*(self.sizes[label] for label in labels)):
            changed = dict(zip(labels, values, strict=True))
            which.append(found.setdefault(tuple(self.study.part(slot.key, dim, changed) for dim in dims), len(found)))
        indicators = []
        for sizes in found:
            indicator = torch.ones([1] * len(whole))
            for dim, (size, entries) in zip(dims, sizes, strict=True):
                indicator = indicator * _indicator(whole, dim, size, kind, entries)
            indicators.append(indicator)
        return Factor([self.relaxations[label] for label in labels], torch.tensor(which), torch.stack(indicators))

    def wrong(self, masks: Masks) -> dict[str, str]:
        """The decisions for which the masked network does not give what the smaller models give, and why."""

        def select(architecture: Architecture) -> nn.Module:
            for relaxation in self.context.relaxations.values():
                relaxation.mixture = exact(relaxation.place(architecture))
            for label, relaxation in masks.relaxations.items():
                relaxation.mixture = exact(masks.place(label, architecture))
            masks.update(self.supernet.device)
            return self.model

        space, random = self.supernet.space.decisions, Random(0)
        if difference(self.supernet, _samples(space, self.sizes, random), select) is None:
            return {}
        reasons = {}
        for label, values in self.sizes.items():
            alone = {other: [max(self.sizes[other])] for other in self.sizes} | {label: values}
            found = difference(self.supernet, _samples(space, alone, random), select)
            if found is not None:
                reasons[label] = (
                    f"with {found[0].get(label)!r} the model is not the widest one with zeros in it ({found[1]}); a "
                    "layer between depends on the size in another way (a normalisation over it, a scale, a stride)"
                )
        together = f"sizes that go one by one do not go together, such as those of {', '.join(map(repr, self.sizes))}"
        return reasons or dict.fromkeys(self.sizes, together)


def _indicator(whole: tuple[int, ...], dim: int, size: int, kind: Layout, entries: tuple[int, ...] | None) -> Tensor:
    """1 for the entries that a smaller tensor has along a dimension; of as many dimensions as the tensor."""
    shape = [1] * len(whole)
    shape[dim] = whole[dim]
    positions = torch.arange(whole[dim]).reshape(shape)
    shape[dim] = size
    chunks = tuple(chunks if other == dim else 1 for other, chunks in enumerate(kind.chunks))
    kept = cut(positions, shape, Layout(chunks, kind.centred), () if entries is None else ((dim, entries),))
    indicator = torch.zeros(whole[dim])
    indicator[kept.flatten()] = 1.0
    shape[dim] = whole[dim]
    return indicator.reshape(shape)


def _samples(space: SearchSpace, sizes: Mapping[str, Sequence[Value]], random: Random) -> Iterator[Architecture]:
    """Random architectures that have each of the sizes several times, in other company."""
    left = {(label, key(value)): TIMES for label, values in sizes.items() for value in values}
    for _ in range(4 * TIMES * max(map(len, sizes.values()), default=0)):
        drawn = space.sample(random)
        chosen = {}
        for label in sizes.keys() & drawn.keys():
            values = list(sizes[label])
            random.shuffle(values)
            chosen[label] = max(values, key=lambda value: left[label, key(value)])
        if any(left[label, key(value)] > 0 for label, value in chosen.items()):
            for label, value in chosen.items():
                left[label, key(value)] -= 1
            yield space.validate({**drawn, **chosen})
