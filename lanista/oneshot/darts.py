"""DARTS: all options, weighted by a softmax.

Liu, Simonyan, Yang: DARTS: Differentiable Architecture Search. ICLR 2019, https://arxiv.org/abs/1806.09055
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lanista.errors import OneShotError
from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.differentiable import Differentiable
from lanista.oneshot.method import Loss
from lanista.oneshot.reduction import average

EPSILON = 0.01
"""The step of the finite difference, divided by the norm of the gradient: the paper's footnote 2."""


class DARTS(Differentiable):
    """Mixes all options, weighted by the softmax of their parameters.

    Of second order, the architecture follows the gradient of the loss after one step of the weights (equation 7 of the
    paper, with the Hessian-vector product as a difference of two gradients, equation 8): about three times the time.
    The step is that of SGD with the optimizer's learning rate, momentum and weight decay.

    Args:
        order: 1 or 2.
        learning_rate: of the parameters of the architecture.
        weight_decay: of the same.
        penalty: what a costly architecture costs.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        order: int = 1,
        learning_rate: float = 3e-4,
        weight_decay: float = 1e-3,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, penalty=penalty)
        if order not in (1, 2):
            raise OneShotError(f"order is {order!r}; it must be 1 or 2")
        self.order = order

    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        return Mixture(relaxation.drawn * alpha.softmax(1))

    def learn(self, valid: Any, loss: Loss, optimizer: torch.optim.Optimizer, train: Any) -> None:
        if self.order == 1:
            super().learn(valid, loss, optimizer, train)
        else:
            self.follow(self.hypergradient(valid, loss, optimizer, train))

    def hypergradient(
        self, valid: Any, loss: Loss, optimizer: torch.optim.Optimizer, train: Any
    ) -> tuple[Tensor | None, ...]:
        """The gradient of the validation loss after a step of the weights, by the parameters of the architecture."""
        alphas = list(self.alphas.values())
        groups = {id(w): group for group in optimizer.param_groups for w in group["params"]}
        supernet = self.network.supernet
        weights = [weight for weight in supernet.parameters() if id(weight) in groups and weight.requires_grad]
        before = [weight.detach().clone() for weight in weights]
        gradients = torch.autograd.grad(loss(self.mixture("weights"), train), weights, allow_unused=True)
        average(gradient for gradient in gradients if gradient is not None)
        try:
            with torch.no_grad():  # w' = w - xi * (the gradient of the training loss, and SGD's momentum)
                for weight, gradient in zip(weights, gradients, strict=True):
                    if gradient is not None:
                        weight.sub_(_step(weight, gradient, optimizer, groups[id(weight)]))
            value = self.penalised(loss(self.mixture("architecture"), valid))
            found = torch.autograd.grad(value, [*alphas, *weights], allow_unused=True)
            vector = [
                None if v is None else groups[id(weight)]["lr"] * v
                for weight, v in zip(weights, found[len(alphas) :], strict=True)
            ]
            average(v for v in vector if v is not None)
            # the mixed second derivative, times xi and the vector, by a central difference
            radius = EPSILON / (torch.stack([v.norm() for v in vector if v is not None]).norm() + 1e-12)
            sides = []
            for sign in (1.0, -1.0):
                with torch.no_grad():
                    for weight, old, v in zip(weights, before, vector, strict=True):
                        weight.copy_(old if v is None else old + sign * radius * v)
                sides.append(torch.autograd.grad(loss(self.mixture("weights"), train), alphas, allow_unused=True))
        finally:
            with torch.no_grad():
                for weight, old in zip(weights, before, strict=True):
                    weight.copy_(old)
        return tuple(
            first if first is None or up is None or down is None else first - (up - down) / (2 * radius)
            for first, up, down in zip(found[: len(alphas)], *sides, strict=True)
        )


def _step(weight: Tensor, gradient: Tensor, optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> Tensor:
    """What SGD would subtract."""
    moved = gradient + group.get("weight_decay", 0.0) * weight
    momentum = optimizer.state.get(weight, {}).get("momentum_buffer")
    if momentum is not None:
        moved = moved + group["momentum"] * momentum
    stepped: Tensor = group["lr"] * moved
    return stepped
