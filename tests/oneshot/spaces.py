"""Spaces whose layers hold their weights in unusual ways; small enough that a law takes a fraction of a second."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.utils import parametrizations

from lanista import ModelSpace
from lanista.nn import Cell, InputChoice, LayerChoice, NasBench201Cell, Repeat
from lanista.space import choice

IMAGE = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
VECTOR = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
SEQUENCE = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(0))


class Windows(nn.Module):
    """Attention with a table for relative positions, drop-path rates and a scale, all computed when it is built."""

    def __init__(self):
        super().__init__()
        side, heads = choice([2, 3], label="side"), choice([2, 4], label="heads")
        depth = choice([1, 2], label="depth")
        place = torch.arange(side)
        self.table = nn.Parameter(torch.randn(2 * side - 1, heads))
        self.register_buffer("index", place[:, None] - place[None] + side - 1, persistent=False)
        self.register_buffer("ids", torch.arange(heads * 2)[None], persistent=False)
        self.embed = nn.Embedding(16, 8)
        self.rates = torch.linspace(0, 0.5, depth).tolist()
        self.last = torch.linspace(0, 0.5, depth)[-1].item()
        self.register_buffer("scale", torch.tensor(float(heads) ** -0.5))
        self.register_buffer("features", torch.randn(heads, 8))
        self.drop = nn.Dropout(self.last)
        self.head = nn.Linear(8, heads)

    def forward(self, x):
        bias = self.table[self.index].sum((0, 1)) * self.scale
        y = self.head(self.drop(x + self.embed(self.ids).mean(1, keepdim=True)))
        return y * bias + (x @ self.features.T)


class Averages(nn.Module):
    """Keeps an average of what it sees, and replaces it, in each of its ways."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 1))
            self.seen += 1
        return x - self.mean


def averages():
    width = choice([4, 8], label="width")
    return nn.Sequential(nn.Linear(8, width), Averages(width), nn.Linear(width, 3))


class Convolutions(nn.Module):
    """Grouped, depthwise and transposed."""

    def __init__(self):
        super().__init__()
        width, kernel = choice([4, 8], label="width"), choice([1, 3, 5], label="kernel")
        groups = choice([1, 2], label="groups")
        self.stem = nn.Conv2d(3, width, kernel, padding="same")
        self.group = nn.Conv2d(width, 8, 3, padding=1, groups=groups)
        self.norm = nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, kernel, padding="same", groups=8)
        self.up = nn.ConvTranspose2d(8, width, kernel, 2)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        return self.head(self.up(self.depth(self.norm(self.group(self.stem(x))).relu())))


class Attention(nn.Module):
    """torch's own, with a projection of three in one, or three."""

    def __init__(self):
        super().__init__()
        width, heads = choice([4, 8], label="width"), choice([1, 2], label="heads")
        keys = choice([None, 6], label="keys")
        self.stem = nn.Linear(8, width)
        self.keys = nn.Linear(8, keys or width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True, kdim=keys, vdim=keys, dropout=0.1)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        query, keys = self.stem(x), self.keys(x)
        return self.norm(query + self.attention(query, keys, keys, need_weights=False)[0]).mean(2)


class Packed(nn.Module):
    """Query, key and value of a layer of its own, normalised while they are together."""

    def __init__(self):
        super().__init__()
        width = choice([4, 8], label="width")
        self.qkv = nn.Linear(8, 3 * width)
        self.norm = nn.BatchNorm1d(3 * width)
        self.qkv.packed = self.norm.packed = 3
        self.out = nn.Linear(width, 3)

    def forward(self, x):
        q, k, v = self.norm(self.qkv(x).transpose(1, 2)).transpose(1, 2).chunk(3, 2)
        return self.out((q @ k.transpose(1, 2)).softmax(2) @ v)


class Tied(nn.Module):
    """An output layer that is the embedding, or half of the time is not."""

    def __init__(self):
        super().__init__()
        width = choice([4, 8], label="width")
        self.embed = nn.Embedding(7, width, padding_idx=0)
        self.body = LayerChoice([lambda: nn.Linear(width, width), nn.Identity], label="body")
        self.out = nn.Linear(width, 7, bias=False)
        if choice([True, False], label="tied"):
            self.out.weight = self.embed.weight

    def forward(self, tokens):
        return self.out(self.body(self.embed(tokens)))


class Recurrent(nn.Module):
    def __init__(self, kind, **named):
        super().__init__()
        hidden, layers = choice([2, 4], label="hidden"), choice([1, 2], label="layers")
        both = choice([False, True], label="both")
        self.body = kind(8, hidden, layers, batch_first=True, bidirectional=both, **named)
        self.head = nn.Linear((2 if both else 1) * named.get("proj_size", hidden), 3)

    def forward(self, x):
        return self.head(self.body(x)[0])


class Cells(nn.Module):
    def __init__(self):
        super().__init__()
        hidden = choice([2, 4], label="hidden")
        self.cells = nn.ModuleList([nn.LSTMCell(8, hidden), nn.GRUCell(8, hidden), nn.RNNCell(8, hidden)])
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        first, second, third = self.cells
        return self.head(first(x[:, 0])[0] + second(x[:, 0]) + third(x[:, 0]))


