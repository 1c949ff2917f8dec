"""SNIP: how much the loss depends on which connections there are.

Lee et al.: SNIP: Single-shot network pruning based on connection sensitivity. https://arxiv.org/abs/1810.02340; as a
score of architectures: Abdelfattah et al., https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn.functional import cross_entropy

from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import inputs_of
from lanista.profile.specimen import Loss, check, functional, loss_of, score, shapes, slopes, weights


@dataclass(frozen=True, eq=False, repr=False)
class Snip(Measure):
    """Connection sensitivity on one batch: `sum_w |w * dL/dw|`; greater is better.

    The sum goes over all weights (see `specimen.weights`), not normalised. It is 0 where the loss depends on no weight,
    and -inf where it is not finite. Batch norms use the batch's statistics; all else is in evaluation mode.

    Args:
        inputs: the batch: a tensor, or a tuple of positional inputs. It is used in place of the example input.
        targets: what `loss` compares the outputs with.
        loss: from outputs and targets to one number.
        name: a word, where two are to be told apart.

    Raises:
        SpaceError: an argument is no such thing.
    """

    inputs: Example
    targets: Any
    loss: Loss = cross_entropy
    name: str = field(default="snip", kw_only=True)
    unit: str = field(default="", init=False)
    repeatable: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check(self.inputs, self.targets, self.loss, self.name)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return score(model, inputs_of(self.inputs, self.name), self._sensitivity, name=self.name)

    def _sensitivity(self, model: nn.Module, inputs: tuple[Any, ...]) -> float:
        counted = list(weights(model, self.name).values())
        found = slopes(loss_of(model, inputs, self.targets, self.loss), counted)
        return sum(float((w * slope).abs().double().sum()) for w, slope in zip(counted, found, strict=True))

    def __repr__(self) -> str:
        return f"Snip({shapes(self.inputs)}, {shapes(self.targets)}, loss={functional(self.loss)}, name={self.name!r})"
