"""The covariance of the Jacobians of a batch: whether an untrained network tells inputs apart.

Mellor et al.: Neural architecture search without training, first version. https://arxiv.org/abs/2006.04647v1; called
jacob_cov by Abdelfattah et al., https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import inputs_of, replaced, tensors_in
from lanista.profile.specimen import score, shapes, slopes, total

K = 1e-5
"""What is added to eigenvalues; the paper's k."""


@dataclass(frozen=True, eq=False, repr=False)
class Jacov(Measure):
    """How little the Jacobians of a batch are correlated: `-sum_i (ln(v_i + k) + 1 / (v_i + k))`; greater is better.

    The Jacobian of an input is the gradient, with respect to it, of the sum of all outputs; v are the eigenvalues of
    the correlation matrix of the Jacobians of the batch, and k = 1e-5. It is greatest, minus the number of inputs,
    where no two Jacobians are correlated. It is -inf where an input has a constant Jacobian (zeros, say), for
    which there is no correlation. Batch norms use the batch's statistics; all else is in evaluation mode.

    Args:
        inputs: the batch, at least 2 inputs: a tensor, or a tuple of positional inputs, of floating-point numbers with
            the batch as first dimension. Other tensors in it are handed to the model, and no more. It is used in place
            of the example input.
        name: a word, where two are to be told apart.

    Raises:
        SpaceError: there is no such batch.
    """

    inputs: Example
    name: str = field(default="jacov", kw_only=True)
    unit: str = field(default="", init=False)
    repeatable: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        sizes = {tuple(t.shape[:1]) for t in tensors_in(self.inputs) if t.is_floating_point()}
        if len(sizes) != 1 or min(sizes) < (2,):
            raise SpaceError(
                f"{self.name} got inputs of shape {shapes(self.inputs)}; give at least 2, along the first dimension of "
                "tensors of floating-point numbers, which have a gradient"
            )

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return score(model, inputs_of(self.inputs, self.name), self._correlation, name=self.name)

    def _correlation(self, model: nn.Module, inputs: tuple[Any, ...]) -> float:
        inputs = replaced(inputs, Tensor, lambda x: x.clone().requires_grad_(x.is_floating_point()))
        variables = [tensor for tensor in tensors_in(inputs) if tensor.requires_grad]
        # Copies, so that a model may change its inputs in place.
        copies = replaced(inputs, Tensor, Tensor.clone)
        found = slopes(total(model(*copies), self.name), variables)
        jacobians = torch.cat([slope.flatten(1) for slope in found], 1).double()
        correlations = torch.corrcoef(jacobians)
        if not correlations.isfinite().all():
            return -inf
        v = torch.linalg.eigvalsh(correlations).clamp(min=0) + K
        return -float((v.log() + 1 / v).sum())

    def __repr__(self) -> str:
        return f"Jacov({shapes(self.inputs)}, name={self.name!r})"
