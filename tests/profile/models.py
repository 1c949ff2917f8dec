"""Models that are hard to measure, each in its own way."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Dependent(nn.Module):
    """Looks at numbers, so that it cannot run on the meta device."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *inputs):
        if inputs[0].double().sum().item() == float("inf"):
            raise AssertionError
        return self.inner(*inputs)


class Stateful(nn.Module):
    """Leaves traces in itself and in the generators."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("count", torch.zeros(()))
        self.constant = torch.full((4,), 2.0)

    def forward(self, x):
        self.count += 1
        self.last = x
        self.new = nn.Parameter(torch.ones(3))
        return self.linear(x) * self.constant + torch.rand(4)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.embed(tokens))


class Attention(nn.Module):
    """Attention by functions alone."""

    def forward(self, x):
        return functional.scaled_dot_product_attention(x, x, x) @ x.transpose(-1, -2)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        Residual(nn.Conv2d(4, 4, 3, padding=1)),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 36, 2),
    )


IMAGE = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
SEQUENCE = torch.linspace(-1, 1, 2 * 5 * 8).reshape(2, 5, 8)
ROW = torch.linspace(-1, 1, 2 * 4).reshape(2, 4)

MODELS = {
    "convolutional": (convolutional, IMAGE),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), SEQUENCE),
    "attention": (Attention, SEQUENCE),
    "lstm": (lambda: nn.LSTM(8, 3, batch_first=True), SEQUENCE),
    "bilinear": (lambda: nn.Bilinear(4, 4, 3), (ROW, ROW)),
    "tied": (Tied, torch.tensor([[1, 2, 3]])),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3), nn.ReLU()), ROW),
    "stateful": (Stateful, ROW),
    "dependent": (lambda: Dependent(Stateful()), ROW),
    "without parameters": (lambda: nn.Softmax(-1), ROW),
}
"""Name -> how it is built, and an example input."""


def state(model):
    """All that a measure could change."""
    tensors = {
        path: (
            id(tensor),
            tensor.requires_grad,
            tensor.grad,
            None if torch.nn.parameter.is_lazy(tensor) else tensor.tolist(),
        )
        for path, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    modules = {
        path: (id(module), type(module), module.training, sorted(vars(module)), len(module._forward_hooks))
        for path, module in model.named_modules()
    }
    settings = torch.is_grad_enabled(), torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    generators = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
    return tensors, modules, settings, generators
