"""Finds out which tensors the models of a space have, by building some of them."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from random import Random
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from lanista.errors import LanistaError, OneShotError
from lanista.model import ModelSpace
from lanista.oneshot.identity import Key, Mixing, Path, Slot, slots
from lanista.oneshot.slices import Entries, Layout, cut, layout
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical, Value, is_number, key
from lanista.space.probe import UNBUILDABLE
from lanista.space.search import SearchSpace

logger = logging.getLogger("lanista")

OPTIONS = 16
"""How many values of a decision are tried, of numbers and subsets: those at the ends, as for sizes."""

NAMES = 512
"""The same of other values, each of which may build a layer of its own."""

PATIENCE = 30
"""How many random models in a row must bring nothing new."""

SURE = 4
"""The same where all options of all decisions were there at once already."""

DOUBT = 3
"""How many times as many where something was met by chance, and only once."""

OFFERS = 8
"""Among how many random architectures the one is chosen that has the most to show."""

MOST = 400
"""How many random models are built at most."""

Plan: TypeAlias = tuple[Architecture, type[Path]]
"""What a model is built of: answers, and the class of the context that gives them."""


class Builder(Protocol):
    """Builds models, and gives the contexts that know what their modules stand for."""

    def skeleton(self, architecture: Architecture, kind: type[Path]) -> tuple[nn.Module, Path]:
        """With weights that are not filled."""

    def model(self, architecture: Architecture, kind: type[Path]) -> tuple[nn.Module, Path]:
        """With weights."""


@dataclass
class Survey:
    """What was found.

    Attributes:
        shapes: the greatest size of each dimension of each shared tensor.
        layouts: how each is cut.
        private: buffers that each model computes for itself.
        learns: the tensors that some model trains.
        cover: models that together have all tensors, and which of them each has, at the greatest size that was met.
        common: what modules stand for that may be there without being chosen, by where they can be chosen.
    """

    shapes: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    layouts: dict[Key, Layout] = field(default_factory=dict)
    private: set[Key] = field(default_factory=set)
    learns: set[Key] = field(default_factory=set)
    cover: list[tuple[Plan, set[Key]]] = field(default_factory=list)
    common: dict[str, str] = field(default_factory=dict)


class _Surveyor:
    """Keeps what was found.

    Attributes:
        loose: as `common` of a survey, with what was met since.
        raised: how often each tensor was met again as large as it is known, since `raised` was cleared and it grew.
    """

    def __init__(self, builder: Builder, common: Mapping[str, str]) -> None:
        self.found = Survey(common=dict(common))
        self.loose = dict(common)
        self._builder = builder
        self._realised: dict[Key, tuple[int, Plan]] = {}
        self._widest: dict[Key, tuple[Tensor, Entries]] = {}
        self.raised: dict[Key, int] = {}

    def visit(self, plan: Plan) -> tuple[bool, Path]:
        """Build a model; whether it had something new, and the context that answered."""
        model, context = self._builder.skeleton(*plan)
        context.common = self.found.common
        new, known = False, set[int]()
        doubtful: list[Key] = []
        for slot in slots(model, context):
            tensor = slot.tensor
            if is_lazy(tensor):
                raise OneShotError(
                    f"{slot.key.path!r} has no shape before the model sees data; use modules that are told their sizes "
                    f"instead of {type(slot.module).__name__}"
                )
            if id(tensor) in known:
                continue
            known.add(id(tensor))
            shape = tuple(tensor.shape)
            earlier = self.found.shapes.get(slot.key)
            if earlier is None:
                self.found.layouts[slot.key] = layout(slot.owner, slot.role, tensor.dim())
            most = shape if earlier is None else tuple(map(max, shape, earlier))
            new |= most != earlier
            if tensor.requires_grad:
                self.found.learns.add(slot.key)
            if shape == most and (most != earlier or slot.key in self.raised):
                self.raised[slot.key] = 0 if most != earlier else self.raised[slot.key] + 1
            self.found.shapes[slot.key] = most
            if slot.key not in self._realised or tensor.numel() > self._realised[slot.key][0]:
                self._realised[slot.key] = tensor.numel(), plan
            if slot.buffer and not isinstance(slot.module, _NormBase) and not self._agrees(slot):
                doubtful.append(slot.key)
        if any(name not in self.found.private for name in doubtful):
            self._settle(plan, doubtful)
        self.loose = {**context.loose, **self.loose}
        return new, context

    def _agrees(self, slot: Slot) -> bool:
        """Whether a buffer is a part of the widest one that was met, or that of this one."""
        value, layouts = slot.tensor, self.found.layouts
        known, entries = self._widest.setdefault(slot.key, (value, slot.entries))
        (wide, before), (narrow, which) = (known, entries), (value, slot.entries)
        if known.numel() < value.numel():
            (wide, before), (narrow, which) = (value, slot.entries), (known, entries)
        self._widest[slot.key] = wide, before
        try:
            return torch.equal(cut(wide, narrow.shape, layouts[slot.key], () if before else which), narrow)
        except OneShotError:
            return False

    def _settle(self, plan: Plan, doubtful: Sequence[Key]) -> None:
        """Buffers that differ between models: random state is shared, what is computed from the answers is not."""
        values = []
        for seed in range(2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model, context = self._builder.model(*plan)
            context.common = self.found.common
            values.append({slot.key: slot.tensor for slot in slots(model, context) if slot.buffer})
        self.found.private.update(name for name in doubtful if torch.equal(values[0][name], values[1][name]))

    def result(self) -> Survey:
        for name in self.found.private:
            del self.found.shapes[name]
        needed: dict[int, tuple[Plan, set[Key]]] = {}
        for name in self.found.shapes:
            plan = self._realised[name][1]
            needed.setdefault(id(plan), (plan, set()))[1].add(name)
        self.found.cover = list(needed.values())
        return self.found


def survey(space: ModelSpace, include: Sequence[Architecture], builder: Builder) -> Survey:
    """Build models until they bring nothing new; all over again where one shows that a name depends on a choice."""
    common: dict[str, str] = {}
    while True:
        surveyor = _surveyed(space, include, builder, common)
        if surveyor.loose == common:
            return surveyor.result()
        common = surveyor.loose


def _surveyed(
    space: ModelSpace, include: Sequence[Architecture], builder: Builder, common: Mapping[str, str]
) -> _Surveyor:
    surveyor = _Surveyor(builder, common)
    for decision in space.decisions:
        if isinstance(decision.domain, Categorical) and decision.domain.size > NAMES and not _is_numeric(decision):
            logger.warning(
                "%r has %d values, of which %d were tried for layers that only some build; a path with another one is "
                "an error then, and can be named: Supernet(space, include=[architecture])",
                decision.label,
                decision.domain.size,
                NAMES,
            )
    for architecture in include:
        surveyor.visit((architecture, Path))
    decisions = space.decisions
    met, whole = _all_at_once(decisions, surveyor)
    every = all(decision.label in whole or (whole and _is_numeric(decision)) for decision in decisions)
    if decisions.size <= 2 * PATIENCE and not every:
        for architecture in decisions.grid():
            surveyor.visit((architecture, Path))
        return surveyor
    for architecture in _planned(decisions, met):
        surveyor.visit((architecture, Path))
    random, waited, patience = Random(0), 0, SURE if every else PATIENCE
    if not every:
        for architecture in _in_company(decisions, random):
            surveyor.visit((architecture, Path))
    surveyor.raised.clear()
    for _ in range(MOST):
        new, _ = surveyor.visit((decisions.sample(random), Path))
        waited = 0 if new else waited + 1
        # What was met once by chance says that there may be more like it.
        if waited >= patience and (waited >= DOUBT * patience or all(surveyor.raised.values())):
            break
    return surveyor


def _all_at_once(space: SearchSpace, surveyor: _Surveyor) -> tuple[set[tuple[str, Hashable]], set[str]]:
    """Visit models that have all options of what can be mixed.

    Returns which answers were there, and the decisions of which all answers were there at once.
    """
    options = {decision.label: _options(decision) for decision in space}
    met, whole = set[tuple[str, Hashable]](), set[str]()
    widest = {label: _greatest(values) for label, values in options.items()}
    plans = [widest] + [
        {label: _nth(values, index) for label, values in options.items()}
        for index in range(max(map(len, options.values()), default=0))
    ]
    for answers in plans:
        try:
            _, context = surveyor.visit((answers, Mixing))
        except (LanistaError, *UNBUILDABLE):
            continue  # models of one architecture each are visited then
        if not isinstance(context, Mixing) or not context.whole:
            break
        met.update((label, key(value)) for label in context.whole for value in options[label])
        met.update((label, key(answers[label])) for label in context.asked)
        whole = context.whole
        if whole >= options.keys():
            break
    return met, whole


def _in_company(space: SearchSpace, random: Random) -> Iterator[Architecture]:
    """Architectures with the greatest numbers that have, of the other answers, each together with each."""
    seen: set[object] = set()
    waited = 0
    for _ in range(MOST // 4):
        offers = []
        for _ in range(OFFERS):
            offer = _widened(space, space.sample(random), random)
            answers = [(d.label, key(offer[d.label])) for d in space if d.label in offer and not _is_numeric(d)]
            pairs = set(combinations(answers, 2)) - seen
            offers.append((len(pairs), pairs, offer))
        _, pairs, architecture = max(offers, key=lambda offer: offer[0])
        seen |= pairs
        waited = 0 if pairs else waited + 1
        if waited == OFFERS:
            return
        if pairs:
            yield architecture


def _widened(space: SearchSpace, architecture: Architecture, random: Random) -> Architecture:
    """The architecture with the greatest numbers: most tensors are as large as can be then, whatever else is chosen."""
    greatest = {decision.label: _greatest(_options(decision)) for decision in space if _is_numeric(decision)}
    wide = space.decide(lambda d: greatest.get(d.label, architecture.get(d.label, d.domain.draw(random))))
    return space.repair(wide, random)


def _is_numeric(decision: Decision) -> bool:
    return all(is_number(value) for value in _options(decision))


def _planned(space: SearchSpace, met: set[tuple[str, Hashable]]) -> Iterator[Architecture]:
    """Extremes, and each value of each decision that was not met."""
    random = Random(0)
    options = {decision.label: _options(decision) for decision in space}
    every = all((label, key(value)) in met for label, values in options.items() for value in values)

    def noted(architecture: Architecture) -> Architecture:
        kept = space.repair(space.validate(architecture), random)
        met.update((label, key(value)) for label, value in kept.items())
        return kept

    yield noted(space.decide(lambda decision: _greatest(options[decision.label])))
    yield noted(space.decide(lambda decision: options[decision.label][0]))
    if every:
        return
    for index in range(max(map(len, options.values()), default=0)):
        yield noted(space.decide(lambda decision: _nth(options[decision.label], index)))  # noqa: B023 (used at once)
    for decision in space:
        for value in options[decision.label]:
            if (decision.label, key(value)) not in met:
                wanted = {**_conditions(space, decision), decision.label: value}
                yield noted(
                    space.decide(lambda d: wanted.get(d.label, _greatest(options[d.label])))  # noqa: B023 (used at once)
                )


def _options(decision: Decision) -> list[Value]:
    values = list(decision.domain.grid(OPTIONS))
    most = OPTIONS
    if isinstance(decision.domain, Categorical) and not all(is_number(value) for value in values):
        most = NAMES
    return values if len(values) <= most else values[: most // 2] + values[-most // 2 :]


def _greatest(values: Sequence[Value]) -> Value:
    if all(is_number(value) for value in values):
        return max(values)
    if all(isinstance(value, list) for value in values):
        return max(values, key=len)
    return values[-1]


def _nth(values: Sequence[Value], index: int) -> Value:
    """Option `index`, starting over after the last."""
    return values[index % len(values)]


def _conditions(space: SearchSpace, decision: Decision) -> dict[str, Value]:
    """Answers under which a decision exists."""
    if not decision.when:
        return {}
    clause: Mapping[str, Sequence[Value]] = decision.when[0]
    wanted: dict[str, Value] = {}
    by_label = {other.label: other for other in space}
    for label, values in clause.items():
        wanted.update({**_conditions(space, by_label[label]), label: values[0]})
    return wanted
