"""`from_model`: a space made from a model that exists."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch import nn

from lanista.elastic.check import Subject, settled
from lanista.elastic.plan import Cut, Kind, Plan, Stage, Wish, layers
from lanista.elastic.report import Report
from lanista.elastic.surgery import build, reset
from lanista.elastic.trace import Example
from lanista.errors import SpaceError
from lanista.model import ModelSpace
from lanista.space.context import Context, current
from lanista.space.domain import Categorical

LOG = logging.getLogger(__name__)

WEIGHTS = ("inherit", "reset")
KINDS: tuple[Kind, ...] = ("width", "hidden", "heads", "depth")


class Elastic:
    """Asks for widths, heads and depths, and builds a model with slices of another one's weights.

    Args:
        model: the full model; it is read at each build.
        plan: made for it.
        report: about the plan.
        weights: "inherit" or "reset".
    """

    def __init__(self, model: nn.Module, plan: Plan, report: Report, weights: str) -> None:
        self._model, self._plan, self.report, self._weights = model, plan, report, weights
        # Where a decision is about layers of one block only, it exists only if the block does.
        self._homes = {cut.label: _home(cut, plan.stages) for cut in plan.cuts}
        self.__qualname__ = type(model).__qualname__

    def __call__(self) -> nn.Module:
        context = current()
        answers: dict[str, int] = {}
        self._ask(context, None, answers)
        for stage in self._plan.stages:
            depth = answers[stage.label] = context.decide(stage.label, Categorical(stage.candidates))
            for position in context.visits(range(len(stage.names)), range(depth)):
                with context.inside(stage.label, position, [d for d in stage.candidates if d > position]):
                    self._ask(context, (stage.label, position), answers)
        # While a space learns its questions, its builder runs on the meta device, and is not to copy weights.
        meta = torch.get_default_device().type == "meta"
        smaller = build(self._model, self._plan, answers, meta=meta, note=context.sliced)
        if self._weights == "reset" and not meta:
            reset(smaller)
        return smaller

    def _ask(self, context: Context, home: tuple[str, int] | None, answers: dict[str, int]) -> None:
        for cut in self._plan.cuts:
            if self._homes[cut.label] == home:
                answers[cut.label] = context.decide(cut.label, Categorical(cut.candidates))


def _home(cut: Cut, stages: Sequence[Stage]) -> tuple[str, int] | None:
    for stage in stages:
        for position, path in enumerate(stage.dropped(0)):
            if all(layer == path or layer.startswith(f"{path}.") for layer in (*cut.layers, *cut.followers)):
                return stage.label, position
    return None


def from_model(
    model: nn.Module,
    example_input: Example,
    *,
    widths: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    round_to: int = 8,
    kinds: Collection[Kind] = KINDS,
    keep: Collection[str] = (),
    weights: Literal["inherit", "reset"] = "inherit",
    verbose: bool = True,
) -> ModelSpace:
    """Make a space of smaller versions of a model, trained or not: fewer channels, heads, hidden units and blocks.

    Which channels belong together is found by following them through a trace of the forward pass (`torch.export`),
    and the smallest sample is traced as well: it must do the same operations, on tensors of the sizes foreseen. What
    cannot be followed or fails the check keeps its size, and is listed with the reason; see `report`. Inputs and
    outputs of the model keep their sizes.

    A model that is built is an ordinary module of the model's own classes, with the same names in its state dict. Its
    weights are slices of the model's at the time of the build: the first channels, the first heads, the first blocks.
    The model itself is left as it was; the space holds on to it. All decisions default to the full size.

    Args:
        model: on any device; on the meta device, everything is done but the comparison of values.
        example_input: a tensor, a tuple of positional inputs, or a mapping of keyword inputs, on the model's device.
        widths: ratios of channels, heads and hidden units that are kept; the full size is always there.
        round_to: channels are kept in multiples of this, except where there are fewer to begin with.
        kinds: what to search: "width" of layers and streams of channels, "hidden" width of transformer MLPs, number of
            attention "heads", "depth": how many residual blocks of a `Sequential` or `ModuleList` are kept.
        keep: layers whose own channels stay: paths, patterns such as `"blocks.0.*"`, or paths of modules that hold
            them.
        weights: "inherit" slices; "reset" draws new ones for each build, by the layers' `reset_parameters` (other
            weights, such as position embeddings, are slices still).
        verbose: print the summary of the report.

    Raises:
        SpaceError: the model cannot run on the example or cannot be traced, nothing in it is searchable, the
            full-size sample does not equal it, or an argument is wrong.

    Example:
        ```python
        space = lanista.from_model(resnet, torch.randn(1, 3, 224, 224))
        print(lanista.elastic.report(space))
        small = space.build(space.sample(0))
        ```
    """
    _checked(model, widths, round_to, weights, kinds)
    wish = Wish(tuple(widths), round_to, frozenset(kinds), _kept(model, keep))
    plan, report = settled(Subject(model, example_input), wish)
    if verbose:
        print(report.summary())
    LOG.debug("%s", report)
    positional = example_input if isinstance(example_input, torch.Tensor | tuple) else None
    return ModelSpace(Elastic(model, plan, report, weights), example_input=positional)


def report(space: ModelSpace) -> Report:
    """What `from_model` made searchable, what not, and why.

    Raises:
        SpaceError: the space does not come from `from_model`.
    """
    builder = space._callable
    if not isinstance(builder, Elastic):
        raise SpaceError(f"{space!r} does not come from lanista.from_model, which alone makes reports")
    return builder.report


def _checked(model: object, widths: Sequence[float], round_to: int, weights: str, kinds: Collection[str]) -> None:
    if not isinstance(model, nn.Module):
        raise SpaceError(f"model is {model!r} ({type(model).__name__}); give a torch.nn.Module that is built")
    if not all(isinstance(ratio, int | float) and 0 < ratio <= 1 for ratio in widths):
        raise SpaceError(f"widths is {widths!r}; give ratios above 0 and up to 1, such as (0.25, 0.5, 0.75, 1.0)")
    if not isinstance(round_to, int) or round_to < 1:
        raise SpaceError(f"round_to is {round_to!r}; give an integer of at least 1")
    if weights not in WEIGHTS:
        raise SpaceError(f"weights is {weights!r}; it must be one of {', '.join(map(repr, WEIGHTS))}")
    if isinstance(kinds, str) or not set(kinds) <= set(KINDS):
        raise SpaceError(f"kinds is {kinds!r}; give a list of some of {', '.join(map(repr, KINDS))}")


def _kept(model: nn.Module, keep: Collection[str]) -> frozenset[str]:
    """The layers that the caller names."""
    if isinstance(keep, str):
        raise SpaceError(f"keep is {keep!r}; give a list: [{keep!r}]")
    found: set[str] = set()
    for name in keep:
        meant = [path for path in layers(model) if fnmatch.fnmatchcase(path, name) or path.startswith(f"{name}.")]
        if not meant:
            raise SpaceError(
                f"keep names {name!r}, but no layer with weights is there; the first layers are {layers(model)[:5]}"
            )
        found.update(meant)
    return frozenset(found)
