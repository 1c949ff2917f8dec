"""What methods have in common that learn the strengths of options by gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lanista.errors import OneShotError
from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.method import Loss, Method
from lanista.oneshot.reduction import average
from lanista.space.domain import Architecture, is_number


class Differentiable(Method):
    """A method with a parameter for each option: it says how these become a mixture, and follows the gradient.

    In each step the mixture of `rule` is run on the validation batch, and Adam updates the parameters of the
    architecture by its loss (and by the cost, with a `penalty`); then the mixture of `training` is run on the training
    batch, for the weights. These are steps of first order (DARTS, https://arxiv.org/abs/1806.09055, with xi = 0).

    Args:
        learning_rate: of the parameters of the architecture, at least 0.
        weight_decay: of the same, at least 0.
        penalty: what a costly architecture costs; see `lanista.oneshot.Penalty`.

    Attributes:
        alphas: the parameters of the architecture, by name of the relaxation, each of shape (rows, options).
        betas: of Adam.
        warmup: the share of the search in which the architecture stands still, and only the weights are trained.

    Raises:
        OneShotError: an argument is out of range.
    """

    mixes = True
    learns = True
    plain = True
    alphas: dict[str, nn.Parameter]
    betas = (0.5, 0.999)
    warmup = 0.0

    def __init__(
        self, *, learning_rate: float = 3e-4, weight_decay: float = 1e-3, penalty: Penalty | None = None
    ) -> None:
        if not learning_rate >= 0 or not weight_decay >= 0:
            raise OneShotError(
                f"learning_rate is {learning_rate!r} and weight_decay {weight_decay!r}; both must be at least 0"
            )
        self.learning_rate, self.weight_decay, self.penalty = learning_rate, weight_decay, penalty

    @abstractmethod
    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        """How options are mixed in a forward pass that the architecture learns from.

        Args:
            alpha: parameters, as `initial` made them.
            relaxation: what they are for; a row's weights sum up to its `drawn`.
            generator: of this step, the same in all processes.
        """

    def training(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        """How options are mixed in a forward pass that the weights learn from, without gradient: by default alike."""
        return self.rule(alpha, relaxation, generator)

    def probabilities(self, alpha: Tensor, relaxation: Relaxation) -> Tensor:
        """The strengths of options, of shape (rows, options): by default the softmax of each row."""
        return alpha.softmax(1)

    def initial(self, relaxation: Relaxation, generator: torch.Generator) -> Tensor:
        """The parameters at first: nearly equal."""
        return 1e-3 * torch.randn(relaxation.rows, relaxation.options, generator=generator, device="cpu")

    def prepare(self) -> None:
        device, generator = self.network.supernet.device, self.generator("initial")
        self.alphas = {
            name: nn.Parameter(self.initial(relaxation, generator).to(device))
            for name, relaxation in self.network.relaxations.items()
        }
        if not self.alphas:
            raise OneShotError(f"the space has no decision, so that {type(self).__name__} has nothing to learn")
        self.optimizer = torch.optim.Adam(
            list(self.alphas.values()), self.learning_rate, self.betas, weight_decay=self.weight_decay
        )
        if self.penalty is not None:
            self.penalty.start(self.network)

    def mixture(self, purpose: str) -> nn.Module:
        """The network, with a mixture drawn for this step, for the "architecture" or the "weights"."""
        generator = self.generator(purpose)
        rule = self.training if purpose == "weights" else self.rule
        return self.network.mix(
            {name: rule(alpha, self.network.relaxations[name], generator) for name, alpha in self.alphas.items()}
        )

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        with torch.no_grad():  # the weights' step needs no gradient of the architecture
            model = self.mixture("weights")
        yield loss(model, train)

    def learn(self, valid: Any, loss: Loss, optimizer: torch.optim.Optimizer, train: Any) -> None:
        if self.progress >= self.warmup:
            value = self.penalised(loss(self.mixture("architecture"), valid))
            self.follow(torch.autograd.grad(value, list(self.alphas.values()), allow_unused=True))

    def penalised(self, value: Tensor) -> Tensor:
        """A loss, with the price of what the architecture is expected to cost."""
        return value if self.penalty is None else self.penalty(value, self._probabilities())

    def follow(self, gradients: tuple[Tensor | None, ...]) -> None:
        """Update the parameters of the architecture by gradients, averaged over all processes."""
        for alpha, gradient in zip(self.alphas.values(), gradients, strict=True):
            alpha.grad = torch.zeros_like(alpha) if gradient is None else gradient
        average(alpha.grad for alpha in self.alphas.values() if alpha.grad is not None)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def strengths(self) -> dict[str, list[list[float]]]:
        with torch.no_grad():
            return {name: found.tolist() for name, found in self._probabilities().items()}

    def best(self, k: int = 1) -> list[Architecture]:
        """The strength of an architecture is the product of its options' strengths; see `lanista.oneshot.fitness`."""
        return self.network.strongest(self.strengths(), k)

    def _probabilities(self) -> dict[str, Tensor]:
        relaxations = self.network.relaxations
        return {name: self.probabilities(alpha, relaxations[name]) for name, alpha in self.alphas.items()}

    def state_dict(self) -> dict[str, Any]:
        alphas = {name: alpha.detach() for name, alpha in self.alphas.items()}
        return {**super().state_dict(), "alphas": alphas, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        with torch.no_grad():
            for name, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][name])
        self.optimizer.load_state_dict(state["optimizer"])


def share(name: str, value: float) -> float:
    """`value` if it is a number from 0 to 1; raises OneShotError otherwise."""
    if not is_number(value) or not 0 <= value <= 1:
        raise OneShotError(f"{name} is {value!r}; give a share of the search, from 0 to 1")
    return value
