"""The contract of what scores a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias

import torch
from torch import nn

from lanista.errors import EvaluatorError
from lanista.trial import Trial

StepLoss: TypeAlias = Callable[[nn.Module, Any], Any]
"""Called with a model and a batch; returns the loss."""


class Weights(nn.Module, ABC):
    """Weights that many models share: a supernet."""

    @abstractmethod
    def catalogue(self) -> nn.Module:
        """All parameters in modules like those that they are of, under their names; it cannot be run."""


class Sharing(Protocol):
    """What trains shared weights: a one-shot method, once it is started.

    Attributes:
        learns: whether `learn` is to be called in each step.
        plain: whether it makes one pass in a step and does not look at its loss.
        count: how many steps were made.
    """

    learns: bool
    plain: bool
    count: int

    def passes(self, train: Any, loss: StepLoss) -> Iterator[Any]:
        """The losses of a step of the weights."""

    def learn(self, valid: Any, loss: StepLoss, optimizer: torch.optim.Optimizer, train: Any) -> None:
        """Make a step of the architecture."""

    def advance(self) -> None:
        """Close a step, after that of the optimizer."""

    def representative(self) -> nn.Module:
        """The model that stands for all, in validations."""

    def log(self, metrics: Mapping[str, float]) -> None:
        """Take note of how strong options are now, and of what was measured in this epoch."""

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


class Evaluator(ABC):
    """Says how good a model is. It is shipped to each worker once, and used there for one trial after another."""

    @property
    def keep_weights(self) -> bool:
        """Whether the model holds weights worth keeping when `evaluate` returns; the best trials' are then stored."""
        return False

    @abstractmethod
    def evaluate(self, model: nn.Module, trial: Trial) -> float | Mapping[str, float]:
        """Score `model`, training it in place as needed.

        Args:
            model: freshly built for this trial, on the CPU unless its constructor says otherwise. `random`, NumPy
                and torch are seeded with `trial.seed` before it is built.
            trial: for `trial.report(value, step)` and `trial.architecture`.

        Returns:
            The final metric, or metrics by name; finite numbers.
        """

    def share(self, begin: Callable[[int], Sharing], weights: Weights, trial: Trial) -> Sharing:
        """Train weights that many models share, in place, by a one-shot method.

        Args:
            begin: called with the number of training steps, once that is known; starts the method and returns it.
            weights: the supernet.
            trial: for `trial.report`, `trial.seed` and `trial.folder`, where an interrupted training goes on.

        Returns:
            The method.

        Raises:
            EvaluatorError: this evaluator cannot do that; by default none can.
        """
        raise EvaluatorError(
            f"{self!r} trains models by itself, and a one-shot method must see each batch; give Classification, "
            "Regression or LightningEvaluator, or train the supernet in a loop of your own (method.step or method.fit) "
            "and search it with lanista.oneshot.Inherited(evaluator, supernet)"
        )

    def score(self, model: nn.Module, trial: Trial, *, recalibrate: int = 0) -> float | Mapping[str, float]:
        """Score a model that has its weights already, without training it; by default that is what `evaluate` does.

        Args:
            model: with the weights that it is scored with.
            trial: as in `evaluate`.
            recalibrate: by how many training batches the statistics of batch normalisation are computed anew.
        """
        return self.evaluate(model, trial)

    def rehearse(self, model: nn.Module, trial: Trial) -> None:  # noqa: B027 (most evaluators have nothing to try)
        """Find out in seconds whether `evaluate` would work, and raise what does not; by default nothing is tried.

        Called once in a worker before a search starts, with the model of the default architecture, which is thrown
        away.
        """


EvaluatorSource: TypeAlias = Evaluator | Callable[[], Evaluator]
"""An evaluator, or a callable that builds one and may ask questions (`choice`, `real`) on the way."""
