"""DrNAS: all options, weighted by a sample of a Dirichlet distribution.

Chen, Wang, Cheng, Tang, Hsieh: DrNAS: Dirichlet Neural Architecture Search. ICLR 2021,
https://arxiv.org/abs/2006.10355
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Dirichlet
from torch.nn.functional import elu

from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.differentiable import Differentiable

LEAST = 1e-3
"""The least concentration: with less, samples have weights that are no numbers."""


class DrNAS(Differentiable):
    """Mixes all options, weighted by a sample of Dirichlet(beta), beta = elu(alpha) + 1, which has a gradient.

    The regulariser is the squared distance of alpha to 0, where the distribution is even: that is what `weight_decay`
    does, as in the authors' code. An option's strength is its mean, beta divided by the row's sum. Of the paper's
    progressive scheme, with partial channels at first and fewer options later, nothing is here.

    Args:
        learning_rate: of the parameters of the architecture.
        weight_decay: the weight of the regulariser.
        penalty: what a costly architecture costs.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(
        self, *, learning_rate: float = 6e-4, weight_decay: float = 1e-3, penalty: Penalty | None = None
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, penalty=penalty)

    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        # torch's distributions draw from the default generator alone
        seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            theta = Dirichlet(_beta(alpha).cpu(), validate_args=False).rsample()
        return Mixture(relaxation.drawn * theta.to(alpha.device))

    def probabilities(self, alpha: Tensor, relaxation: Relaxation) -> Tensor:
        beta = _beta(alpha)
        return beta / beta.sum(1, keepdim=True)


def _beta(alpha: Tensor) -> Tensor:
    """The concentrations, with a gradient wherever they are."""
    beta = elu(alpha) + 1
    return beta + (beta.detach().clamp(min=LEAST) - beta.detach())
