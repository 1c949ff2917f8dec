"""Small regressions in whose model space one architecture is right: what a method that learns must find.

problem = layers()
supernet = Supernet(problem.space)
...
method.step(problem.batch(0), problem.batch(1), loss=mean_squared_error, optimizer=optimizer)
assert method.best() == [problem.answer]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lanista.model import ModelSpace
from lanista.nn import Cell, InputChoice, LayerChoice, Repeat
from lanista.space.domain import Architecture

SIZE = 64
"""How many samples a batch has."""

FEATURES = 8


@dataclass(frozen=True)
class Planted:
    """A model space and data that one of its architectures made.

    Attributes:
        name: in a word.
        space: the models, from a tensor of shape (batch, tensors, features) to one of (batch,).
        answer: the architecture that can be without error, which no other one can.
        target: what it makes of a batch.
    """

    name: str
    space: ModelSpace
    answer: Architecture
    target: Callable[[Tensor], Tensor]

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """Inputs and what is to come out."""
        inputs = torch.randn(SIZE, 4, FEATURES, generator=torch.Generator().manual_seed(seed), device="cpu")
        return inputs, self.target(inputs)


def mean_squared_error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The loss of a model on a batch."""
    return nn.functional.mse_loss(model(batch[0]), batch[1])


class Zero(nn.Module):
    """Gives zeros."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * 0.0


class Absolute(nn.Module):
    """Gives absolute values, which no linear layer can: they do not correlate with numbers around zero."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x.abs()


class Negative(nn.Module):
    """Changes the sign."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return -x


class Roll(nn.Module):
    """Moves each feature to the next place."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x.roll(1, -1)


class Readout(nn.Module):
    """A fixed sum of features, of which only the scale and an offset are learnt."""

    factors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factors", _numbers(FEATURES, 0))
        self.scale = nn.Parameter(torch.full((), 0.5))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, features) to (batch,)."""
        return x @ self.factors * self.scale + self.offset


OPERATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": Zero,
    "skip": nn.Identity,
    "linear": partial(nn.Linear, FEATURES, FEATURES),
    "absolute": Absolute,
}


class _Layers(nn.Module):
    blend: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice(OPERATIONS, label="first")
        self.second = LayerChoice(OPERATIONS, label="second")
        self.register_buffer("blend", _numbers(FEATURES * FEATURES, 1).view(FEATURES, FEATURES))
        self.readout = Readout()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.readout(self.second(self.first(x[:, 0]) @ self.blend))
        return found


class _Wires(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inputs = InputChoice(4, 2, label="inputs")
        self.rolls = Repeat(Roll, (0, 3), label="rolls")
        self.others = InputChoice(2, None, label="others")
        self.readout = Readout()

    def forward(self, x: Tensor) -> Tensor:
        rolled = self.rolls(self.inputs(list(x.unbind(1))))
        found: Tensor = self.readout(rolled + self.others([x[:, 0].abs(), x[:, 1].abs()]))
        return found


class _Edges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        candidates = {"skip": nn.Identity, "negative": Negative, "absolute": Absolute}
        self.cell = Cell(candidates, 1, 2, 3, label="cell")
        self.readout = Readout()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.readout(self.cell([x[:, 0], x[:, 1], x[:, 2]]))
        return found


class _Channels(nn.Module):
    signs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("signs", _numbers(FEATURES, 2))
        self.op = LayerChoice(OPERATIONS, label="op")
        candidates = {"skip": nn.Identity, "negative": Negative, "absolute": Absolute}
        self.cell = Cell(candidates, 1, 2, 3, label="cell")
        self.head = nn.Linear(2 * FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (x[:, tensor, :1] * self.signs for tensor in range(4))
        found: Tensor = self.head(torch.cat([self.op(first), self.cell(others)], 1))
        return found[:, 0]


def layers() -> Planted:
    """Two layers, one after the other, of which both must take absolute values."""
    space = ModelSpace(_Layers, example_input=torch.zeros(2, 4, FEATURES))
    blend, factors = _numbers(FEATURES * FEATURES, 1).view(FEATURES, FEATURES), _numbers(FEATURES, 0)
    return Planted(
        "layers",
        space,
        {"first": "absolute", "second": "absolute"},
        lambda x: (x[:, 0].abs() @ blend).abs() @ factors,
    )


def wires() -> Planted:
    """Two of four inputs, a depth, and one of two inputs that each are used or not."""
    space = ModelSpace(_Wires, example_input=torch.zeros(2, 4, FEATURES))
    factors = _numbers(FEATURES, 0)
    return Planted(
        "wires",
        space,
        {"inputs": [1, 3], "rolls": 2, "others": [1]},
        lambda x: ((x[:, 1] + x[:, 3]).roll(2, -1) + x[:, 1].abs()) @ factors,
    )


def edges() -> Planted:
    """A cell's node, with two of three inputs and an operation on each."""
    space = ModelSpace(_Edges, example_input=torch.zeros(2, 4, FEATURES))
    factors = _numbers(FEATURES, 0)
    answer = {"cell/op_3_0": "absolute", "cell/input_3_0": 0, "cell/op_3_1": "absolute", "cell/input_3_1": 2}
    return Planted("edges", space, answer, lambda x: (x[:, 0].abs() + x[:, 2].abs()) @ factors)


def channels() -> Planted:
    """A layer and a cell's node whose channels all say the same, so that a part of them is enough."""
    space = ModelSpace(_Channels, example_input=torch.zeros(2, 4, FEATURES))
    answer = {"cell/op_3_0": "absolute", "cell/input_3_0": 0, "cell/op_3_1": "absolute", "cell/input_3_1": 2}
    return Planted("channels", space, {"op": "absolute", **answer}, lambda x: 4 * x[:, (0, 1, 3), 0].abs().sum(1))


PROBLEMS: tuple[Callable[[], Planted], ...] = (layers, wires, edges)
"""What every method that learns must solve; each is also a function of its own. `channels` is for methods that run all
layers, on a part of the channels too: it has more noise for a single path."""


def _numbers(count: int, seed: int) -> Tensor:
    """Fixed numbers of both signs, none near 0."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.arange(count).remainder(2) * 2.0 - 1.0
    order = torch.randperm(count, generator=generator, device="cpu")
    return signs[order] * (0.5 + torch.rand(count, generator=generator, device="cpu"))
