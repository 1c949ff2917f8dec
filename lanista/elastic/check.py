"""Settles a plan: makes it, tries it, and takes out what does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import isnan
from random import Random
from typing import TypeAlias

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lanista.elastic.attributes import guesses, known
from lanista.elastic.depth import stages
from lanista.elastic.flow import follow
from lanista.elastic.plan import Attribute, Cut, Plan, Stage, Wish, plan
from lanista.elastic.report import Cost, Report
from lanista.elastic.surgery import build
from lanista.elastic.trace import FAULTS, Example, Traced, arguments, moved, run, trace
from lanista.elastic.verify import Fault, fault, first_line
from lanista.errors import SpaceError

NOTHING = Plan((), (), {}, (), {})
TOLERANCE = 1e-6

PATTERNS = 3
"""How many sets of sizes a plan is tried with."""

MOST_GUESSES = 24
"""How many times another number is tried where a module's number could follow several decisions."""


@dataclass(frozen=True)
class Subject:
    """A model and the input that it is tried on."""

    model: nn.Module
    example: Example


class _Trials:
    """Builds and tries smaller versions of a traced model, without values where that is possible."""

    def __init__(self, subject: Subject) -> None:
        self._model = subject.model
        try:
            run(self._model, subject.example)
        except FAULTS as error:
            raise SpaceError(
                f"the model does not run on example_input ({type(error).__name__}: {first_line(error)}); give a "
                "tensor, a tuple of positional inputs or a mapping of keyword inputs that it can be called with"
            ) from error
        self.meta = True
        try:
            self.example = moved(subject.example, "meta")
            self.traced = trace(build(self._model, NOTHING, {}, meta=True), self.example)
        except FAULTS:
            self.meta = False
            self.example = subject.example
            self.traced = _traced(self._model, self.example)
        self.flow = follow(self.traced, self._model)
        # What only training uses is in no trace: such models are run in training mode as well.
        unused = set(self.flow.names.values()) - self.flow.used - dict(self._model.named_buffers()).keys()
        self._trains = bool(unused) and not self._training_fault(NOTHING, {})

    def fault(self, plan: Plan, cuts: Sequence[Cut]) -> Fault | None:
        """What is wrong if these cuts are made, with the least of each and with other numbers."""
        for seed in range(PATTERNS if len(cuts) > 1 else 1):
            random = Random(seed)
            answers = {cut.label: random.choice(cut.candidates) if seed else cut.candidates[-1] for cut in cuts}
            wrong = fault(self._model, self.traced, self.flow, plan, answers, self.example, meta=self.meta)
            if wrong is None and self._trains and (words := self._training_fault(plan, answers)):
                wrong = Fault(words, "", len(self.traced.operations()))
            if wrong is not None:
                return replace(wrong, progress=wrong.progress + seed * len(self.traced.operations()))
        return None

    def _training_fault(self, plan: Plan, answers: Mapping[str, int]) -> str:
        """Why a smaller model does not run in training mode; empty if it does."""
        model = build(self._model, plan, answers, meta=self.meta).train()
        args, kwargs = arguments(self.example)
        try:
            with torch.no_grad(), torch.random.fork_rng():
                model(*args, **kwargs)
        except FAULTS as error:
            return f"a smaller model does not run in training mode ({type(error).__name__}: {first_line(error)})"
        return ""

    def faulty(self, plan: Plan, cuts: Sequence[Cut], sound: Sequence[Cut] = ()) -> dict[str, str]:
        """The labels of cuts that do not go together with the sound ones, and what is wrong, by halving."""
        wrong = self.fault(plan, [*sound, *cuts]) if cuts else None
        if wrong is None:
            return {}
        if len(cuts) == 1:
            return {cuts[0].label: wrong.words}
        half = len(cuts) // 2
        found = self.faulty(plan, cuts[:half], sound)
        sound = [*sound, *(cut for cut in cuts[:half] if cut.label not in found)]
        return {**found, **self.faulty(plan, cuts[half:], sound)}

    def shrinks(self, plan: Plan, stage: Stage, depth: int) -> bool:
        """Whether the model runs at this depth, with outputs of the same shapes."""
        answers = {**{cut.label: cut.candidates[-1] for cut in plan.cuts}, stage.label: depth}
        try:
            smaller = build(self._model, replace(plan, stages=(stage,)), answers, meta=self.meta)
            return self._shapes(smaller) == self._outputs
        except FAULTS:
            return False

    @cached_property
    def _outputs(self) -> list[torch.Size]:
        return self._shapes(build(self._model, NOTHING, {}, meta=self.meta))

    def _shapes(self, model: nn.Module) -> list[torch.Size]:
        return [tensor.shape for tensor in run(model, self.example)]


def settled(subject: Subject, wish: Wish) -> tuple[Plan, Report]:
    """A plan that holds, and the report about it.

    Raises:
        SpaceError: as `from_model`.
    """
    trials = _Trials(subject)
    found = _sound(trials, subject.model, wish)
    if "depth" in wish.kinds:
        candidates = stages(trials.traced, subject.model, wish.keep)
        held = [stage for stage in candidates if trials.shrinks(found, stage, stage.candidates[-1])]
        found = replace(found, stages=tuple(held))
    if not found.cuts and not found.stages:
        reasons = "; ".join(f"{layer or 'the model itself'}: {reason}" for layer, reason in [*found.fixed.items()][:5])
        raise SpaceError(f"nothing in the model can be made searchable ({reasons or 'it has no weights'})")
    gap = difference(subject, build(subject.model, found, {}))
    if gap is not None and not gap <= TOLERANCE:
        raise SpaceError(
            f"the full-size sample differs from the model by {gap:.3g}; perhaps its outputs are random in evaluation "
            "mode, or copy.deepcopy does not copy all that it depends on"
        )
    decisions: tuple[Cut | Stage, ...] = (*found.cuts, *found.stages)
    least = {decision.label: decision.candidates[-1] for decision in decisions}
    costs = [_cost(build(subject.model, found, a, meta=trials.meta), trials.example) for a in ({}, least)]
    return found, Report(decisions, found.fixed, gap, costs[0], costs[1])


