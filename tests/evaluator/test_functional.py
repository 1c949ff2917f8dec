import functools

import pytest
from torch import nn

from lanista import FunctionalEvaluator, Trial
from lanista.errors import MetricError

MODEL, TRIAL = nn.Identity(), Trial(number=3, architecture={})


class Scorer:
    def __call__(self, model, trial):
        return trial.number


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (lambda model: 1.0, 1.0),
        (lambda model, trial: trial.number, 3),
        (lambda model, trial=None: trial.number, 3),
        (lambda model, lr=0.5: lr, 0.5),
        (lambda *args: len(args), 1),
        (functools.partial(lambda model, trial, lr: lr + trial.number, lr=1), 4),
        (functools.partial(lambda model, *, lr: lr, lr=2), 2),
        (Scorer(), 3),
    ],
)
def test_the_trial_is_given_to_those_who_ask_for_it(function, result):
    assert FunctionalEvaluator(function).evaluate(MODEL, TRIAL) == result


@pytest.mark.parametrize("function", [lambda: 1, lambda model, trial, third: 1, lambda *, model: 1])
def test_a_function_that_cannot_be_called_so_is_refused_at_once(function):
    with pytest.raises(MetricError, match=r"function\(model\) or function\(model, trial\).*functools.partial"):
        FunctionalEvaluator(function)


def test_what_is_not_callable_is_refused():
    with pytest.raises(MetricError, match=r"0\.93"):
        FunctionalEvaluator(0.93)


def test_weights_are_kept_only_if_asked_for():
    assert not FunctionalEvaluator(len).keep_weights
    assert FunctionalEvaluator(len, keep_weights=True).keep_weights
