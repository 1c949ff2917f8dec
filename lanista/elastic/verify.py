"""Checks that what a plan says about sizes is what a smaller model does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from lanista.elastic.flow import Flow
from lanista.elastic.plan import Plan
from lanista.elastic.surgery import build
from lanista.elastic.trace import FAULTS, Example, Traced, operation, place, shape, trace
from lanista.elastic.units import FIXED

LAYOUT = frozenset({"contiguous", "clone", "alias"})
"""Operations that torch may leave out for some memory layouts."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a smaller model.

    Attributes:
        words: the first thing that is.
        place: path of the module that it happens in, as far as known.
        progress: how much comes before it; comparable between versions of one model.
    """

    words: str
    place: str
    progress: float


def fault(
    model: nn.Module,
    traced: Traced,
    flow: Flow,
    plan: Plan,
    answers: Mapping[str, int],
    example: Example,
    *,
    meta: bool,
) -> Fault | None:
    """What is wrong with a smaller model; None if it does the same operations with the sizes foreseen.

    Args:
        model: the full model.
        traced: its forward pass.
        flow: its channels.
        plan: the decisions.
        answers: for cuts only, label -> number kept.
        example: on the device that the models are built on.
        meta: whether that is the meta device.
    """
    ended: list[nn.Module] = []
    try:
        expected = sizes(flow, plan, answers)
        smaller = build(model, plan, answers, meta=meta)
        for module in smaller.modules():
            module.register_forward_hook(lambda module, *_: ended.append(module))
        found = trace(smaller, example)
    except FAULTS as error:
        words = f"a smaller model does not run ({type(error).__name__}: {first_line(error)})"
        return Fault(words, "", 1 - 1 / (1 + len(ended)))
    ours, theirs = _telling(traced), _telling(found)
    for number, (node, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if node.target is not other.target:
            words = f"a smaller model runs {operation(other)} instead of {operation(node)} in {_named(node)}"
            return Fault(words, place(node), number)
        if node in expected and expected[node] != shape(other):
            words = (
                f"{operation(node)} in {_named(node)} gives {list(shape(other) or ())} "
                f"instead of {list(expected[node])} in a smaller model"
            )
            return Fault(words, place(node), number)
    return None if len(ours) == len(theirs) else Fault("a smaller model runs other operations", "", len(ours))


def _named(node: Node) -> str:
    return place(node) or "the model itself"


def _telling(traced: Traced) -> list[Node]:
    """The operations without assertions, and without those of LAYOUT."""
    return [
        node
        for node in traced.operations()
        if node.meta.get("val") is not None and operation(node).rpartition(".")[2] not in LAYOUT
    ]


def sizes(flow: Flow, plan: Plan, answers: Mapping[str, int]) -> dict[Node, tuple[int, ...]]:
    """The shape of each operation's result in a smaller model.

    Raises:
        ValueError: what is left of a tensor is no box.
    """
    kept = _kept(flow, plan, answers)
    expected = {}
    for node, labels in flow.labels.items():
        classes = flow.channels.units.classes(labels)
        mask = kept[classes.clamp(min=0)]
        if bool(mask.all()):
            expected[node] = tuple(labels.shape)
            continue
        left = []
        for dim in range(mask.ndim):
            others = [other for other in range(mask.ndim) if other != dim]
            left.append(int(mask.amax(others).sum()) if others else int(mask.sum()))
        if torch.Size(left).numel() != int(mask.sum()):
            raise ValueError(f"what is left in {operation(node)} of {place(node)} is no box")
        expected[node] = tuple(left)
    return expected


def _kept(flow: Flow, plan: Plan, answers: Mapping[str, int]) -> Tensor:
    """For each unit, whether it stays if it is the least of its class."""
    units = flow.channels.units
    kept = torch.ones(len(units.state()), dtype=torch.bool, device="cpu")
    for (name, dim), axis in plan.axes.items():
        labels = flow.channels.axes.get((name, dim))
        if labels is None:
            elements = flow.channels.elements[name].movedim(dim, 0)
            labels = elements.reshape(len(elements), -1)[:, 0]
        classes = units.classes(labels)
        for label, ranks in axis.ranks.items():
            if label in answers:
                kept[classes[ranks >= answers[label]]] = False
    kept[FIXED] = True
    return kept


def first_line(error: BaseException) -> str:
    """The first line of an error's message, cut to a length that fits in a table."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:160] if lines else "no message"
