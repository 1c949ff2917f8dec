"""What scores models."""

from lanista.evaluator.base import Evaluator
from lanista.evaluator.functional import FunctionalEvaluator

__all__ = ["Evaluator", "FunctionalEvaluator"]
