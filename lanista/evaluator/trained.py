"""What evaluators have in common that train with Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import nn

from lanista.evaluator.base import Evaluator, Sharing, Weights
from lanista.evaluator.training import Training
from lanista.trial import Trial


class Trained(Evaluator):
    """An evaluator whose trials are runs of Lightning.

    Attributes:
        training: how a model is trained.
    """

    training: Training

    @property
    @final
    def keep_weights(self) -> bool:
        return self.training.keep_weights

    @final
    def evaluate(self, model: nn.Module, trial: Trial) -> dict[str, float]:
        return self.training.evaluate(model, trial)

    @final
    def rehearse(self, model: nn.Module, trial: Trial) -> None:
        self.training.rehearse(model, trial, self)

    @final
    def share(self, begin: Callable[[int], Sharing], weights: Weights, trial: Trial) -> Sharing:
        return self.training.share(begin, weights, trial)

    @final
    def score(self, model: nn.Module, trial: Trial, *, recalibrate: int = 0) -> dict[str, float]:
        return self.training.score(model, trial, recalibrate)
