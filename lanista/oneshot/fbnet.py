"""FBNet: all options, weighted by a Gumbel-softmax sample whose temperature falls. SNAS is the same rule.

Wu et al.: FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search. CVPR 2019,
https://arxiv.org/abs/1812.03443
Xie, Zheng, Liu, Lin: SNAS: Stochastic Neural Architecture Search. ICLR 2019, https://arxiv.org/abs/1812.09926
"""

from __future__ import annotations

import torch
from torch import Tensor

from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.differentiable import Differentiable
from lanista.oneshot.gate import gumbel
from lanista.oneshot.temperature import Ends, checked, exponential


class FBNet(Differentiable):
    """Mixes all options, weighted by a sample of the Gumbel-softmax distribution, nearly one-hot in the end.

    The default settings are FBNet's: in its 90 epochs, the temperature is 5 * exp(-0.045 * epoch), from 5 to 0.087.
    SNAS takes its architecture's optimizer from DARTS, and begins at 1:
    `FBNet(temperatures=(1.0, 0.03), learning_rate=3e-4, weight_decay=1e-3)`.

    FBNet's latency is `penalty=Penalty(latency, target, form="log")`.

    Args:
        temperatures: tau at the start and at the end of the search; between them it falls exponentially.
        learning_rate: of the parameters of the architecture.
        weight_decay: of the same.
        penalty: what a costly architecture costs.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        temperatures: Ends = (5.0, 0.087),
        learning_rate: float = 1e-2,
        weight_decay: float = 5e-4,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, penalty=penalty)
        self.temperatures = checked(temperatures)

    @property
    def tau(self) -> float:
        """The temperature of now."""
        return exponential(self.temperatures, self.progress)

    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        logits = alpha.log_softmax(1) + gumbel(alpha, generator)
        return Mixture(relaxation.drawn * (logits / self.tau).softmax(1))