def parametrized(kind, layer):
    """A layer whose weight is computed from others."""
    width = choice([4, 8], label="width")
    return nn.Sequential(kind(layer(width)), nn.ReLU(), nn.Linear(width, 2))


def spectral_convolution():
    width, kernel = choice([4, 8], label="width"), choice([1, 3], label="kernel")
    conv = parametrizations.spectral_norm(nn.Conv2d(3, width, kernel, padding="same"))
    return nn.Sequential(conv, parametrizations.weight_norm(nn.Conv2d(width, 2, kernel, padding="same")))


class Lists(nn.Module):
    """Parameters of its own: at the root, in a list, in a dictionary; some are frozen, some are called like methods."""

    def __init__(self):
        super().__init__()
        width = choice([3, 6], label="width")
        self.space = nn.Parameter(torch.randn(width))
        self.list = nn.ParameterList([torch.randn(width, 6), torch.randn(width, 6)])
        self.named = nn.ParameterDict({"a": torch.randn(width), "path": torch.randn(width)})
        self.fixed = nn.Parameter(torch.randn(width), requires_grad=choice([True, False], label="learns"))

    def forward(self, x):
        first, second = self.list
        return (x @ (first * second).T) * self.space + self.named["a"] * self.named["path"] + self.fixed


class Classes(nn.Module):
    """One of several classes, whose weights have the same names."""

    def __init__(self):
        super().__init__()
        width = choice([4, 8], label="width")
        norm = choice({"bn": nn.BatchNorm2d, "ln": partial(nn.GroupNorm, 1), "in": nn.InstanceNorm2d}, label="norm")
        block = choice({"a": Twice, "b": Thrice}, label="block")
        self.body = nn.Sequential(nn.Conv2d(3, width, 1), norm(width), block(width))

    def forward(self, x):
        return self.body(x)[:, :2]


class Twice(nn.Module):
    factor = 2

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)

    def forward(self, x):
        return self.factor * self.conv(x)


class Thrice(Twice):
    factor = 3


def splatted():
    """Repetitions among other layers of one list, before and after layers of choice."""
    return nn.Sequential(
        nn.Linear(6, 4),
        *Repeat(lambda: nn.Linear(4, 4), (0, 2), label="first"),
        LayerChoice([nn.ReLU, lambda: nn.Linear(4, 4)], label="middle"),
        *Repeat(lambda i: LayerChoice([nn.Tanh, lambda: nn.Linear(4, 4)]), [1, 3], label="second"),
        nn.Linear(4, 3),
    )


class Looped(nn.Module):
    """Repetitions that the forward pass takes one by one."""

    def __init__(self):
        super().__init__()
        self.blocks = Repeat(lambda: nn.Linear(6, 6), (1, 3), label="depth")
        self.more = nn.ModuleList([nn.Linear(6, 6), *Repeat(lambda: nn.Linear(6, 6), (0, 2), label="more")])

    def forward(self, x):
        for block in self.blocks:
            x = block(x).relu()
        return self.blocks(self.more[0](x))


class Chained(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = Repeat(lambda: nn.Linear(6, 6), (1, 3), label="depth")

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def nested():
    """Choices of choices, at the root."""
    return LayerChoice(
        {
            "deep": lambda: Repeat(lambda: LayerChoice([linear, nn.Tanh], label="inner"), (1, 2), label="depth"),
            "choice": lambda: LayerChoice(
                {"a": linear, "b": lambda: nn.Sequential(linear(), nn.ReLU())}, label="other"
            ),
            "cell": lambda: Cell({"linear": linear, "relu": nn.ReLU}, 2, 1, concat_dim=0, label="cell"),
        },
        label="outer",
    )


def linear():
    return nn.Linear(6, 6)


class Common(nn.Module):
    """Layers that are there whatever is chosen, or candidates of several questions."""

    def __init__(self):
        super().__init__()
        shared = linear()
        self.late = LayerChoice({"stem": shared, "no": nn.Tanh()}, label="late")
        self.stem = shared
        self.early = LayerChoice({"stem": lambda: self.stem, "no": nn.Tanh}, label="early")
        self.inner = LayerChoice({"x": linear(), "y": linear()}, label="inner")
        self.outer = LayerChoice({"inner": self.inner, "other": linear()}, label="outer")
        twice = linear()
        self.first = LayerChoice({"twice": twice, "no": nn.Tanh()}, label="first")
        self.second = LayerChoice({"own": linear, "twice": twice}, label="second")

    def forward(self, x):
        for layer in (self.stem, self.early, self.late, self.inner, self.outer, self.first, self.second):
            x = layer(x)
        return x


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        deep = partial(Repeat, lambda: LayerChoice([linear, nn.Tanh], label="inner"), (1, 2), label="depth")
        other = partial(LayerChoice, {"a": linear, "b": lambda: nn.Sequential(linear(), nn.ReLU())}, label="other")
        self.body = nn.Sequential(LayerChoice({"deep": deep, "other": other}, label="outer"), linear())
        self.same = LayerChoice({"deep": deep, "other": other}, label="outer")

    def forward(self, x):
        return self.same(self.body(x))


class Inputs(nn.Module):
    def __init__(self, n_chosen, reduction):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.pick = InputChoice(4, n_chosen, reduction, label="pick")

    def forward(self, x):
        found = self.pick([x, *(layer(x) for layer in self.layers)])
        return torch.cat(found) if isinstance(found, list) and found else found


class Widths(nn.Module):
    """Widths and windows that can be mixed, alone and together."""

    def __init__(self):
        super().__init__()
        width, kernel = choice([2, 4, 8], label="width"), choice([1, 3, 5], label="kernel")
        ratio = choice([1, 2], label="ratio")
        hidden = width * ratio
        self.stem = nn.Conv2d(3, width, kernel, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.expand = nn.Conv2d(width, hidden, 1)
        self.depth = nn.Conv2d(hidden, hidden, kernel, padding="same", groups=hidden)
        self.project = nn.Conv2d(hidden, width, 1)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.project(self.depth(self.expand(x)).sigmoid())
        return self.head(x.mean((2, 3)))


class Both(nn.Module):
    """Layers, inputs and widths."""

    def __init__(self):
        super().__init__()
        width = choice([2, 4], label="width")
        self.stem = nn.Conv2d(3, width, 1)
        self.cell = NasBench201Cell(
            {"conv": lambda i, o: nn.Conv2d(i, o, 3, padding=1), "skip": lambda i, o: nn.Identity()},
            width,
            width,
            3,
            label="cell",
        )
        self.body = LayerChoice([lambda: Inner(width), nn.Identity], label="body")
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.body(self.cell(self.stem(x))).mean((2, 3)))


class Inner(nn.Sequential):
    def __init__(self, width):
        hidden = choice([2, 3], label="hidden")
        super().__init__(nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, width, 1))


