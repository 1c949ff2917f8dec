"""Models and data that train in milliseconds, for the tests of evaluators on Lightning."""

import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lanista import Trial

with warnings.catch_warnings(action="ignore"):  # of libraries that Lightning imports
    import lightning.pytorch as pl

QUIET = {"logger": False, "enable_progress_bar": False}


def classes(count=64, seed=0):
    """Points of three classes."""
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())


def numbers(count=64, seed=0):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.sum(1, keepdim=True))


def loader(data=None, batch_size=16, **options):
    return DataLoader(classes() if data is None else data, batch_size=batch_size, **options)


def network(outputs=3, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, outputs))


class Recorder:
    """A trial's reporter: keeps what is reported, and may end the trial at a step."""

    def __init__(self, end=None, error=None):
        self.reports, self.end, self.error = [], end, error

    def __call__(self, metrics, step):
        self.reports.append((step, metrics))
        if step == self.end:
            raise self.error

    @property
    def steps(self):
        return [step for step, _ in self.reports]


def trial(recorder=None, **fields):
    return Trial(number=0, architecture={"width": 8}, reporter=recorder or Recorder(), **fields)


class Own(pl.LightningModule):
    """A module as a user would write it."""

    def __init__(self, model, lr=0.05, log=True):
        super().__init__()
        self.model, self.lr, self.logs = model, lr, log

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        if self.logs:
            self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        if self.logs:
            self.log("val_loss", nn.functional.cross_entropy(self.model(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.model.parameters(), self.lr)


def same(one, other, tolerance=0.0):
    """Whether two state dicts have equal tensors."""
    return one.keys() == other.keys() and all(
        torch.allclose(one[name], other[name], rtol=0, atol=tolerance) for name in one
    )
