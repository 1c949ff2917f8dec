"""A space and data that a supernet is trained on in milliseconds."""

from functools import partial

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lanista import ModelSpace
from lanista.nn import LayerChoice


class Net(nn.Module):
    """Two questions; with "good" and "relu" it tells the classes apart best, and it has batch normalisation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8))
        good = partial(nn.Sequential, nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8))
        self.body = LayerChoice({"skip": nn.Identity(), "good": good}, label="body")
        self.act = LayerChoice({"none": nn.Identity(), "relu": nn.ReLU(), "tanh": nn.Tanh()}, label="act")
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.act(self.body(self.stem(x))))


def space():
    return ModelSpace(Net, example_input=torch.zeros(2, 4))


def data(count=512, seed=0):
    """Points near a plane and far from it: two classes that no linear model tells apart."""
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x[:, 0].abs() > 0.65).long())


def loader(count=512, seed=0, batch_size=32, **options):
    return DataLoader(data(count, seed), batch_size=batch_size, **options)


def accuracy(outputs, targets):
    return (outputs.argmax(1) == targets).float().mean()


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1, momentum=0.9)
