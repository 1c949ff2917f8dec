from lanista.evaluator.base import Evaluator as Evaluator
from lanista.evaluator.functional import FunctionalEvaluator as FunctionalEvaluator
