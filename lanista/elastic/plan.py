"""`Plan`: which decisions there are about a model, and what each takes from which weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from lanista.elastic.flow import Flow
from lanista.elastic.units import FIXED, distinct

Kind = Literal["width", "hidden", "heads", "depth"]


@dataclass(frozen=True)
class Cut:
    """A decision about channels that belong together; the first ones are kept.

    Attributes:
        label: of the decision.
        kind: "width" of a convolution, a linear layer or a stream of channels; "hidden" width between two linear
            layers of a transformer's MLP; number of attention "heads".
        units: how many can be kept or removed: channels, heads, groups of channels.
        each: what one of them counts in the candidates: 1, or the number of channels in a group.
        candidates: how many heads, or else channels, are kept; all of them first.
        layers: paths of the layers whose own channels these are.
        followers: paths of the layers that take them as inputs.
    """

    label: str
    kind: Kind
    units: int
    each: int
    candidates: tuple[int, ...]
    layers: tuple[str, ...]
    followers: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A decision about how many of the modules in a container are kept, from the first.

    Attributes:
        label: of the decision.
        path: of the container, a `Sequential` or `ModuleList`.
        candidates: how many modules are kept; all of them first.
        names: of all modules in the container.
    """

    label: str
    path: str
    candidates: tuple[int, ...]
    names: tuple[str, ...]

    def dropped(self, depth: int) -> tuple[str, ...]:
        """Paths of the modules that are not kept at this depth."""
        return tuple(f"{self.path}.{name}" if self.path else name for name in self.names[depth:])


@dataclass(frozen=True)
class Axis:
    """A dimension of a weight that decisions cut.

    Attributes:
        weight: name of the weight.
        dim: the dimension.
        size: in the full model.
        ranks: for the label of a decision, for each position the greatest answer that removes it, or -1; shape (size,).
    """

    weight: str
    dim: int
    size: int
    ranks: Mapping[str, Tensor]

    def kept(self, answers: Mapping[str, int]) -> Tensor:
        """Positions that stay; decisions without an answer keep all."""
        mask = torch.ones(self.size, dtype=torch.bool, device="cpu")
        for label, ranks in self.ranks.items():
            if label in answers:
                mask &= ranks < answers[label]
        return mask.nonzero()[:, 0]


@dataclass(frozen=True)
class Attribute:
    """A number in a module that follows the size of a weight.

    Attributes:
        path: of the module.
        name: of the attribute.
        position: in the attribute, where that is a tuple.
        value: in the full model.
        axis: weight and dimension; the value keeps its proportion to the size.
    """

    path: str
    name: str
    position: int | None
    value: int
    axis: tuple[str, int]


@dataclass(frozen=True)
class Plan:
    """All decisions, and what they do.

    Attributes:
        cuts: about channels, in the order of the layers.
        stages: about depths.
        axes: by weight and dimension.
        attributes: numbers in modules that follow.
        fixed: path of a layer that has weights and keeps its own channels, and why.
    """

    cuts: tuple[Cut, ...]
    stages: tuple[Stage, ...]
    axes: Mapping[tuple[str, int], Axis]
    attributes: tuple[Attribute, ...]
    fixed: Mapping[str, str]

    def without(self, reasons: Mapping[str, str]) -> Plan:
        """The plan without the decisions with these labels, whose layers are then fixed for these reasons."""
        cuts = tuple(cut for cut in self.cuts if cut.label not in reasons)
        kept = {layer for cut in cuts for layer in cut.layers}
        fixed = dict(self.fixed)
        for cut in self.cuts:
            if cut.label in reasons:
                fixed.update((layer, reasons[cut.label]) for layer in cut.layers if layer not in kept)
        axes = {
            key: replace(axis, ranks=left)
            for key, axis in self.axes.items()
            if (left := {label: ranks for label, ranks in axis.ranks.items() if label not in reasons})
        }
        attributes = tuple(attribute for attribute in self.attributes if attribute.axis in axes)
        stages = tuple(stage for stage in self.stages if stage.label not in reasons)
        return Plan(cuts, stages, axes, attributes, fixed)


