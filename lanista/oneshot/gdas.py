"""GDAS: one option, drawn by a Gumbel-softmax, with the gradient of the soft sample.

Dong, Yang: Searching for A Robust Neural Architecture in Four GPU Hours. CVPR 2019, https://arxiv.org/abs/1910.04465
"""

from __future__ import annotations

import torch
from torch import Tensor

from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.differentiable import Differentiable
from lanista.oneshot.gate import gumbel, opened, rows_of
from lanista.oneshot.temperature import Ends, checked, linear


class GDAS(Differentiable):
    """Runs one option of each row, the greatest of a Gumbel-softmax sample (several, where several are chosen).

    Forward, its weight h is 1; backward, that of the soft sample h~ (equations 3 to 5 of the paper). So a step costs
    what a single architecture costs.

    Args:
        temperatures: tau at the start and at the end of the search; between them it falls linearly.
        learning_rate: of the parameters of the architecture.
        weight_decay: of the same.
        penalty: what a costly architecture costs.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        temperatures: Ends = (10.0, 0.1),
        learning_rate: float = 3e-4,
        weight_decay: float = 1e-3,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, penalty=penalty)
        self.temperatures = checked(temperatures)

    @property
    def tau(self) -> float:
        """The temperature of now."""
        return linear(self.temperatures, self.progress)

    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        logits = alpha.log_softmax(1) + gumbel(alpha, generator)
        soft = (logits / self.tau).softmax(1)
        chosen = logits.topk(relaxation.drawn, 1).indices
        return Mixture(opened(chosen, soft), rows_of(chosen), exact=True)
