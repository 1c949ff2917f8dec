"""What scores models; loaded when it is first used."""

from lanista.lazy import exports

_HOMES = {
    "Classification": "lanista.evaluator.classification",
    "Evaluator": "lanista.evaluator.base",
    "FunctionalEvaluator": "lanista.evaluator.functional",
    "LightningEvaluator": "lanista.evaluator.module",
    "Regression": "lanista.evaluator.regression",
    "Retrained": "lanista.evaluator.retraining",
    "recalibrate": "lanista.evaluator.recalibration",
    "retrain": "lanista.evaluator.retraining",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