@dataclass(frozen=True)
class Wish:
    """What the caller of `from_model` asks for.

    Attributes:
        widths: ratios of the full size.
        round_to: channels are kept in multiples of this where the full size is one or exceeds it.
        kinds: of decisions.
        keep: paths of layers whose own channels stay.
    """

    widths: Sequence[float]
    round_to: int
    kinds: Collection[str]
    keep: Collection[str]


def layers(model: nn.Module) -> list[str]:
    """Paths of all modules that have weights of their own; empty: the model itself."""
    return [path for path, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]


def plan(flow: Flow, model: nn.Module, wish: Wish) -> Plan:
    """Make decisions of the channels that can be cut."""
    groups = _Groups(flow, model)
    cuts: list[Cut] = []
    axes: dict[tuple[str, int], dict[str, Tensor]] = {}
    for keys, members in groups.found.items():
        cut, reason = groups.cut(keys, members, wish, {cut.label for cut in cuts})
        for layer in cut.layers if reason else ():
            groups.reasons.setdefault(layer, reason)
        if reason:
            continue
        cuts.append(cut)
        for key in keys:
            axes.setdefault(key, {})[cut.label] = groups.ranks(key, members, cut.each)
    free = {layer for cut in cuts for layer in cut.layers}
    fixed = {layer: groups.reason(layer) for layer in layers(model) if layer not in free}
    made = {key: Axis(*key, groups.sizes[key], ranks) for key, ranks in axes.items()}
    return Plan(tuple(cuts), (), made, (), fixed)


