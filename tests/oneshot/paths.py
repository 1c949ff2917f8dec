"""What the tests of methods that train paths share: small spaces of every kind, and which options a step trained."""

import re
from functools import partial

import torch
from torch import nn

from lanista import ModelSpace, choice, real
from lanista.hub import AutoFormer, MobileNetV3
from lanista.nn import AutoActivation, InputChoice, LayerChoice, NasBench101Cell, Repeat
from lanista.oneshot import Supernet


def linear():
    return nn.Linear(4, 4)


def three():
    """Two decisions of three options, which all have weights, and one of two."""
    return nn.Sequential(
        LayerChoice({"a": linear, "b": linear, "c": linear}, label="x"),
        LayerChoice({"a": linear, "b": linear, "c": linear}, label="y"),
        LayerChoice({"a": linear, "b": linear}, label="z"),
        nn.Linear(4, 1),
    )


def nested():
    """A decision that exists with one option of another only."""
    inner = partial(LayerChoice, {"c": linear, "d": linear, "e": linear}, label="inner")
    return nn.Sequential(LayerChoice({"a": linear, "b": inner}, label="x"), nn.Linear(4, 1))


class Wires(nn.Module):
    def __init__(self):
        super().__init__()
        self.choice = InputChoice(3, 2, label="inputs")
        self.layers = nn.ModuleList(linear() for _ in range(3))
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.choice([layer(x) for layer in self.layers]))


def strided():
    stride = choice([1, 2], label="stride")
    return nn.Sequential(nn.Conv1d(1, 2, 1, stride), nn.Flatten(), nn.Linear(8 // stride, 1))


class Normed(nn.Module):
    """A width over which there is a layer norm, so that masks cannot mix it; and a rate that is a real number."""

    def __init__(self):
        super().__init__()
        width, rate = choice([2, 4], label="width"), real(0.0, 0.5, label="rate")
        self.layers = nn.Sequential(nn.Linear(4, width), nn.LayerNorm(width), nn.Dropout(rate), nn.Linear(width, 1))

    def forward(self, x):
        return self.layers(x)


def activated():
    return nn.Sequential(nn.Linear(4, 4), AutoActivation(label="act"), nn.Linear(4, 1))


class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        candidates = {"conv": lambda width: nn.Conv1d(width, width, 3, padding=1), "skip": lambda width: nn.Identity()}
        self.cell = NasBench101Cell(candidates, 2, 4, lambda a, b: nn.Conv1d(a, b, 1), 4, 4, label="cell")
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.cell(x).flatten(1))


def blocks():
    return nn.Sequential(Repeat(linear, (1, 3), label="depth"), nn.Linear(4, 1))


VECTORS, SIGNALS, IMAGES = torch.zeros(2, 4), torch.zeros(2, 2, 4), torch.zeros(2, 3, 32, 32)

SPACES = {
    "layers": lambda: ModelSpace(three, example_input=VECTORS),
    "nested": lambda: ModelSpace(nested, example_input=VECTORS),
    "limited": lambda: ModelSpace(three, example_input=VECTORS).constrain(lambda a: a["x"] != a["y"]),
    "inputs": lambda: ModelSpace(Wires, example_input=VECTORS),
    "depth": lambda: ModelSpace(blocks, example_input=VECTORS),
    "stride": lambda: ModelSpace(strided, example_input=torch.zeros(2, 1, 4)),
    "normed width and rate": lambda: ModelSpace(Normed, example_input=VECTORS),
    "AutoActivation": lambda: ModelSpace(activated, example_input=VECTORS),
    "NasBench101Cell": lambda: ModelSpace(Graph, example_input=SIGNALS),
    "AutoFormer": lambda: AutoFormer(
        3, embed_dims=(8, 16), heads=(1, 2), mlp_ratios=(1.5, 2.0), depths=(1, 2), image=32, patch=16
    ),
    "MobileNetV3": lambda: MobileNetV3(
        3,
        widths=(8, 8, 8, 16, 16),
        width_multipliers=(0.5, 1.0),
        kernels=(3, 5),
        expand_ratios=(1.0, 2.0),
        depths=(1, 2),
        strides=(1, 2),
        squeeze_excite=("none", "optional"),
        activations=("relu", "hswish"),
        resolution=32,
    ),
}
"""Of every kind; most of them cannot be mixed."""


def squared(model, batch):
    """A loss for any model, however large its outputs are."""
    inputs, targets = batch
    return (model(inputs).mean(1).tanh() - targets).square().mean()


def batch(space, seed=0):
    """Random inputs like the space's example, four samples."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, *space.example_input.shape[1:], generator=generator)
    return inputs, torch.randn(4, generator=generator)


def supernet(space, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Supernet(space)


def started(method, space, steps=10, seed=0):
    """The method, with a supernet of its own, and an optimizer that changes nothing."""
    shared = supernet(space)
    method.start(shared, steps=steps, seed=seed)
    return method, torch.optim.SGD(shared.parameters(), 0.0)


def trained(method, loss=squared, seed=0):
    """The options that each pass of a step trains, as label -> name: those whose weights get a gradient.

    After the last pass the step is closed.
    """
    shared = method.network.supernet
    found = []
    for value in method.passes(batch(shared.space, seed), loss):
        shared.zero_grad()
        value.backward()
        names = [name for name, weight in shared.named_parameters() if weight.grad is not None]
        found.append({label: option for name in names for label, option in re.findall(r"\[(\w+)=(\w+)\]", name)})
    method.advance()
    return found
