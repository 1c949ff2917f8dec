"""ENAS, macro: whole networks, in operations and skip connections of each layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.hub.catalog import Entry
from lanista.hub.operation import FactorizedReduce
from lanista.model import ModelSpace
from lanista.nn import InputChoice, LayerChoice

PAPER = "Pham et al.: Efficient Neural Architecture Search via Parameter Sharing. 2018"
URL = "https://arxiv.org/abs/1802.03268"


def _conv_bn_relu(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def _convolution(kernel: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_conv_bn_relu(width, width, 1), *_conv_bn_relu(width, width, kernel))


def _separable(kernel: int, width: int) -> nn.Sequential:
    depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
    return nn.Sequential(*_conv_bn_relu(width, width, 1), depthwise, *_conv_bn_relu(width, width, 1))


def _pooled(pool: Callable[[int, int, int], nn.Module], width: int) -> nn.Sequential:
    return nn.Sequential(*_conv_bn_relu(width, width, 1), pool(3, 1, 1))


def _average(kernel: int, stride: int, padding: int) -> nn.Module:
    return nn.AvgPool2d(kernel, stride, padding, count_include_pad=False)


OPERATIONS = {
    "conv_3x3": partial(_convolution, 3),
    "conv_5x5": partial(_convolution, 5),
    "sep_conv_3x3": partial(_separable, 3),
    "sep_conv_5x5": partial(_separable, 5),
    "avg_pool_3x3": partial(_pooled, _average),
    "max_pool_3x3": partial(_pooled, nn.MaxPool2d),
}
"""In the order of the paper; each after a 1x1 convolution."""


class Layer(nn.Module):
    """An operation on the last tensor, to which chosen earlier ones are added."""

    def __init__(self, index: int, width: int) -> None:
        super().__init__()
        candidates = {name: partial(make, width) for name, make in OPERATIONS.items()}
        self.operation = LayerChoice(candidates, label=f"layer{index}/op")
        self.skip = InputChoice(index, None, label=f"layer{index}/skip") if index else None
        self.bn = nn.BatchNorm2d(width)

    def forward(self, earlier: list[Tensor]) -> Tensor:
        """From the stem's output and those of all layers before."""
        x = self.operation(earlier[-1])
        if self.skip is not None:
            x = x + self.skip(earlier[:-1])
        normal: Tensor = self.bn(x)
        return normal


class Network(nn.Module):
    """Stem, layers, and after one and two thirds of them a halving of all that came before."""

    def __init__(self, width: int, num_layers: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.layers, self.reductions = nn.ModuleList(), nn.ModuleDict()
        for index in range(num_layers):
            self.layers.append(Layer(index, width))
            if index + 1 in (num_layers // 3, 2 * (num_layers // 3)):
                reductions = (FactorizedReduce(width, 2 * width) for _ in range(index + 2))
                self.reductions[str(index)] = nn.ModuleList(reductions)
                width *= 2
        self.head = nn.Sequential(
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images of shape (batch, 3, height, width); logits of shape (batch, classes)."""
        earlier = [self.stem(x)]
        for index, layer in enumerate(self.layers):
            earlier.append(layer(earlier))
            if str(index) in self.reductions:
                halves = self.reductions[str(index)].children()
                earlier = [half(tensor) for half, tensor in zip(halves, earlier, strict=True)]
        logits: Tensor = self.head(earlier[-1])
        return logits


def ENASMacro(width: int = 36, num_layers: int = 12, num_classes: int = 10, dropout: float = 0.1) -> ModelSpace:
    """The macro space of ENAS (https://arxiv.org/abs/1802.03268): 6^12 · 2^66 networks with 12 layers.

    `layer{i}/op` is the operation of layer `i` on the output of the layer before; `layer{i}/skip` lists which of the
    `i` tensors before that (0 is the stem) are added to its result. After one and two thirds of the layers, resolution
    is halved and channels are doubled.

    Args:
        width: channels of the stem and of the first layers.
        num_layers: number of layers, at least 3.
        num_classes: number of classes.
        dropout: before the classifier.
    """
    if num_layers < 3:
        raise SpaceError(f"num_layers is {num_layers!r}; it must be at least 3, for two reductions")
    return ModelSpace(Network, width, num_layers, num_classes, dropout, example_input=torch.zeros(1, 3, 32, 32))


ENTRIES = (Entry("ENASMacro", ENASMacro, PAPER, URL, 1.6e29),)
"""What this module adds to the catalogue. (The paper says 1.6 · 10^29.)"""