def dropped():
    return nn.Sequential(
        nn.Dropout(0.2), LayerChoice([linear, lambda: nn.Sequential(linear(), nn.Dropout(0.5))]), nn.Dropout(0.1)
    )


LAYERS: dict[str, Callable[[], ModelSpace]] = {
    "computed buffers": lambda: ModelSpace(Windows, example_input=SEQUENCE),
    "replaced buffers": lambda: ModelSpace(averages, example_input=SEQUENCE),
    "convolutions": lambda: ModelSpace(Convolutions, example_input=IMAGE),
    "MultiheadAttention": lambda: ModelSpace(Attention, example_input=SEQUENCE),
    "packed projections": lambda: ModelSpace(Packed, example_input=SEQUENCE),
    "tied embedding": lambda: ModelSpace(Tied, example_input=TOKENS),
    "LSTM": lambda: ModelSpace(Recurrent, nn.LSTM, example_input=SEQUENCE),
    "LSTM, projected": lambda: ModelSpace(Recurrent, nn.LSTM, proj_size=1, example_input=SEQUENCE),
    "GRU": lambda: ModelSpace(Recurrent, nn.GRU, example_input=SEQUENCE),
    "RNN": lambda: ModelSpace(Recurrent, nn.RNN, nonlinearity="relu", example_input=SEQUENCE),
    "recurrent cells": lambda: ModelSpace(Cells, example_input=SEQUENCE),
    "weight_norm": lambda: ModelSpace(
        parametrized, parametrizations.weight_norm, partial(nn.Linear, 6), example_input=VECTOR
    ),
    "spectral_norm": lambda: ModelSpace(
        parametrized, parametrizations.spectral_norm, partial(nn.Linear, 6), example_input=VECTOR
    ),
    "orthogonal": lambda: ModelSpace(
        parametrized, parametrizations.orthogonal, partial(nn.Linear, 6), example_input=VECTOR
    ),
    "parametrized convolutions": lambda: ModelSpace(spectral_convolution, example_input=IMAGE),
    "parameters in lists": lambda: ModelSpace(Lists, example_input=VECTOR),
    "classes": lambda: ModelSpace(Classes, example_input=IMAGE),
    "Repeat in a list": lambda: ModelSpace(splatted, example_input=VECTOR),
    "Repeat in a loop": lambda: ModelSpace(Chained, example_input=VECTOR),
    "Repeat in another loop": lambda: ModelSpace(Looped, example_input=VECTOR),
    "nested at the root": lambda: ModelSpace(nested, example_input=VECTOR),
    "nested": lambda: ModelSpace(Deep, example_input=VECTOR),
    "common layers": lambda: ModelSpace(Common, example_input=VECTOR),
    "dropout": lambda: ModelSpace(dropped, example_input=VECTOR),
    "widths": lambda: ModelSpace(Widths, example_input=IMAGE),
    "layers and widths": lambda: ModelSpace(Both, example_input=IMAGE),
    **{
        f"InputChoice, {n_chosen}, {reduction}": partial(ModelSpace, Inputs, n_chosen, reduction, example_input=VECTOR)
        for n_chosen in (1, 2, None, (1, 3), 0)
        for reduction in ("sum", "mean", "concat", "none")
        if n_chosen != 0 or reduction in ("sum", "concat")
    },
}
"""By name."""