class _Groups:
    """Classes of channels, those together that run through the same dimensions of the same weights."""

    def __init__(self, flow: Flow, model: nn.Module) -> None:
        self._flow, self._model = flow, model
        units = flow.channels.units
        self.classes = {key: units.classes(labels) for key, labels in flow.channels.axes.items()}
        for name, labels in flow.channels.elements.items():
            found = units.classes(labels)
            for dim, size in enumerate(labels.shape):
                slabs = found.movedim(dim, 0).reshape(size, -1)
                uniform = (slabs == slabs[:, :1]).all(1)
                self.classes[name, dim] = torch.where(uniform, slabs[:, 0], FIXED)
        self.sizes = {key: len(found) for key, found in self.classes.items()}
        none = torch.empty(0, dtype=torch.long, device="cpu")
        made = torch.cat([none, *(labels.reshape(-1) for labels in flow.channels.made)])
        self._made = set(made.tolist())
        channels = distinct(units.classes(made))
        heads = [units.classes(labels.reshape(-1)) for labels in flow.channels.heads]
        self._heads = set(torch.cat([none, *heads]).tolist())
        self.reasons: dict[str, str] = {}
        self.found = self._found(channels[channels > FIXED])

    def _found(self, channels: Tensor) -> dict[tuple[tuple[str, int], ...], list[int]]:
        """Weights and dimensions -> the classes in them, both in the order of the model."""
        places: dict[int, list[tuple[str, int]]] = {}
        for key, found in self.classes.items():
            inside = distinct(found)
            for number in inside[torch.isin(inside, channels)].tolist():
                places.setdefault(number, []).append(key)
        groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
        for number, keys in places.items():
            groups.setdefault(tuple(keys), []).append(number)
        return groups

    def _owns(self, key: tuple[str, int], members: Collection[int]) -> bool:
        """Whether the weight's layer makes these channels, or has them as its own (norms, scales, embeddings)."""
        if key[0] not in self._flow.channels.matrices:
            return True
        labels = self._flow.channels.axes[key]
        inside = torch.isin(self.classes[key], torch.tensor(list(members), device="cpu"))
        return any(unit in self._made for unit in labels[inside].tolist())

    def cut(
        self, keys: Sequence[tuple[str, int]], members: list[int], wish: Wish, taken: Collection[str]
    ) -> tuple[Cut, str]:
        """The decision about these classes; and why it cannot be, or an empty string."""
        own = [key for key in keys if self._owns(key, members)]
        layers_ = tuple(dict.fromkeys(_layer(name) for name, _ in own))
        followers = tuple(dict.fromkeys(_layer(name) for name, _ in keys if _layer(name) not in layers_))
        order = torch.tensor(members, device="cpu")
        counts = {key: int(torch.isin(self.classes[key], order).sum()) for key in keys}
        main = min(own or keys, key=counts.__getitem__)
        members.sort(key=self.classes[main].tolist().index)
        channels = min(counts.values())
        kind = self._kind(members, keys)
        first = _layer(self._first(own or keys))
        path = first if kind == "width" else _common([*layers_, *followers]) or first
        label = base = f"{path}/{kind}" if path else kind
        number = 2
        while label in taken:
            label, number = f"{base}{number}", number + 1
        each = 1 if kind == "heads" else channels // len(members)
        step = 1 if kind == "heads" or channels < wish.round_to else -(-wish.round_to // each)
        kept = {len(members), *(max(step, round(len(members) * r / step) * step) for r in wish.widths)}
        candidates = tuple(sorted((n * each for n in kept if n <= len(members)), reverse=True))
        cut = Cut(label, kind, len(members), each, candidates, layers_, followers)
        return cut, self._obstacle(cut, wish)

    def _first(self, keys: Sequence[tuple[str, int]]) -> str:
        """The weight among these that the model has first and that makes channels."""
        made = [name for name, dim in keys if self._flow.channels.axes.get((name, dim)) is not None]
        wide = [name for name in made if name in self._flow.channels.matrices]
        return (wide or made or [name for name, _ in keys])[0]

    def _kind(self, members: Sequence[int], keys: Sequence[tuple[str, int]]) -> Kind:
        matrices = [key for key in keys if key[0] in self._flow.channels.matrices]
        both = {name for name, dim in matrices if (name, 1 - dim) in matrices}
        if members[0] in self._heads and not both:
            return "heads"
        streams = [set(self.classes[name, 1 - dim].tolist()) for name, dim in matrices if dim < 2]
        flat = all((name, 2) not in self.sizes for name, _ in matrices)
        alike = len(streams) > 1 and all(stream == streams[0] for stream in streams)
        return "hidden" if flat and alike and (streams[0] != {FIXED} or self._heads) and not both else "width"

    def _obstacle(self, cut: Cut, wish: Wish) -> str:
        if cut.units == 1:
            return "its channels belong together (one attention head, or one group)"
        if any(layer in wish.keep for layer in cut.layers):
            return "it, or a layer with the same channels, is to be kept"
        if cut.kind not in wish.kinds:
            return f"{cut.kind} is not asked for"
        if len(cut.candidates) == 1:
            return f"no smaller number of its {cut.units * cut.each} channels fits the ratios and round_to"
        return ""

    def ranks(self, key: tuple[str, int], members: Sequence[int], each: int) -> Tensor:
        """For each position along a dimension the greatest answer that removes it, or -1."""
        table = {number: rank * each for rank, number in enumerate(members)}
        return torch.tensor([table.get(number, -1) for number in self.classes[key].tolist()], device="cpu")

    def reason(self, layer: str) -> str:
        """Why a layer keeps its channels."""
        if layer in self.reasons:
            return self.reasons[layer]
        prefix = f"{layer}." if layer else ""
        module = self._model.get_submodule(layer)
        names = [prefix + name for name, _ in module.named_parameters(recurse=False)]
        for name in names:
            if self._flow.names[name] != name:
                return f"its weight is that of {_layer(self._flow.names[name]) or 'the model itself'}"
        reasons: Counter[str] = Counter()
        for (name, dim), labels in self._flow.channels.axes.items():
            if name in names and self._owns((name, dim), self.classes[name, dim].tolist()):
                reasons.update(self._why(labels))
        for name in names:
            if name in self._flow.channels.elements:
                reasons.update(self._why(self._flow.channels.elements[name].reshape(-1)))
        if not self._flow.used.intersection(names):
            return "the forward pass in evaluation mode does not use it with this example input"
        return reasons.most_common(1)[0][0] if reasons else "it has no channels of its own"

    def _why(self, labels: Tensor) -> list[str]:
        units = self._flow.channels.units
        return [units.reason(unit) for unit in labels[units.classes(labels) == FIXED].tolist()]


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _common(paths: Sequence[str]) -> str:
    """The module that holds all of these."""
    parts = [path.split(".") for path in paths]
    count = 0
    while all(len(part) > count and part[count] == parts[0][count] for part in parts):
        count += 1
    return ".".join(parts[0][:count])
