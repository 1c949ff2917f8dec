"""A smooth space and data, for gradients that are compared with differences."""

from contextlib import contextmanager

import torch
from torch import nn

from lanista import ModelSpace
from lanista.nn import Cell, InputChoice, LayerChoice, Repeat
from lanista.oneshot import Supernet


class Smooth(nn.Module):
    def __init__(self):
        super().__init__()
        layers = {
            "tanh": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh()),
            "linear": lambda: nn.Linear(4, 4),
            "skip": nn.Identity,
        }
        self.op = LayerChoice(layers, label="op")
        self.blocks = Repeat(lambda: nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), (1, 3), label="depth")
        self.two = InputChoice(3, 2, label="two")
        self.any = InputChoice(3, None, "mean", label="any")
        self.cell = Cell([lambda: nn.Linear(4, 4), nn.Tanh], 2, 1, 1, label="cell")
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        first = self.op(x)
        second = self.blocks(first)
        return self.head(self.cell(self.two([x, first, second]) + self.any([x, first, second])))[:, 0]


def smooth():
    return ModelSpace(Smooth, example_input=torch.zeros(2, 4))


def batch(seed, size=16):
    x = torch.randn(size, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.get_default_dtype())
    return x, (x[:, 0] * x[:, 1]).tanh()


def loss(model, data):
    return nn.functional.mse_loss(model(data[0]), data[1])


def supernet(space=None, seed=0):
    torch.manual_seed(seed)
    return Supernet(smooth() if space is None else space)


@contextmanager
def double():
    """Meanwhile all is computed with double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def differences(function, tensors, radius=1e-5):
    """The gradients of a function by its parameters, by central differences."""
    found = []
    for tensor in tensors:
        gradient = torch.zeros_like(tensor)
        with torch.no_grad():
            flat, slots = tensor.view(-1), gradient.view(-1)
            for index in range(flat.numel()):
                values = []
                for sign in (1, -1):
                    flat[index] += sign * radius
                    values.append(float(function()))
                    flat[index] -= sign * radius
                slots[index] = (values[0] - values[1]) / (2 * radius)
        found.append(gradient)
    return found
