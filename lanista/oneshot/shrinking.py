"""ProgressiveShrinking: first the largest network alone, then smaller and smaller ones, which learn from it.

Cai, Gan, Wang, Zhang, Han: Once-for-All: Train One Network and Specialize it for Efficient Deployment. ICLR 2020,
https://arxiv.org/abs/1908.09791
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from lanista.errors import OneShotError
from lanista.oneshot.distillation import Distillation, Distilling
from lanista.oneshot.extreme import extremes
from lanista.oneshot.method import Loss
from lanista.oneshot.sampling import Sampling
from lanista.space.domain import Architecture, Domain, Value, is_integer, is_number, key, plain

LEVELS = 4
"""In how many stages a decision's values are opened at most."""

REDRAWS = 100
"""How often an architecture is drawn that keeps the limits, and a value that is open."""


class ProgressiveShrinking(Sampling):
    """Trains the largest network, then opens the decisions one group after another, from the largest value downwards.

    For the first part of the steps the largest network is trained by the loss. A copy of it is the teacher from then
    on: random sub-networks learn from the loss and what the teacher says, summed. Groups are opened in `order`: in the
    paper kernels, then depths, then widths. A group has a stage for each value that its decisions have beside the
    largest (at most 4); in each stage numbers get the next smaller values, and all stages are equally long. A decision
    whose values are not numbers is opened as a whole in the first stage of its group.

    Open values are drawn uniformly, or by their priors. Architectures keep the space's limits: what misses them is
    drawn again, and at last moved into them, then perhaps to values that are not open yet. The largest network is the
    one with the most parameters within the limits; see `lanista.oneshot.extreme`.

    Args:
        order: patterns of labels (`fnmatch`), one for each group; a decision belongs to the first that fits. Those
            that none fits are a last group.
        full: the part of the steps in which the largest network is trained alone, above 0 and below 1.
        paths: how many sub-networks are trained in each step after that, at least 1.
        distillation: "soft": the teacher's probabilities are labels, too; None: there is no teacher; "auto": the one
            where targets are classes, the loss alone where they are not; or a function of two outputs; see
            `lanista.oneshot.distillation`.

    Attributes:
        largest: the architecture.
        teacher: the copy; None before it is made.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        order: Sequence[str] = ("*kernel*", "*depth*"),
        full: float = 0.25,
        paths: int = 2,
        distillation: Distilling = "auto",
    ) -> None:
        if isinstance(order, str):
            raise OneShotError(f"order is {order!r}; give a list of patterns, such as ['*kernel*', '*depth*']")
        if not 0 < full < 1 or not is_integer(paths) or paths < 1:
            raise OneShotError(
                f"full is {full!r}, which must be above 0 and below 1, and paths {paths!r}, an integer of at least 1"
            )
        self.order, self.full, self.paths, self.distillation = tuple(order), full, paths, distillation
        self._distillation = Distillation(distillation)

    def prepare(self) -> None:
        self.largest, smallest = extremes(self.network.supernet)
        self.teacher: nn.Module | None = None
        self._groups: list[dict[str, _Opening]] = [{} for _ in range(len(self.order) + 1)]
        for decision in self.network.supernet.space.decisions:
            label = decision.label
            fits = [index for index, pattern in enumerate(self.order) if fnmatchcase(label, pattern)]
            opening = _opening(decision.domain, self.largest.get(label), smallest.get(label))
            self._groups[min(fits, default=len(self.order))][label] = opening
        self._lengths = [max((opening.stages for opening in group.values()), default=0) for group in self._groups]

    @property
    def stage(self) -> int:
        """How many stages have begun; 0 while the largest network is trained alone."""
        if self.progress < self.full:
            return 0
        stages = sum(self._lengths)
        return min(stages, 1 + int((self.progress - self.full) / (1 - self.full) * stages + 1e-9))

    def open(self) -> dict[str, list[Value] | None]:
        """The values that are drawn now, by label; None where all are."""
        left, found = self.stage, {}
        for group, length in zip(self._groups, self._lengths, strict=True):
            found.update({label: opening.after(left) for label, opening in group.items()})
            left = max(0, left - length)
        return found

    def draw(self, random: Random) -> Architecture:
        """A random architecture of values that are open."""
        space, opened = self.network.supernet.space.decisions, self.open()
        for _ in range(REDRAWS):
            drawn = space.decide(lambda decision: _draw(decision.domain, opened[decision.label], random))
            if not space.violations(drawn):
                return drawn
        return space.repair(drawn, random)

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        if self.progress < self.full:
            yield loss(self.network.sub(self.largest), train)
            return
        if self.distillation is not None:
            if self.teacher is None:
                self.teacher = self._copy()
            with torch.no_grad():
                self._distillation.teach(self.teacher, loss, train)
        random = self.random()
        for _ in range(self.paths):
            yield self._distillation.learn(self.network.sub(self.draw(random)), loss, train, hard=1.0)

    def _copy(self) -> nn.Module:
        """The largest network as it is now, for evaluation alone."""
        return self.network.supernet.inherit(self.largest).eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        taught = None if self.teacher is None else self.teacher.state_dict()
        return {**super().state_dict(), "teacher": taught}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.teacher = None if state["teacher"] is None else self._copy()
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])


@dataclass(frozen=True)
class _Opening:
    """How a decision's values are opened.

    Attributes:
        values: in the order in which they are; the first from the beginning. Of a continuous range only that one.
        stages: in how many stages.
    """

    values: list[Value]
    stages: int

    def after(self, stages: int) -> list[Value] | None:
        """The values that are open when so many stages have begun; None: all."""
        if stages >= self.stages:
            return None
        return self.values[: 1 + math.ceil((len(self.values) - 1) * stages / self.stages)]


def _opening(domain: Domain, largest: Value | None, smallest: Value | None) -> _Opening:
    """From the value of the largest network towards that of the smallest, then the rest; values None: it has none."""
    if domain.size == math.inf:
        return _Opening([domain.default() if largest is None else largest], 1)
    values = list(domain.grid())
    if not all(is_number(value) for value in values):
        first = domain.default() if largest is None else largest
        return _Opening([first, *(value for value in values if key(value) != key(first))], min(1, len(values) - 1))
    upwards = largest is not None and smallest is not None and largest < smallest
    ordered = sorted(values, reverse=not upwards)
    start = 0 if largest is None else ordered.index(largest)
    return _Opening([*ordered[start:], *ordered[:start][::-1]], min(LEVELS, len(values) - 1))


def _draw(domain: Domain, opened: list[Value] | None, random: Random) -> Value:
    """A value by the domain's own measure, given that it is open."""
    if opened is None:
        return domain.draw(random)
    if len(opened) == 1:
        return plain(opened[0])
    for _ in range(REDRAWS):
        value = domain.draw(random)
        if value in opened:
            return value
    return plain(random.choice(opened))
