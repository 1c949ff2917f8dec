import functools
import os
import signal

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn

from lanista.errors import EvaluatorError, MetricError, Pruned
from lanista.evaluator import Classification, LightningEvaluator
from lanista.evaluator.training import CHECKPOINT
from tests.evaluator.tiny import Own, Recorder, classes, loader, network, same, trial


def evaluator(train=None, val=None, **arguments):
    arguments = {"max_epochs": 3, "learning_rate": 0.05, **arguments}
    return Classification(train or loader(shuffle=True), val or loader(classes(32, 1)), **arguments)


class Worse(Callback):
    """Spoils the weights before the last validation, so that an earlier one is the best."""

    def on_train_epoch_end(self, trainer, pl_module):
        self.seen = getattr(self, "seen", 0) + 1

    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            with torch.no_grad():
                pl_module.model[-1].weight.mul_(-1)


class Stop(Exception):
    """What interrupts a training in a test."""


class Interrupt(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise Stop


# --- reports and final metrics -----------------------------------------------------------------------------


def test_each_validation_is_reported_and_the_best_one_counts():
    recorder, model = Recorder(), network()
    metrics = evaluator(callbacks=Worse()).evaluate(model, trial(recorder))
    assert recorder.steps == [1, 2, 3]
    values = [report["val_accuracy"] for _, report in recorder.reports]
    assert values[2] < max(values)
    assert metrics == recorder.reports[values.index(max(values))][1]
    assert metrics.keys() == {"val_loss", "val_accuracy"}
    x, y = classes(32, 1).tensors
    assert (model(x).argmax(1) == y).float().mean().item() == pytest.approx(metrics["val_accuracy"])


def test_without_kept_weights_the_last_validation_counts():
    recorder, model = Recorder(), network()
    judge = evaluator(callbacks=[Worse()], keep_weights=False)
    metrics = judge.evaluate(model, trial(recorder))
    assert metrics == recorder.reports[-1][1]
    assert not judge.keep_weights


def test_validations_within_an_epoch_count():
    recorder = Recorder()
    evaluator(max_epochs=2, val_check_interval=0.5).evaluate(network(), trial(recorder))
    assert recorder.steps == [1, 2, 3, 4]


def test_equal_seeds_give_equal_results_also_after_other_trials():
    held = torch.Generator()
    judge = evaluator(loader(shuffle=True, generator=held))
    runs = []
    for seed in (0, 1, 0):
        model, recorder = network(), Recorder()
        judge.evaluate(model, trial(recorder, seed=seed))
        runs.append((recorder.reports, model.state_dict()))
    assert runs[0][0] == runs[2][0] != runs[1][0]
    assert same(runs[0][1], runs[2][1])


def test_a_scheduler_s_verdict_passes_through_and_the_next_trial_is_none_the_worse():
    judge, recorder, model = evaluator(), Recorder(end=2, error=Pruned("enough")), network()
    with pytest.raises(Pruned, match="enough"):
        judge.evaluate(model, trial(recorder))
    assert recorder.steps == [1, 2]
    again = Recorder()
    judge.evaluate(network(), trial(again))
    assert again.steps == [1, 2, 3]
    assert again.reports[:2] == recorder.reports


def test_the_model_is_validated_where_there_is_nothing_to_train_on():
    recorder, model = Recorder(), network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    metrics = Classification(val_dataloaders=loader()).evaluate(model, trial(recorder))
    assert recorder.reports == [(1, metrics)]
    assert same(before, model.state_dict())


def test_trainer_arguments_and_callbacks_arrive_and_callbacks_begin_anew():
    stopping = EarlyStopping("val_loss", min_delta=100.0, patience=1)
    judge = evaluator(max_epochs=9, callbacks=[stopping], precision="bf16-mixed", gradient_clip_val=0.5)
    for _ in range(2):
        recorder = Recorder()
        judge.evaluate(network(), trial(recorder))
        assert recorder.steps == [1, 2]
    assert stopping.stopped_epoch == 0


def test_mixed_precision_computes_in_bfloat16_and_keeps_weights_in_full():
    types = set()
    model = network()
    model[0].register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
    evaluator(precision="bf16-mixed", max_epochs=1).evaluate(model, trial())
    assert types == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_nothing_is_left_behind_or_printed_unless_asked_for(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    evaluator().evaluate(network(), trial())
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    evaluator(callbacks=ModelCheckpoint(dirpath=tmp_path / "mine")).evaluate(network(), trial())
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    evaluator(enable_checkpointing=True).evaluate(network(), trial(folder=tmp_path / "trial"))
    assert {path.name for path in (tmp_path / "trial").iterdir()} == {CHECKPOINT, "checkpoints"}
    evaluator(enable_checkpointing=False).evaluate(network(), trial(folder=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_ctrl_c_is_an_interrupt():
    class Press(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        evaluator(callbacks=Press()).evaluate(network(), trial())
    assert signal.getsignal(signal.SIGINT) is handler


# --- interrupted trials --------------------------------------------------------------------------------------


SCHEDULES = {
    "after one epoch": {"interrupted": 1},
    "in the last epoch": {"interrupted": 3},
    "held generator": {"train": lambda: loader(shuffle=True, generator=torch.Generator().manual_seed(3))},
    "workers": {"train": lambda: loader(shuffle=True, num_workers=1)},
    "cosine": {"scheduler": functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=4)},
    "plateau": {"scheduler": functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, mode="max")},
    "each step": {
        "scheduler": functools.partial(torch.optim.lr_scheduler.StepLR, step_size=3),
        "scheduler_interval": "step",
    },
    "steps": {"max_epochs": None, "max_steps": 14},
    "half epochs": {"val_check_interval": 0.5},
    "every second": {"check_val_every_n_epoch": 2, "interrupted": 3},
    "accumulated": {"accumulate_grad_batches": 3},
    "momentum": {"optimizer": functools.partial(torch.optim.SGD, momentum=0.9)},
}


@pytest.mark.parametrize("options", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(options, tmp_path):
    options = {"max_epochs": 4, **options}
    epoch = options.pop("interrupted", 2)
    train = options.pop("train", lambda: loader(shuffle=True))

    def run(folder, *callbacks):
        model, recorder = network(dropout=0.5), Recorder()
        judge = evaluator(train(), callbacks=list(callbacks), **options)
        metrics = judge.evaluate(model, trial(recorder, seed=7, folder=folder))
        return metrics, recorder.reports, model.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(Stop):
        run(tmp_path / "cut", Interrupt(epoch))
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    torch.rand(5)  # the process that goes on has drawn other numbers
    resumed = run(tmp_path / "cut")
    assert resumed[:2] == whole[:2]
    assert same(resumed[2], whole[2])


def test_a_finished_training_that_was_not_told_is_not_trained_again(tmp_path):
    class Count(Callback):
        batches = 0

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            Count.batches += 1

    judge = evaluator(callbacks=[Count(), EarlyStopping("val_loss", min_delta=100.0, patience=1)])
    results = []
    for _ in range(2):
        recorder = Recorder()
        results.append((judge.evaluate(network(), trial(recorder, folder=tmp_path)), recorder.reports))
    assert results[0] == results[1]
    assert Count.batches == 8  # the second epoch was one too many for the callback


def test_a_resumed_trial_can_be_stopped_by_what_it_reports_again(tmp_path):
    judge = evaluator()
    judge.evaluate(network(), trial(folder=tmp_path))
    recorder = Recorder(end=2, error=Pruned("enough"))
    with pytest.raises(Pruned):
        judge.evaluate(network(), trial(recorder, folder=tmp_path))
    assert recorder.steps == [1, 2]


# --- rehearsal ---------------------------------------------------------------------------------------------------


def test_a_rehearsal_leaves_model_and_reports_alone():
    recorder, model = Recorder(), network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluator(max_epochs=1000, strategy="ddp", devices=2, accelerator="cpu").rehearse(model, trial(recorder))
    Classification(val_dataloaders=loader()).rehearse(model, trial(recorder))
    assert recorder.reports == []
    assert same(before, model.state_dict())


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"loss": lambda outputs, targets: outputs.sun()}, "AttributeError: 'Tensor' object has no attribute 'sun'"),
        ({"callbacks": EarlyStopping("nothing")}, "EvaluatorError: EarlyStopping monitors 'nothing'"),
        ({"optimizer": lambda parameters, lr: None}, "EvaluatorError: optimizer .* made None"),
        ({"precision": "8-bit"}, "ValueError: .*'8-bit'"),
    ],
)
def test_a_rehearsal_says_what_is_broken_and_names_the_architecture(broken, reason):
    judge = evaluator(**broken)
    with pytest.raises(
        EvaluatorError, match=rf"(?s)Classification\(.*on architecture {{'width': 8}}: {reason}"
    ) as found:
        judge.rehearse(network(), trial())
    assert found.value.__cause__ is not None


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_epoch": 3}, "'max_epoch' is no argument of lightning's Trainer; did you mean max_epochs"),
        ({"max_epochs": None}, "how long to train is open; give max_epochs"),
        ({"monitor": "val_acc"}, "monitor is 'val_acc', but Classification logs 'val_loss', 'val_accuracy'"),
        ({"mode": "maximize"}, "mode 'maximize'; give .*mode='max'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluator(**arguments)


def test_a_monitor_that_no_metric_matches_lists_the_metrics():
    judge = LightningEvaluator(Own, loader(), loader(), monitor="val_acc", mode="max", max_epochs=1)
    with pytest.raises(EvaluatorError, match="monitor is 'val_acc', but validation 1 gave 'val_loss'; name one"):
        judge.evaluate(network(), trial())


def test_a_metric_that_is_no_number_ends_the_trial():
    judge = evaluator(loss=lambda outputs, targets: outputs.sum() * float("nan"))
    with pytest.raises(MetricError, match=r"validation 1 gave nan for metric 'val_loss'; either training diverged"):
        judge.evaluate(network(), trial())


def test_a_training_without_a_validation_is_an_error():
    with pytest.raises(EvaluatorError, match="check_val_every_n_epoch is 5 and max_epochs 3: there would be no valid"):
        evaluator(check_val_every_n_epoch=5)
    with pytest.raises(EvaluatorError, match="training ended before the first validation; lower check_val"):
        evaluator(check_val_every_n_epoch=2, max_steps=1).evaluate(network(), trial())


def test_the_settings_are_in_the_representation():
    judge = evaluator(optimizer=functools.partial(torch.optim.SGD, momentum=0.9), precision="bf16-mixed")
    assert repr(judge) == (
        "Classification(loss=CrossEntropyLoss, optimizer=partial(SGD, momentum=0.9), learning_rate=0.05, "
        "metrics={'accuracy': MulticlassAccuracy()}, train_dataloaders=DataLoader(TensorDataset, batch_size=16), "
        "val_dataloaders=DataLoader(TensorDataset, batch_size=16), monitor='val_accuracy', mode='max', "
        "keep_weights=True, max_epochs=3, precision='bf16-mixed')"
    )
    assert nn.CrossEntropyLoss is judge.recipe.loss
    assert judge.training.trainer["max_epochs"] == 3
