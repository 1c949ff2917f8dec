import pytest
import torch
from torch import distributed

from lanista.errors import EvaluatorError
from tests.evaluator.test_distributed import TWO, evaluator, run


def test_the_error_of_another_process_ends_the_trial_with_its_text():
    def loss(outputs, targets):
        if distributed.get_rank() == 1:
            raise ArithmeticError("one half is broken")
        return torch.nn.functional.mse_loss(outputs, targets)

    text = "process 1 of 2 .* failed:\n(?s:.*)ArithmeticError: one half is broken"
    with pytest.raises(EvaluatorError, match=text) as found:
        run(evaluator(8, loss=loss, **TWO))
    assert isinstance(found.value.__cause__, RuntimeError)  # of the connection
    assert not distributed.is_initialized()
