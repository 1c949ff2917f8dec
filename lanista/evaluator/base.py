"""The contract of what scores a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeAlias

from torch import nn

from lanista.trial import Trial


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

    def rehearse(self, model: nn.Module, trial: Trial) -> None:  # noqa: B027, an evaluator need not
        """Raise what is broken, in seconds: called once before a search, with the model of the default architecture."""


EvaluatorSource: TypeAlias = Evaluator | Callable[[], Evaluator]
"""An evaluator, or a callable that builds one and may ask questions (`choice`, `real`) on the way."""
