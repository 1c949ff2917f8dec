import functools

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassF1Score

from lanista.errors import EvaluatorError
from lanista.evaluator import Classification
from tests.evaluator.tiny import Recorder, classes, loader, network, same, trial


def evaluator(train=None, **arguments):
    arguments = {"max_epochs": 2, **arguments}
    return Classification(train or loader(), loader(classes(40, 1)), **arguments)


def test_training_does_what_a_plain_loop_does():
    schedule = functools.partial(ExponentialLR, gamma=0.5)
    judge = evaluator(
        loss=nn.CrossEntropyLoss(label_smoothing=0.1),
        optimizer=functools.partial(torch.optim.SGD, momentum=0.9),
        learning_rate=0.1,
        weight_decay=0.01,
        scheduler=schedule,
        metrics={"f1": "f1"},
        num_classes=3,
        keep_weights=False,
    )
    recorder, model, plain = Recorder(), network(), network()
    metrics = judge.evaluate(model, trial(recorder))
    optimizer = torch.optim.SGD(plain.parameters(), 0.1, 0.9, weight_decay=0.01)
    scheduler, loss = schedule(optimizer), nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(2):
        for inputs, targets in loader():
            optimizer.zero_grad()
            loss(plain(inputs), targets).backward()
            optimizer.step()
        scheduler.step()
    assert same(model.state_dict(), plain.state_dict(), 1e-6)
    x, y = classes(40, 1).tensors
    assert metrics["val_loss"] == pytest.approx(loss(plain(x), y).item(), rel=1e-5)  # batches of 16, 16 and 8
    assert metrics["val_f1"] == pytest.approx(MulticlassF1Score(3)(plain(x), y).item(), rel=1e-5)


def test_a_scheduler_may_step_with_the_optimizer():
    rates = []

    class Noting(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    judge = evaluator(optimizer=Noting, learning_rate=1.0, max_epochs=1)
    judge.evaluate(network(), trial())
    halved = functools.partial(ExponentialLR, gamma=0.5)
    evaluator(optimizer=Noting, learning_rate=1.0, max_epochs=1, scheduler=halved, scheduler_interval="step").evaluate(
        network(), trial()
    )
    assert rates == [1.0] * 4 + [1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("given", ["accuracy", ["accuracy"], {"accuracy": "accuracy"}])
def test_metrics_may_be_given_as_one_a_list_or_a_mapping(given):
    assert evaluator(metrics=given).evaluate(network(), trial()).keys() == {"val_loss", "val_accuracy"}


def test_metric_objects_and_classes_are_taken_and_say_what_is_better():
    judge = evaluator(metrics={"own": MulticlassF1Score(3), "second": MulticlassF1Score}, num_classes=3)
    assert (judge.training.monitor, judge.training.mode) == ("val_own", "max")
    metrics = judge.evaluate(network(), trial())
    assert metrics["val_own"] == metrics["val_second"]
    listed = evaluator(metrics=[MulticlassF1Score(3), MulticlassF1Score], num_classes=3)
    assert list(listed.recipe.metrics) == ["multiclassf1score"]
    assert evaluator(monitor="val_loss").training.mode == "min"
    assert evaluator(metrics=[]).training.monitor == "val_loss"


class Opinionless(MulticlassF1Score):
    higher_is_better = None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": None}, "optimizer is None; give a class or a callable .*, such as torch.optim.Adam"),
        ({"loss": "mse"}, "loss is 'mse'; give a class, module or function"),
        ({"scheduler": 0.1}, "scheduler is 0.1; give a callable of the optimizer"),
        ({"scheduler_interval": "batch"}, "scheduler_interval is 'batch'; give 'epoch' or 'step'"),
        ({"learning_rate": -1}, "learning_rate is -1; give a finite number of at least 0"),
        ({"weight_decay": "much"}, "weight_decay is 'much'; give a finite number"),
        ({"metrics": "acuracy"}, "metric 'acuracy' is unknown; Classification knows accuracy, top5"),
        ({"metrics": {"x": 3}}, "metric 'x' is 3; give a name, or a Metric of torchmetrics, or its class"),
        ({"metrics": {"x": dict}}, "metric 'x' is <class 'dict'>; give a name, or a Metric"),
        ({"metrics": "f1"}, "metric 'f1' needs num_classes; give num_classes to Classification"),
        ({"metrics": {"x": lambda: 3}}, "metric 'x' is 3, which is no Metric of torchmetrics"),
        ({"metrics": {"x": Opinionless(3)}}, "val_x does not say whether more of it is better; give mode="),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluator(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": lambda parameters: "Adam"}, "made 'Adam', which is no torch.optim.Optimizer"),
        ({"scheduler": lambda optimizer: None}, "made None, which is no torch.optim.lr_scheduler.LRScheduler"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, r"the loss is float32 \(16,\); it must return one value"),
        (
            {"metrics": {"table": MulticlassConfusionMatrix(3)}, "monitor": "val_loss"},
            r"val_table is tensor(?s:.*); give metrics with one value",
        ),
        ({"train": loader(classes().tensors[0])}, r"batches \(inputs, targets\) .*, and got float32 \(16, 4\); for"),
    ],
)
def test_what_training_shows_to_be_wrong_is_explained(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluator(**arguments).evaluate(network(), trial())


def test_a_model_that_returns_no_tensor_is_explained():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def forward(self, inputs):
            return self.body(inputs), {"inputs": inputs}

    with pytest.raises(EvaluatorError, match=r"returned \(float32 \(16, 3\), {'inputs': float32 \(16, 4\)}\); for"):
        evaluator().evaluate(Pair(), trial())


def test_metrics_of_one_trial_do_not_count_in_the_next():
    judge = evaluator(metrics=MulticlassF1Score(3))
    first = judge.evaluate(network(), trial())
    judge.evaluate(network(seed=1), trial())
    assert judge.evaluate(network(), trial()) == first