def _sound(trials: _Trials, model: nn.Module, wish: Wish) -> Plan:
    """A plan without the decisions that fail."""
    found, wrong = _tuned(trials, model, wish)
    coupled = _as_wide(found)
    if wrong is not None and coupled:
        # Much code takes the size of a head from the width that it sees: width // num_heads.
        free, trials.flow = trials.flow, follow(trials.traced, model, coupled)
        other, still = _tuned(trials, model, wish)
        if still is None or still.progress > wrong.progress:
            found, wrong = other, still
        else:
            trials.flow = free
    return found if wrong is None else found.without(trials.faulty(found, found.cuts))


def _as_wide(found: Plan) -> list[tuple[str, int]]:
    """The weights of attention that have as many channels, or a multiple, inside as outside."""
    heads = {cut.label for cut in found.cuts if cut.kind == "heads"}
    layers = {layer for cut in found.cuts if cut.label in heads for layer in cut.layers}
    wide = []
    for (name, dim), axis in found.axes.items():
        outside = found.axes.get((name, 1 - dim))
        if outside is not None and name.rpartition(".")[0] in layers and not heads.isdisjoint(axis.ranks):
            wide += [(name, dim)] if axis.size % outside.size == 0 else []
    return wide


def _tuned(trials: _Trials, model: nn.Module, wish: Wish) -> tuple[Plan, Fault | None]:
    """A plan, with the numbers in modules that follow it as far as that is found out; and what is still wrong."""
    whole = build(model, NOTHING, {}, meta=trials.meta)
    found = plan(trials.flow, whole, wish)
    found = replace(found, attributes=tuple(known(whole, found)))
    options = guesses(whole, found, trials.example) if found.cuts else []
    picks: Picks = {}
    wrong, left = trials.fault(_chosen(found, options, picks, model), found.cuts), MOST_GUESSES
    while wrong is not None and left:
        # A number that could follow several decisions may follow none, or another one than the likeliest.
        for other in islice(_others(options, picks, model, wrong.place), left):
            left -= 1
            now = trials.fault(_chosen(found, options, other, model), found.cuts)
            if now is None or now.progress > wrong.progress:
                picks, wrong = other, now
                break
        else:
            break
    return _chosen(found, options, picks, model), wrong


Picks: TypeAlias = Mapping[tuple[type[nn.Module], str], int]
"""For a class of modules and the name of an attribute, which of its options is taken."""


def _others(options: Sequence[Sequence[Attribute]], picks: Picks, model: nn.Module, place: str) -> Iterator[Picks]:
    """Other picks for one attribute: none of its options, or a less likely one. Those of one module come first."""
    seen = set(picks)
    for attributes in sorted(options, key=lambda attributes: attributes[0].path != place):
        name = (type(model.get_submodule(attributes[0].path)), attributes[0].name)
        if name not in seen:
            yield from ({**picks, name: number} for number in range(len(attributes), 0, -1))
        seen.add(name)


def _chosen(found: Plan, options: Sequence[Sequence[Attribute]], picks: Picks, model: nn.Module) -> Plan:
    """The plan with one of each attribute's options: the first, or the picked one for its class and name."""
    picked: list[Attribute] = []
    for attributes in options:
        number = picks.get((type(model.get_submodule(attributes[0].path)), attributes[0].name), 0)
        picked += attributes[number : number + 1]
    return replace(found, attributes=(*found.attributes, *picked))


def difference(subject: Subject, full: nn.Module) -> float | None:
    """The greatest absolute difference between the outputs of the model and of its full-size sample."""
    if any(tensor.is_meta for tensor in [*subject.model.parameters(), *subject.model.buffers()]):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = run(subject.model, subject.example)
        torch.manual_seed(0)
        theirs = run(full, subject.example)
    return max((_gap(one, other) for one, other in zip(ours, theirs, strict=True)), default=0.0)


def _gap(one: torch.Tensor, other: torch.Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    if not one.numel() or bool(((one == other) | (one.isnan() & other.isnan())).all()):
        return 0.0
    gap = float((one.double() - other.double()).abs().max())
    return float("inf") if isnan(gap) else gap


def _cost(model: nn.Module, example: Example) -> Cost:
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    try:
        with FlopCounterMode(display=False) as counter:
            run(model, example)
    except FAULTS:  # the counter's formulas do not know all devices
        return Cost(parameters, None)
    return Cost(parameters, counter.get_total_flops() // 2)


def _traced(model: nn.Module, example: Example) -> Traced:
    try:
        return trace(model, example)
    except FAULTS as error:
        raise SpaceError(
            f"torch.export cannot trace the model ({type(error).__name__}: {first_line(error)}); its forward pass must "
            "not depend on the values of tensors"
        ) from error
