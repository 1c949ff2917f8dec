from lanista.evaluator.base import Evaluator as Evaluator
from lanista.evaluator.classification import Classification as Classification
from lanista.evaluator.functional import FunctionalEvaluator as FunctionalEvaluator
from lanista.evaluator.module import LightningEvaluator as LightningEvaluator
from lanista.evaluator.recalibration import recalibrate as recalibrate
from lanista.evaluator.regression import Regression as Regression
from lanista.evaluator.retraining import Retrained as Retrained
from lanista.evaluator.retraining import retrain as retrain
