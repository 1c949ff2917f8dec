"""ProxylessNAS: one option of two that are drawn, and the gradient of both; memory of one architecture.

Cai, Zhu, Han: ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware. ICLR 2019,
https://arxiv.org/abs/1812.00332
"""

from __future__ import annotations

import torch
from torch import Tensor

from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.differentiable import Differentiable, share
from lanista.oneshot.gate import draw, opened, rows_of


class ProxylessNAS(Differentiable):
    """Trains the weights of one drawn path, and lets the architecture learn by comparing two options of each row.

    Two options are drawn by their probabilities p, and one of the two is opened, by p once more (several, where several
    are chosen). The other one is computed only in the backward pass, without memory, for the gradient of its gate g.
    The gradient of alpha is that of the two (equation 4 of the paper, on a softmax of two), and a step leaves the
    probabilities of all other options as they were (3.2.1). Adam has no momentum, as in the authors' code.

    In the first part of the search only the weights are trained, of paths that are drawn as long as all are nearly
    equal: before the convolutions have learnt anything, what does nothing is as good. The authors' code does so for 40
    of 160 epochs.

    Args:
        warmup: the share of the search in which the architecture stands still, from 0 to 1.
        learning_rate: of the parameters of the architecture.
        weight_decay: of the same; it acts only on what is drawn.
        penalty: what a costly architecture costs.

    Raises:
        OneShotError: an argument is out of range.
    """

    betas = (0.0, 0.999)

    def __init__(
        self,
        *,
        warmup: float = 0.25,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, penalty=penalty)
        self.warmup = share("warmup", warmup)

    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        compared = draw(alpha, min(relaxation.drawn + 1, relaxation.options), generator)
        among = alpha.gather(1, compared)
        chosen = compared.gather(1, draw(among, relaxation.drawn, generator))
        p = torch.zeros_like(alpha).scatter(1, compared, relaxation.drawn * among.softmax(1))
        runs = rows_of(chosen)
        watched = tuple(
            tuple(option for option in both if option not in one)
            for both, one in zip(rows_of(compared), runs, strict=True)
        )
        return Mixture(opened(chosen, p), runs, watched, exact=True)

    def training(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        chosen = draw(alpha, relaxation.drawn, generator)
        return Mixture(opened(chosen, alpha), rows_of(chosen), exact=True)

    def follow(self, gradients: tuple[Tensor | None, ...]) -> None:
        before = [alpha.detach().clone() for alpha in self.alphas.values()]
        super().follow(gradients)
        with torch.no_grad():
            for (name, alpha), old in zip(self.alphas.items(), before, strict=True):
                alpha.copy_(_settled(old, alpha, self.network.relaxations[name].mixture))


def _settled(old: Tensor, new: Tensor, mixture: Mixture | None) -> Tensor:
    """What was compared keeps its share of the probability, and the rest stays."""
    assert mixture is not None and mixture.runs is not None and mixture.watched is not None
    compared = torch.zeros_like(old, dtype=torch.bool)
    for row, options in enumerate(zip(mixture.runs, mixture.watched, strict=True)):
        compared[row, [*options[0], *options[1]]] = True
    share = [torch.where(compared, alpha, -torch.inf).logsumexp(1, keepdim=True) for alpha in (new, old)]
    return torch.where(compared, new - (share[0] - share[1]), old)
