"""The norm of the gradient of an untrained network.

Abdelfattah et al.: Zero-cost proxies for lightweight NAS. https://arxiv.org/abs/2101.08134
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
class GradNorm(Measure):
    """The gradient of the loss on one batch: the sum over weight tensors of its Euclidean norm; greater is better.

    Of all weights (see `specimen.weights`). It is 0 where the loss depends on no weight, and -inf where it is not
    finite. Batch norms use the batch's statistics; all else is in evaluation mode.

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
    name: str = field(default="grad_norm", kw_only=True)
    unit: str = field(default="", init=False)
    repeatable: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        check(self.inputs, self.targets, self.loss, self.name)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return score(model, inputs_of(self.inputs, self.name), self._norms, name=self.name)

    def _norms(self, model: nn.Module, inputs: tuple[Any, ...]) -> float:
        found = slopes(loss_of(model, inputs, self.targets, self.loss), list(weights(model, self.name).values()))
        return sum(float(slope.double().norm()) for slope in found)

    def __repr__(self) -> str:
        data = f"{shapes(self.inputs)}, {shapes(self.targets)}"
        return f"GradNorm({data}, loss={functional(self.loss)}, name={self.name!r})"
