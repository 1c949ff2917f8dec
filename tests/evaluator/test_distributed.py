import functools
import os

import pytest
import torch
from torch import distributed, nn

from lanista import ModelSpace, ProcessExecutor, choice
from lanista.errors import EvaluatorError, Pruned
from lanista.evaluator import Classification, Regression
from lanista.evaluator.distributed import Ranks, processes
from lanista.evaluator.task import Task
from lanista.testing.executors import collect, outcomes
from lanista.trial import State, Trial
from tests.evaluator.tiny import Recorder, loader, network, numbers, same, trial

TWO = {"strategy": "ddp", "devices": 2, "accelerator": "cpu"}


def evaluator(batch_size, **arguments):
    """Of things that only this process could import by name: a function, a lambda, and a class made here."""

    class Shifted(nn.MSELoss):
        def forward(self, outputs, targets):
            return super().forward(outputs, targets + 1)

    data = numbers()
    return Regression(
        lambda: loader(data, batch_size),
        loader(numbers(32, 1), batch_size),
        loss=arguments.pop("loss", Shifted),
        optimizer=functools.partial(torch.optim.SGD, momentum=0.9),
        learning_rate=0.05,
        max_epochs=3,
        **arguments,
    )


def run(judge, recorder=None, **fields):
    recorder, model = recorder or Recorder(), network(1)
    metrics = judge.evaluate(model, trial(recorder, **fields))
    return metrics, recorder.reports, model.state_dict()


def test_two_processes_train_as_one_does_on_the_joint_batch(capfd):
    one, two = run(evaluator(16)), run(evaluator(8, **TWO))
    assert two[0] == pytest.approx(one[0], rel=1e-5)
    assert [step for step, _ in two[1]] == [1, 2, 3]
    for (_, ours), (_, theirs) in zip(two[1], one[1], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert same(one[2], two[2], 1e-5)
    assert not distributed.is_initialized()
    assert capfd.readouterr() == ("", "")


def test_a_pruned_trial_ends_in_all_processes_and_goes_on_from_its_checkpoint(tmp_path):
    judge = evaluator(8, **TWO, callbacks=[])
    whole = run(judge)
    cut = Recorder(end=2, error=Pruned("enough"))
    with pytest.raises(Pruned, match="enough"):
        run(judge, cut, folder=tmp_path)
    assert not distributed.is_initialized()
    assert cut.reports == whole[1][:2]
    resumed = run(judge, folder=tmp_path)
    assert resumed[:2] == whole[:2]
    assert same(resumed[2], whole[2])


def test_a_trial_in_a_worker_trains_on_two_devices_and_fails_without_hanging(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network(3)
            self.broken = choice([False, True], label="broken")

        def forward(self, inputs):
            if self.broken and distributed.get_rank() == 0:
                raise RuntimeError("only the first process is broken")
            return self.body(inputs)

    judge = Classification(lambda: loader(shuffle=True), loader(), max_epochs=1, **TWO)
    trials = [Trial(number=number, architecture={"broken": number == 1}) for number in (0, 1)]
    executor = ProcessExecutor(1, devices=["cpu"])
    events = collect(executor, Task(ModelSpace(Net), judge, tmp_path / "weights"), trials, tmp_path)
    ends = outcomes(events)
    assert ends[0].state is State.COMPLETED, ends[0].error
    assert ends[0].metrics.keys() == {"val_loss", "val_accuracy"}
    assert ends[1].state is State.FAILED
    assert "RuntimeError: only the first process is broken" in ends[1].error
    assert "process 1" not in ends[1].error


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"devices": 1}, 0),
        ({"devices": 1, "accelerator": "cpu", "strategy": "auto"}, 0),
        ({"devices": "auto", "accelerator": "cpu"}, 0),
        ({"devices": 1, "strategy": "ddp", "accelerator": "cpu"}, 1),
        ({"devices": 3, "accelerator": "cpu"}, 3),
        ({"devices": "2", "accelerator": "cpu", "strategy": "ddp_find_unused_parameters_true"}, 2),
    ],
)
def test_processes_are_counted_as_lightning_counts_devices(arguments, count):
    assert processes(arguments) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": 2, "accelerator": "cpu", "strategy": "ddq"}, "'ddq' on 2 devices"),
        ({"devices": 2, "accelerator": "cpu", "strategy": "ddp_x"}, "strategy is 'ddp_x'; those of .* are ddp, "),
        ({"devices": 2, "accelerator": "cpu", "strategy": "fsdp"}, "'fsdp' on 2 devices of 1 machines; .*'ddp'"),
        ({"devices": 2, "accelerator": "cpu", "num_nodes": 2}, "on 2 devices of 2 machines"),
    ],
)
def test_other_ways_to_use_several_devices_are_refused(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        processes(arguments)


def test_a_process_group_of_the_user_s_is_left_alone(tmp_path):
    distributed.init_process_group("gloo", init_method=(tmp_path / "store").as_uri(), rank=0, world_size=1)
    try:
        with pytest.raises(EvaluatorError, match=r"initialized .* already.*destroy_process_group\(\) first"):
            run(evaluator(8, **TWO))
        assert distributed.is_initialized()
    finally:
        distributed.destroy_process_group()


def test_what_lightning_asks_is_answered():
    ranks = Ranks(1, 2)
    ranks.set_global_rank(0)
    assert (ranks.global_rank(), ranks.local_rank(), ranks.node_rank(), ranks.world_size()) == (1, 1, 0, 2)
    ranks.set_world_size(3)
    assert ranks.world_size() == 3
    assert ranks.creates_processes_externally
    assert not Ranks.detect()
    assert os.environ.get("PL_GLOBAL_SEED") is None
