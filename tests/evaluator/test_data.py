import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lanista import ModelSpace, ProcessExecutor, choice, real
from lanista.errors import EvaluatorError
from lanista.evaluator import Classification, LightningEvaluator
from lanista.evaluator.data import Data, Draws, loaded
from lanista.evaluator.framework import pl
from lanista.experiment import Experiment
from lanista.strategy import Random
from tests.evaluator.tiny import Own, Recorder, classes, loader, network, trial


class Stream(IterableDataset):
    """Data without a length."""

    def __init__(self, count):
        self.samples = TensorDataset(*classes(32)[:count]) if count else []

    def __iter__(self):
        return iter(self.samples)


class Module(pl.LightningDataModule):
    def __init__(self):
        super().__init__()
        self.calls = []

    def prepare_data(self):
        self.calls.append("prepare")

    def setup(self, stage):
        self.calls.append(f"setup {stage.value}")
        self.data = classes()

    def teardown(self, stage):
        del self.data

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.calls.append("batch")
        return batch

    def train_dataloader(self):
        return DataLoader(self.data, 16, shuffle=True)

    def val_dataloader(self):
        return [DataLoader(self.data, 64)]


def evaluator(*loaders, **arguments):
    return Classification(*loaders, max_epochs=1, learning_rate=0.05, **arguments)


def test_callables_are_called_once_in_a_process():
    calls = []

    def train():
        calls.append(1)
        return loader(shuffle=True)

    def judge():  # as an evaluator that asks questions is built for each trial
        return evaluator(train, loader)

    for _ in range(3):
        judge().evaluate(network(), trial())
    assert calls == [1]
    assert loaded(train) is loaded(train)
    assert loaded([1]) == [1]


def test_a_data_module_is_set_up_once_and_keeps_its_hooks_and_data():
    module = Module()
    judge = evaluator(datamodule=module)
    first, second = Recorder(), Recorder()
    judge.evaluate(network(), trial(first))
    judge.evaluate(network(), trial(second))
    assert first.reports == second.reports
    assert [call for call in module.calls if call != "batch"] == ["prepare", "setup fit"]
    assert module.calls.count("batch") == 2 * (4 + 1)
    assert module.trainer is None


def test_what_lightning_takes_for_loaders_is_taken():
    several = evaluator([loader(), loader(classes(32, 5))], [loader(), loader(classes(16, 5))])
    module = LightningEvaluator(Several, several.training.data.train, loader(), max_epochs=1)
    assert module.evaluate(network(), trial()).keys() == {"val_loss"}


class Several(Own):
    def training_step(self, batch, batch_idx):
        return sum(super(Several, self).training_step(part, batch_idx) for part in batch)


def test_several_validation_loaders_count_as_one():
    whole = evaluator(loader(), loader(classes(64, 5), batch_size=32)).evaluate(network(), trial())
    halves = [loader(torch.utils.data.Subset(classes(64, 5), range(k, k + 32)), 32) for k in (0, 32)]
    parts = evaluator(loader(), halves).evaluate(network(), trial())
    assert parts == pytest.approx(whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((loader(classes(0)), loader()), r"train_dataloaders: the loader of a TensorDataset \(0 samples"),
        (
            (loader(classes(8), drop_last=True), loader()),
            r"\(8 samples, batch_size=16, drop_last=True\) has no batch; give at least one",
        ),
        ((loader(), loader(classes(0))), r"val_dataloaders: the loader of a TensorDataset \(0 samples"),
        ((loader(), []), r"val_dataloaders is \[\], without a loader"),
        ((loader(Stream(0)), loader()), "train_dataloaders gave no batch"),
        ((loader(), loader(Stream(0))), "val_dataloaders gave no batch"),
        ((loader(), classes), r"val_dataloaders has <.*TensorDataset.*cannot be iterated over; give a torch"),
    ],
)
def test_loaders_without_batches_are_errors(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluator(*arguments).evaluate(network(), trial())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": classes()}, "train_dataloaders has .*TensorDataset.*cannot be iterated over; give a torch.utils"),
        ({"train": "data"}, "train_dataloaders has 'data'"),
        ({"val": loader(), "datamodule": Module()}, "or a datamodule, not both"),
        ({"datamodule": loader()}, "datamodule is .*DataLoader.*; give a LightningDataModule of lightning.pytorch"),
    ],
)
def test_what_is_no_data_is_refused_at_once(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        Data(**arguments)


def test_held_generators_are_seeded_by_the_trial_once():
    class Alone:
        world_size = 1

    held = torch.Generator()
    both, draws = loader(shuffle=True, generator=held), Draws(5)
    for hook in ("train_dataloader", "val_dataloader", "train_dataloader"):
        assert draws.watch(hook, [both], Alone) == [both]
        torch.rand(1, generator=held)
    assert len(draws.state()["train_dataloader"]) == 1
    assert draws.state()["val_dataloader"] == []
    expected = torch.Generator().manual_seed(5)
    torch.rand(3, generator=expected)
    assert torch.equal(held.get_state(), expected.get_state())


def test_data_of_classes_that_no_worker_can_import_are_loaded_once_in_each(tmp_path):
    """With loader processes, through an experiment, with hyper-parameters among the decisions."""
    source = f"""
import os
from torch.utils.data import DataLoader, Dataset
from tests.evaluator.tiny import classes
from lanista.evaluator.framework import pl

class Points(Dataset):
    def __init__(self, seed):
        with open({str(tmp_path / "loads")!r}, "a") as file:
            file.write(f"{{os.getpid()}}\\n")
        self.data = classes(64, seed)
    def __len__(self):
        return len(self.data)
    def __getitem__(self, index):
        return self.data[index]

def train():
    return DataLoader(Points(0), 16, shuffle=True, num_workers=2)

class Module(pl.LightningDataModule):
    def setup(self, stage):
        self.data = Points(1)
    def train_dataloader(self):
        return DataLoader(self.data, 16, shuffle=True)
    def val_dataloader(self):
        return DataLoader(self.data, 16)

module = Module()
"""
    script = {"__name__": "__main__"}
    exec(source, script)  # what is defined here has the home `__main__`, where a worker does not find it

    def judge():
        lr = real(0.01, 0.1, label="lr")
        if lr < 0.055:
            return Classification(script["train"], loader(), learning_rate=lr, max_epochs=1)
        return Classification(datamodule=script["module"], learning_rate=lr, max_epochs=1)

    experiment = Experiment(
        ModelSpace(lambda: torch.nn.Linear(4, choice([3, 4], label="width"))),
        judge,
        Random(),
        objectives={"val_accuracy": "maximize"},
        storage=tmp_path / "search.db",
        executor=ProcessExecutor(1, devices=["cpu"]),
        name="once",
    )
    experiment.run(max_trials=6)
    trials = experiment.trials
    assert [found.state for found in trials] == ["completed"] * 6, trials[0].error
    assert {found.architecture["lr"] < 0.055 for found in trials} == {True, False}
    loads = (tmp_path / "loads").read_text().split()
    assert len(loads) == 2  # one for each kind of data, not one for each trial
