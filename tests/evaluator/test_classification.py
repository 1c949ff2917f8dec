import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchmetrics.classification import BinaryAccuracy

from lanista.errors import EvaluatorError
from lanista.evaluator import Classification
from tests.evaluator.tiny import classes, loader, network, trial

X, Y = classes().tensors


def evaluate(targets, model=None, inputs=X, **arguments):
    data = loader(TensorDataset(inputs, targets))
    return Classification(data, data, max_epochs=4, learning_rate=0.05, **arguments).evaluate(
        model or network(), trial()
    )


def test_it_learns():
    metrics = evaluate(Y)
    assert metrics["val_accuracy"] > 0.7


def test_integers_of_any_width_and_probabilities_are_targets():
    expected = evaluate(Y)
    assert evaluate(Y.to(torch.uint8)) == expected
    soft = evaluate(nn.functional.one_hot(Y, 3).float(), metrics=[])
    assert soft["val_loss"] == pytest.approx(expected["val_loss"], rel=0.2)


def test_each_pixel_may_have_a_class():
    model = nn.Conv2d(1, 3, 1)
    metrics = evaluate(torch.randint(0, 3, (32, 5, 5)), model, torch.rand(32, 1, 5, 5))
    assert 0 < metrics["val_accuracy"] < 1


def test_other_losses_and_metrics_have_other_targets():
    metrics = evaluate(
        (Y > 0).float()[:, None], network(1), loss=nn.BCEWithLogitsLoss, metrics={"accuracy": BinaryAccuracy()}
    )
    assert metrics["val_accuracy"] > 0.6


def test_ignored_targets_are_no_classes():
    evaluate(torch.where(Y == 0, -100, Y), metrics=[])


@pytest.mark.parametrize(
    ("targets", "outputs", "message"),
    [
        (Y.float(), 3, r"expects outputs of shape \(N, C, ...\) and .*integers.* but outputs have float32 \(16, 3\) "
         r"and targets float32 \(16,\); make class numbers integers: targets.long\(\)"),
        (Y[:, None], 3, r"but outputs have float32 \(16, 3\) and targets int64 \(16, 1\)"),
        (Y, 2, "a target is class 2, but the model has 2 outputs, for classes 0 to 1; give the model one output per"),
        (Y - 1, 3, "a target is class -1, but the model has 3 outputs"),
    ],
)  # fmt: skip
def test_targets_that_do_not_fit_the_model_are_explained(targets, outputs, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluate(targets, network(outputs))


def test_a_model_without_a_dimension_for_classes_is_explained():
    with pytest.raises(EvaluatorError, match=r"outputs have float32 \(16,\) .*; give the model one output per class"):
        evaluate(Y, nn.Sequential(network(1), nn.Flatten(0)))


def test_there_must_be_something_to_validate_on():
    with pytest.raises(EvaluatorError, match="Classification has nothing to validate on; give val_dataloaders"):
        Classification(loader(), max_epochs=1)
