import pytest
from torch import nn

from lanista import Trial
from lanista.evaluator import Evaluator


class Constant(Evaluator):
    def evaluate(self, model, trial):
        return {"score": 1.0}


def test_an_evaluator_of_ones_own_needs_evaluate_and_no_more():
    assert Constant().evaluate(nn.Identity(), Trial(number=0, architecture={})) == {"score": 1.0}
    assert Constant().keep_weights is False


def test_an_evaluator_without_evaluate_cannot_be_made():
    with pytest.raises(TypeError, match="evaluate"):
        type("Empty", (Evaluator,), {})()
