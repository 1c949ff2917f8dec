import pytest
from torch import nn
from torch.utils.data import TensorDataset

from lanista.errors import EvaluatorError
from lanista.evaluator import Regression
from tests.evaluator.tiny import loader, network, numbers, trial

X, Y = numbers().tensors


def evaluator(targets, **arguments):
    data = loader(TensorDataset(X, targets))
    return Regression(data, data, max_epochs=4, learning_rate=0.05, **arguments)


def test_it_learns_and_the_least_loss_counts():
    judge, model = evaluator(Y), network(1)
    metrics = judge.evaluate(model, trial())
    assert metrics.keys() == {"val_loss", "val_mse", "val_mae"}
    assert metrics["val_loss"] == pytest.approx(metrics["val_mse"])
    assert metrics["val_mse"] == pytest.approx(nn.functional.mse_loss(model(X), Y).item(), rel=1e-5)
    assert metrics["val_mse"] < Y.var()
    assert (judge.training.monitor, judge.training.mode) == ("val_loss", "min")


def test_named_metrics():
    metrics = evaluator(Y, metrics=["mse", "rmse", "r2"], monitor="val_r2").evaluate(network(1), trial())
    assert metrics["val_rmse"] == pytest.approx(metrics["val_mse"] ** 0.5)
    assert metrics["val_r2"] == pytest.approx(1 - metrics["val_mse"] / Y.var(correction=0).item(), rel=1e-4)


def test_targets_in_double_precision_are_taken():
    assert evaluator(Y.double()).evaluate(network(1), trial()) == evaluator(Y).evaluate(network(1), trial())


@pytest.mark.parametrize("targets", [Y[:, 0], Y.round().long()])
def test_targets_that_do_not_fit_the_model_are_explained(targets):
    shape = r"\(16, 1\)" if targets.dim() == 2 else r"\(16,\)"
    message = rf"in one shape, but outputs have float32 \(16, 1\) and targets (int64|float32) {shape}; use targets.flo"
    with pytest.raises(EvaluatorError, match=message):
        evaluator(targets).evaluate(network(1), trial())


def test_representation_and_rehearsal():
    judge = evaluator(Y)
    judge.rehearse(network(1), trial())
    assert repr(judge).startswith("Regression(loss=MSELoss, optimizer=Adam, learning_rate=0.05, metrics={'mse': Mean")
    assert judge.keep_weights
    with pytest.raises(EvaluatorError, match=r"Regression\(.*rehearsal .*: EvaluatorError: Regression expects"):
        judge.rehearse(network(2), trial())


def test_there_must_be_something_to_validate_on():
    with pytest.raises(EvaluatorError, match="Regression has nothing to validate on"):
        Regression(loader(), max_epochs=1)
