"""Numbers such as widths and window sizes, mixed by masks on the widest weights.

As in FBNetV2 (https://arxiv.org/abs/2004.05565): a smaller model is the widest one with zeros for the weights that it
lacks, so that a mixture of sizes is one pass with each weight times the sum of the shares of the sizes that have it.
Whether a decision can be treated so is not guessed: the masked model must give the outputs of the smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from lanista.nn.mixture import Relaxation, exact, one_of
from lanista.oneshot.binding import bind
from lanista.oneshot.identity import Key, Mixing, Slot, slots
from lanista.oneshot.slices import Layout, cut, layout
from lanista.oneshot.supernet import Supernet
from lanista.space.decision import Decision
from lanista.space.domain import Value, is_number
from lanista.space.search import SearchSpace

OPTIONS = 16
"""How many sizes a decision may have."""

COMBINATIONS = 64
"""How many combinations of sizes one tensor may have."""

TOLERANCE = 1e-4
"""How far outputs may differ, relative to the greatest: sums with zeros in them are rounded otherwise."""


@dataclass(eq=False)
class Mask:
    """How much of each entry of a tensor counts.

    Attributes:
        relaxations: of the decisions that its shape depends on.
        which: for each combination of their options, in the order of `itertools.product`, the number of its shape.
        indicators: of shape (shapes, *the tensor's): 1 where a smaller tensor has an entry.
        value: for the mixtures of now.
    """

    relaxations: list[Relaxation]
    which: Tensor
    indicators: Tensor
    value: Tensor = field(default_factory=lambda: torch.empty(0))

    def update(self, device: torch.device) -> None:
        """Compute the value for the mixtures of now."""
        shares = torch.ones(1, device=device)
        for relaxation in self.relaxations:
            shares = torch.outer(shares, _shares(relaxation).to(device)).flatten()
        if self.indicators.device != device:
            self.indicators, self.which = self.indicators.to(device), self.which.to(device)
        by_shape = torch.zeros(len(self.indicators), device=device).index_add(0, self.which, shares)
        self.value = torch.tensordot(by_shape, self.indicators, 1)


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


class Masks:
    """The masks of a network.

    Args:
        masks: for each tensor whose shape is mixed.
        relaxations: of the decisions that are mixed so, by label.
        supernet: whose tensors they are for.
    """

    def __init__(
        self,
        masks: Iterable[Mask],
        relaxations: Mapping[str, Relaxation] | None = None,
        supernet: Supernet | None = None,
    ) -> None:
        self._masks, self.relaxations, self._supernet = list(masks), dict(relaxations or {}), supernet

    def update(self) -> None:
        """Take note of the mixtures of now."""
        if self._supernet is not None:
            for mask in self._masks:
                mask.update(self._supernet.device)


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
    obstacles: dict[str, str] = {}
    sizes: dict[str, list[Value]] = {}
    for decision in decisions:
        reason = _reason(decision, context, supernet)
        if reason is None:
            sizes[decision.label] = list(decision.domain.grid(OPTIONS + 1))
        else:
            obstacles[decision.label] = reason
    study = _Study(supernet, widest)
    for label in list(sizes):
        reason = study.effect(label, sizes[label])
        if reason is not None:
            obstacles[label] = reason
            del sizes[label]
    relaxations = {label: one_of(label, values) for label, values in sizes.items()}
    masks = []
    for slot in slots(model, context.placed):
        labels = [label for label in sizes if slot.key in study.changes[label]]
        if not labels or slot.buffer:
            continue
        if torch.Size([len(sizes[label]) for label in labels]).numel() > COMBINATIONS:
            obstacles.update(dict.fromkeys(labels, f"{slot.key.path!r} has too many sizes, with {labels}"))
            continue
        masks.append(_masked(supernet, slot, study, {label: sizes[label] for label in labels}, relaxations))
    found = Masks(masks, {label: relaxations[label] for label in sizes if label not in obstacles}, supernet)
    for label in found.relaxations:
        reason = None if obstacles else _check(supernet, model, context, found, label, sizes)
        if reason is not None:
            obstacles[label] = reason
            break
    return found, obstacles


def _reason(decision: Decision, context: Mixing, supernet: Supernet) -> str | None:
    """Why a decision is not even tried."""
    for name, reason in context.obstacles.items():
        if decision.label == name or (name.rpartition("/")[2].isdigit() and _belongs(decision.label, name)):
            return reason
    values = list(decision.domain.grid(OPTIONS + 1))
    if not all(is_number(value) for value in values):
        return "its options are no layers, inputs, depths or sizes; ask with LayerChoice for one of several layers"
    if len(values) > OPTIONS or decision.domain.size > OPTIONS:
        return f"it has more than {OPTIONS} values; give a list of fewer"
    if supernet.space.example_input is None:
        return "whether its sizes can be mixed is found out by running the model; give ModelSpace an example_input"
    return None


def _belongs(label: str, node: str) -> bool:
    """Whether a decision is one of a cell's node: `cell/op_2_0` of `cell/2`."""
    cell, _, number = node.rpartition("/")
    return any(label.startswith(f"{cell}/{what}_{number}_") for what in ("op", "input"))


class _Study:
    """What each number changes: networks with other numbers are built and compared."""

    def __init__(self, supernet: Supernet, widest: Mapping[str, Value]) -> None:
        self.changes: dict[str, set[Key]] = {}
        self._supernet, self._widest = supernet, dict(widest)
        self._known: dict[tuple[tuple[str, Value], ...], dict[Key, tuple[int, ...]]] = {}
        self._training: dict[tuple[tuple[str, Value], ...], list[object]] = {}

    def shapes(self, changed: Mapping[str, Value]) -> dict[Key, tuple[int, ...]]:
        """The shapes of all tensors, where these numbers are not the greatest."""
        name = tuple(sorted(item for item in changed.items() if item[1] != self._widest[item[0]]))
        if name not in self._known:
            model, context = self._supernet.skeleton({**self._widest, **changed}, Mixing)
            self._known[name] = {slot.key: tuple(slot.tensor.shape) for slot in slots(model, context.placed)}
            self._training[name] = [
                module.p if isinstance(module, _DropoutNd) else module.momentum
                for module in model.modules()
                if isinstance(module, _DropoutNd | _NormBase)
            ]
        return self._known[name]

    def effect(self, label: str, values: Sequence[Value]) -> str | None:
        """Learn which tensors a decision changes, or why it cannot be mixed."""
        full = self.shapes({})
        self.changes[label] = set()
        for value in values:
            found = self.shapes({label: value})
            if found.keys() != full.keys():
                return "it changes which layers there are; ask with Repeat or LayerChoice"
            if any(a > b for name in full for a, b in zip(found[name], full[name], strict=True)):
                return f"with {value!r} a tensor is larger than with the greatest value"
            self.changes[label] |= {name for name in full if found[name] != full[name]}
        if not self.changes[label]:
            return "it changes the size of no weight (as a stride, a rate or a dilation does not)"
        if len({tuple(map(str, rates)) for rates in self._training.values()}) > 1:
            return "it changes a dropout rate or a momentum"
        return None


def _masked(
    supernet: Supernet,
    slot: Slot,
    study: _Study,
    sizes: Mapping[str, Sequence[Value]],
    relaxations: Mapping[str, Relaxation],
) -> Mask:
    """Let the tensor at a place be masked."""
    whole, kind = tuple(slot.tensor.shape), layout(slot.module, slot.name, slot.tensor.dim())
    shapes: dict[tuple[int, ...], int] = {}
    which = []
    for values in product(*sizes.values()):
        shape = study.shapes(dict(zip(sizes, values, strict=True)))[slot.key]
        which.append(shapes.setdefault(shape, len(shapes)))
    indicators = torch.stack([_indicator(whole, shape, kind) for shape in shapes])
    mask = Mask([relaxations[label] for label in sizes], torch.tensor(which), indicators)
    base: Any = dict.__getitem__(slot.module._parameters, slot.name)
    source = slot.module._parameters.sources.get(slot.name) if hasattr(slot.module._parameters, "sources") else None
    bind(slot.module, {slot.name: partial(_product, base, source, mask)})
    return mask


def _product(base: Tensor, source: Any, mask: Mask) -> Tensor:
    return (base if source is None else source()) * mask.value


def _indicator(whole: tuple[int, ...], shape: tuple[int, ...], kind: Layout) -> Tensor:
    positions = torch.arange(torch.Size(whole).numel()).reshape(whole)
    indicator = torch.zeros(positions.numel())
    indicator[cut(positions, shape, kind).flatten()] = 1.0
    return indicator.reshape(whole)


def _check(
    supernet: Supernet,
    model: nn.Module,
    context: Mixing,
    masks: Masks,
    label: str,
    sizes: Mapping[str, Sequence[Value]],
) -> str | None:
    """Whether the masked network gives what the smaller models give; if not, why."""
    space, example = supernet.space, supernet.space.example_input
    inputs = example if isinstance(example, tuple) else (example,)
    relaxations = {**context.relaxations, **masks.relaxations}
    with _random_weights(supernet), torch.no_grad():
        for index, value in enumerate(sizes[label]):
            architecture = _with(space.decisions, label, value, index)
            if architecture is None:
                continue
            for relaxation in relaxations.values():
                relaxation.mixture = exact(relaxation.place(architecture))
            for other in masks.relaxations:  # what does not exist in this architecture is as wide as can be
                if other not in architecture:
                    relaxations[other].mixture = exact(relaxations[other].place({other: max(sizes[other])}))
            masks.update()
            expected, found = (
                _outputs(candidate.eval(), inputs, supernet.device)
                for candidate in (supernet.path(architecture), model)
            )
            if [t.shape for t in expected] != [t.shape for t in found]:
                return f"with {value!r} the model's output has another shape"
            if any((a - b).abs().max() > TOLERANCE * (1 + a.abs().max()) for a, b in zip(expected, found, strict=True)):
                return (
                    f"with {value!r} the model is not the widest one with zeros in it; a layer between depends on the "
                    "size in another way (a normalisation over it, a scale, a stride)"
                )
    return None


def _with(space: SearchSpace, label: str, value: Value, seed: int) -> dict[str, Value] | None:
    """A random architecture in which a decision has this value; None if none was found."""
    for attempt in range(50):
        drawn = space.sample(1000 * seed + attempt)
        if label in drawn:
            return space.validate({**drawn, label: value})
    return None


def _outputs(model: nn.Module, inputs: tuple[Any, ...], device: torch.device) -> list[Tensor]:
    found = model(*(value.to(device) if isinstance(value, Tensor) else value for value in inputs))
    return [leaf for leaf in torch.utils._pytree.tree_leaves(found) if isinstance(leaf, Tensor)]


@contextmanager
def _random_weights(supernet: Supernet) -> Iterator[None]:
    """Meanwhile all weights are random: a bias that is zero at first would hide what it will do."""
    training = supernet.training
    saved = {name: tensor.detach().clone() for name, tensor in supernet.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for tensor in supernet.state_dict().values():
                if tensor.is_floating_point():
                    fan = max(1, tensor[0].numel()) if tensor.dim() > 1 else 4
                    noise = torch.rand(tensor.shape, generator=generator)
                    tensor.copy_((noise - 0.5) * (2 / fan**0.5) if tensor.dim() > 1 else noise + 0.5)
        yield
    finally:
        supernet.load_state_dict(saved)
        supernet.train(training)
