"""`FunctionalEvaluator`: any function as an evaluator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from lanista.errors import MetricError
from lanista.evaluator.base import Evaluator
from lanista.trial import Trial


class FunctionalEvaluator(Evaluator):
    """Scores a model with a function of the user's.

    Args:
        function: `function(model)` or `function(model, trial)`; returns a number, or numbers by name. It gets the
            trial if it has a parameter named `trial`, or a second one without default.
        keep_weights: the function trains the model in place, and the weights of the best trials are to be kept, so
            that an export has them.

    Raises:
        MetricError: `function` cannot be called so.
    """

    def __init__(self, function: Callable[..., float | Mapping[str, float]], *, keep_weights: bool = False) -> None:
        if not callable(function):
            raise MetricError(f"function is {function!r}; give a function(model) or function(model, trial)")
        self._function = function
        self._keep_weights = keep_weights
        self._takes_trial = _takes_trial(function)

    @property
    def keep_weights(self) -> bool:
        return self._keep_weights

    def evaluate(self, model: nn.Module, trial: Trial) -> float | Mapping[str, float]:
        return self._function(model, trial) if self._takes_trial else self._function(model)

    def __repr__(self) -> str:
        return f"FunctionalEvaluator({getattr(self._function, '__qualname__', repr(self._function))})"


def _takes_trial(function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # a builtin without a signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    needed = [p for p in positional if p.default is p.empty]
    if (not positional and not takes_any) or len(needed) > 2:
        raise MetricError(
            f"an evaluator function is called as function(model) or function(model, trial), but {function!r} takes "
            f"({', '.join(map(str, parameters))}); bind the other arguments with functools.partial"
        )
    return len(needed) == 2 or (len(positional) > 1 and positional[1].name == "trial")
