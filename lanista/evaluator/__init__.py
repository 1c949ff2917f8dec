"""What scores models; loaded when it is first used."""

from lanista.lazy import exports

_HOMES = {
    "Evaluator": "lanista.evaluator.base",
    "FunctionalEvaluator": "lanista.evaluator.functional",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
