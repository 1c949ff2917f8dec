"""Models for the tests of the single-file exports."""

import warnings

import torch
from torch import nn


class Cell(nn.Module):
    """Two inputs, a skip connection, dropout and statistics."""

    def __init__(self, width=6):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(3, width, 1)
        self.norm, self.drop = nn.BatchNorm2d(width), nn.Dropout(0.5)
        self.head = nn.Linear(width, 4)

    def forward(self, x, y):
        return self.head(self.drop(self.norm(self.left(x) + self.right(y))).mean((2, 3)))


class Dictionary(nn.Module):
    def forward(self, x, scale=2.0):
        return {"double": x * scale, "parts": [x, x + 1]}


class Talking(nn.Module):
    def forward(self, x):
        warnings.warn("the user's own warning", UserWarning, stacklevel=1)
        return x + 1


class Halves(nn.Module):
    """Needs an even batch."""

    def forward(self, x):
        return x.view(2, -1)


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Failing(nn.Module):
    def forward(self, x):
        raise ValueError("not today")


def image(batch=1):
    return torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def remember(model):
    """What an export must leave as it was."""
    modes = [module.training for module in model.modules()]
    return modes, {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()


def unchanged(model, before):
    modes, state, random = remember(model)
    assert modes == before[0]
    assert all(torch.equal(value, before[1][name]) for name, value in state.items())
    assert torch.equal(random, before[2])
