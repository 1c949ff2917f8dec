import functools
import os
import signal
import subprocess
import sys

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from lanista.errors import EvaluatorError
from lanista.evaluator import Classification, LightningEvaluator
from lanista.evaluator.training import CHECKPOINT
from tests.evaluator.tiny import Own, Recorder, classes, loader, network, same, trial


class Net(nn.Module):
    """With all that has a state: dropout, batch normalisation, weights of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, inputs):
        return self.body(inputs)


class Die(Callback):
    """Ends the process without a word, in the middle of the third epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (2, 2):
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder, *callbacks):
    recorder, model = Recorder(), Net()
    judge = Classification(
        loader(shuffle=True, generator=torch.Generator()),
        loader(classes(32, 1)),
        optimizer=torch.optim.AdamW,
        learning_rate=0.05,
        scheduler=functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=5),
        max_epochs=5,
        callbacks=list(callbacks),
    )
    metrics = judge.evaluate(model, trial(recorder, seed=3, folder=folder))
    return metrics, recorder.reports, model.state_dict()


def test_a_killed_process_s_training_goes_on_with_equal_numbers(tmp_path):
    code = "import sys, pathlib; from tests.evaluator.test_journal import Die, train; "
    code += "train(pathlib.Path(sys.argv[1]), Die())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "trial")], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "trial").iterdir()] == [CHECKPOINT]
    resumed, whole = train(tmp_path / "trial"), train(None)
    assert resumed[0] == pytest.approx(whole[0], rel=1e-6)
    assert [step for step, _ in resumed[1]] == [1, 2, 3, 4, 5]
    for (_, ours), (_, theirs) in zip(resumed[1], whole[1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    assert same(resumed[2], whole[2], 1e-6)


def test_a_validation_s_metrics_are_those_that_were_logged_in_it():
    recorder = Recorder()
    judge = LightningEvaluator(Own, loader(), loader(), max_epochs=2)
    assert judge.evaluate(network(), trial(recorder)) == recorder.reports[-1][1]
    assert [(step, list(metrics)) for step, metrics in recorder.reports] == [(1, ["val_loss"]), (2, ["val_loss"])]


def test_without_validation_each_epoch_is_reported_with_what_was_logged_in_training(tmp_path):
    recorder, names = Recorder(), {"train_loss", "train_loss_step", "train_loss_epoch"}
    judge = LightningEvaluator(Own, loader(), max_epochs=2, monitor="train_loss_epoch", mode="min")
    metrics = judge.evaluate(network(), trial(recorder, folder=tmp_path))
    assert [(step, set(report)) for step, report in recorder.reports] == [(1, names), (2, names)]
    assert metrics in [report for _, report in recorder.reports]


def test_a_module_that_never_logs_is_an_error():
    judge = LightningEvaluator(functools.partial(Own, log=False), loader(), loader(), max_epochs=1)
    with pytest.raises(EvaluatorError, match=r"Own logged no metric in validation 1; .*self.log\('val_loss', loss\)"):
        judge.evaluate(network(), trial())


def test_of_equal_validations_the_first_counts():
    recorder, model = Recorder(), network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    judge = LightningEvaluator(
        Constant, loader(), loader(), max_epochs=3, monitor="val_loss", mode="max", num_sanity_val_steps=1
    )
    judge.evaluate(model, trial(recorder))
    assert recorder.reports == [(1, {"val_loss": 1.0}), (2, {"val_loss": 1.0}), (3, {"val_loss": 1.0})]
    assert same(Constant.first, model.state_dict())
    assert not same(before, model.state_dict())


class Constant(Own):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", 1.0)
        if self.trainer.current_epoch == 0:
            Constant.first = {name: value.clone() for name, value in self.model.state_dict().items()}
