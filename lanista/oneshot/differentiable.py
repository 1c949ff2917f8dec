"""What methods have in common that learn the strengths of options by gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lanista.nn.mixture import Mixture
from lanista.oneshot.cost import Penalty
from lanista.oneshot.method import Loss, Method
from lanista.oneshot.reduction import average


class Differentiable(Method):
    """A method with a parameter for each option: it says how these become a mixture, and follows the gradient.

    In each step the mixture of `rule` is run on the validation batch, and Adam updates the parameters of the
    architecture by its loss (and by the cost, with a `penalty`); then a mixture is run on the training batch, for the
    weights. These are steps of first order (DARTS, https://arxiv.org/abs/1806.09055, with xi = 0).

    Args:
        learning_rate: of the parameters of the architecture.
        weight_decay: of the same.
        penalty: what a costly architecture costs; see `lanista.oneshot.Penalty`.

    Attributes:
        alphas: the parameters of the architecture, by name of the relaxation, each of shape (rows, options).
    """

    mixes = True
    learns = True
    plain = True
    alphas: dict[str, nn.Parameter]

    def __init__(
        self, *, learning_rate: float = 3e-4, weight_decay: float = 1e-3, penalty: Penalty | None = None
    ) -> None:
        self.learning_rate, self.weight_decay, self.penalty = learning_rate, weight_decay, penalty

    @abstractmethod
    def rule(self, alpha: Tensor, drawn: int, generator: torch.Generator) -> Mixture:
        """How options are mixed in a forward pass.

        Args:
            alpha: parameters, of shape (rows, options).
            drawn: how many options of a row are chosen together: the sum of a row's weights.
            generator: of this step, the same in all processes.
        """

    def probabilities(self, alpha: Tensor) -> Tensor:
        """The strengths of options: by default the softmax of each row."""
        return alpha.softmax(1)

    def initial(self, rows: int, options: int, generator: torch.Generator) -> Tensor:
        """The parameters at first: nearly equal."""
        return 1e-3 * torch.randn(rows, options, generator=generator)

    def prepare(self) -> None:
        device, generator = self.network.supernet.device, self.generator("initial")
        self.alphas = {
            name: nn.Parameter(self.initial(relaxation.rows, relaxation.options, generator).to(device))
            for name, relaxation in self.network.relaxations.items()
        }
        self.optimizer = torch.optim.Adam(
            list(self.alphas.values()), self.learning_rate, (0.5, 0.999), weight_decay=self.weight_decay
        )
        if self.penalty is not None:
            self.penalty.start(self.network)

    def mixture(self, purpose: str) -> nn.Module:
        """The network, with a mixture drawn for this step."""
        generator = self.generator(purpose)
        return self.network.mix(
            {
                name: self.rule(alpha, self.network.relaxations[name].drawn, generator)
                for name, alpha in self.alphas.items()
            }
        )

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        with torch.no_grad():  # the weights' step needs no gradient of the architecture
            model = self.mixture("weights")
        yield loss(model, train)

    def learn(self, valid: Any, loss: Loss, optimizer: torch.optim.Optimizer, train: Any) -> None:
        value = self.penalised(loss(self.mixture("architecture"), valid))
        self.follow(torch.autograd.grad(value, list(self.alphas.values()), allow_unused=True))

    def penalised(self, value: Tensor) -> Tensor:
        """A loss, with the price of what the architecture is expected to cost."""
        if self.penalty is None:
            return value
        return self.penalty(value, {name: self.probabilities(alpha) for name, alpha in self.alphas.items()})

    def follow(self, gradients: tuple[Tensor | None, ...]) -> None:
        """Update the parameters of the architecture by gradients, averaged over all processes."""
        for alpha, gradient in zip(self.alphas.values(), gradients, strict=True):
            alpha.grad = torch.zeros_like(alpha) if gradient is None else gradient
        average(alpha.grad for alpha in self.alphas.values() if alpha.grad is not None)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def strengths(self) -> dict[str, list[list[float]]]:
        with torch.no_grad():
            return {name: self.probabilities(alpha).tolist() for name, alpha in self.alphas.items()}

    def state_dict(self) -> dict[str, Any]:
        alphas = {name: alpha.detach() for name, alpha in self.alphas.items()}
        return {**super().state_dict(), "alphas": alphas, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        with torch.no_grad():
            for name, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][name])
        self.optimizer.load_state_dict(state["optimizer"])
