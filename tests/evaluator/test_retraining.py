import json
import logging
import shutil

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from lanista import FunctionalEvaluator, ModelSpace, choice, real
from lanista.errors import ArchitectureError, EvaluatorError
from lanista.evaluator import Classification, Retrained, retrain
from lanista.evaluator.task import Task
from lanista.trial import Trial
from tests.evaluator.tiny import Recorder, classes, loader, same


def build():
    width = choice([4, 8], label="width")
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 3))


SPACE = ModelSpace(build)
ARCHITECTURE = {"width": 8, "lr": 0.05}


class Stop(Exception):
    """What interrupts a training in a test."""


class Interrupt(Callback):
    count = 0
    at = None

    def on_train_epoch_start(self, trainer, pl_module):
        Interrupt.count += 1
        if Interrupt.count == Interrupt.at:
            raise Stop


@pytest.fixture(autouse=True)
def uninterrupted():
    Interrupt.count, Interrupt.at = 0, None


def judge():
    return Classification(
        loader(shuffle=True),
        loader(classes(32, 1)),
        learning_rate=real(0.01, 0.1, label="lr"),
        max_epochs=3,
        callbacks=Interrupt(),
    )


def test_it_is_what_a_trial_is(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "lanista"):
        result = retrain(SPACE, ARCHITECTURE, judge, seed=4)
    recorder = Recorder()
    task = Task(SPACE, judge, tmp_path)
    metrics = task(Trial(number=0, architecture=ARCHITECTURE, seed=4, reporter=recorder))
    assert result.metrics == metrics
    assert list(result.curve.items()) == recorder.reports
    assert result.model[0].out_features == 8
    assert [record.message[:7] for record in caplog.records if record.name == "lanista"] == [
        "step 1:",
        "step 2:",
        "step 3:",
    ]
    assert repr(result) == f"Retrained(Sequential, metrics={metrics}, 3 reports)"
    x, y = classes(32, 1).tensors
    result.model.eval()
    assert (result.model(x).argmax(1) == y).float().mean().item() == pytest.approx(metrics["val_accuracy"])


def test_an_interrupted_training_goes_on_and_a_finished_one_is_read(tmp_path):
    whole = retrain(SPACE, ARCHITECTURE, judge)
    Interrupt.count, Interrupt.at = 0, 3
    with pytest.raises(Stop):
        retrain(SPACE, ARCHITECTURE, judge, folder=tmp_path)
    Interrupt.count, Interrupt.at = 0, None
    resumed = retrain(SPACE, {"lr": 0.05, "width": 8}, judge, folder=tmp_path)
    assert Interrupt.count == 1
    read = retrain(SPACE, ARCHITECTURE, judge, folder=tmp_path)
    assert Interrupt.count == 1
    for result in (resumed, read):
        assert (result.metrics, result.curve) == (whole.metrics, whole.curve)
        assert same(result.model.state_dict(), whole.model.state_dict())
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "retraining.json", "weights.safetensors"}
    assert json.loads((tmp_path / "result.json").read_text())["architecture"] == ARCHITECTURE


def test_a_folder_of_another_training_is_left_alone(tmp_path):
    retrain(SPACE, ARCHITECTURE, judge, folder=tmp_path)
    with pytest.raises(EvaluatorError, match="has another training, of seed 0, not 1; give another folder"):
        retrain(SPACE, ARCHITECTURE, judge, seed=1, folder=tmp_path)
    with pytest.raises(EvaluatorError, match=r"of architecture .*'width': 8.*, not .*'width': 4"):
        retrain(SPACE, {**ARCHITECTURE, "width": 4}, judge, folder=tmp_path)


def test_any_evaluator_will_do(tmp_path):
    def score(model, trial):
        trial.report(0.5)
        with torch.no_grad():
            model[0].weight.fill_(trial.seed)
        trial.report({"score": 1.0})
        return 1.0

    for _ in range(2):
        result = retrain(SPACE, {"width": 4}, FunctionalEvaluator(score), seed=2, folder=tmp_path / "deep" / "er")
        assert isinstance(result, Retrained)
        assert result.curve == {0: {"score": 0.5}, 1: {"score": 1.0}}
        assert (result.model[0].weight == 2).all()
    shutil.rmtree(tmp_path / "deep")


def test_an_architecture_that_is_incomplete_is_refused():
    with pytest.raises(ArchitectureError, match="'lr'"):
        retrain(SPACE, {"width": 4}, judge)
