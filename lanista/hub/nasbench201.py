"""NAS-Bench-201: one small cell, repeated, of which every architecture has been trained."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.hub.catalog import Entry, Known
from lanista.hub.operation import relu_conv_bn
from lanista.model import ModelSpace
from lanista.nn import NasBench201Cell

PAPER = "Dong and Yang: NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search. 2020"
URL = "https://arxiv.org/abs/2001.00326"

CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet16": 120}
PIXELS = {"cifar10": 32, "cifar100": 32, "imagenet16": 16}


class Zero(nn.Module):
    """Gives zeros, which no gradient goes through."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x.mul(0.0)


OPERATIONS = {
    "none": lambda inputs, outputs: Zero(),
    "skip_connect": lambda inputs, outputs: nn.Identity(),
    "nor_conv_1x1": lambda inputs, outputs: relu_conv_bn(inputs, outputs, 1),
    "nor_conv_3x3": lambda inputs, outputs: relu_conv_bn(inputs, outputs, 3),
    "avg_pool_3x3": lambda inputs, outputs: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
}
"""By the benchmark's names, in its order."""


class Residual(nn.Module):
    """Halves the resolution: two 3x3 convolutions, and a pooled 1x1 convolution around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(relu_conv_bn(inputs, outputs, 3, 2), relu_conv_bn(outputs, outputs, 3))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, inputs, height, width) to (batch, outputs, height / 2, width / 2)."""
        total: Tensor = self.shortcut(x) + self.body(x)
        return total


def _network(width: int, num_cells: int, num_classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))]
    cell = partial(NasBench201Cell, OPERATIONS, label="cell")
    for stage in range(3):
        if stage:
            layers.append(Residual(width, 2 * width))
            width *= 2
        layers += [cell(width, width) for _ in range(num_cells)]
    head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)]
    return nn.Sequential(*layers, *head)


def NASBench201(
    width: int = 16, num_cells: int = 5, dataset: str = "cifar10", num_classes: int | None = None
) -> ModelSpace:
    """The space of NAS-Bench-201 (https://arxiv.org/abs/2001.00326): 15,625 architectures.

    `cell/{i}_{j}` is the operation from tensor `i` to tensor `j` of the cell, which is the same everywhere: in each of
    three stages, between which the resolution is halved and the channels are doubled.

    Args:
        width: channels of the first stage.
        num_cells: number of cells in each stage.
        dataset: "cifar10", "cifar100" or "imagenet16" (ImageNet16-120): classes, and resolution of the example input.
        num_classes: number of classes; default: the dataset's.
    """
    if dataset not in CLASSES:
        raise SpaceError(f"dataset is {dataset!r}; it must be one of {', '.join(map(repr, CLASSES))}")
    example = torch.zeros(1, 3, PIXELS[dataset], PIXELS[dataset])
    return ModelSpace(_network, width, num_cells, num_classes or CLASSES[dataset], example_input=example)


def architecture(text: str) -> dict[str, str]:
    """The architecture that the benchmark writes as `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
    return {
        f"cell/{entry.split('~')[1]}_{tensor}": entry.split("~")[0]
        for tensor, node in enumerate(text.split("+"), 1)
        for entry in node.strip("|").split("|")
    }


ENTRIES = (
    Entry(
        "NASBench201",
        NASBench201,
        PAPER,
        URL,
        15_625,
        (
            Known(
                "NAS-Bench-201 best on CIFAR-10",
                architecture(
                    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
                ),
                "NATS-Bench tables (https://arxiv.org/abs/2009.00437)",
                parameters=1_073_466,
                accuracy="94.37 % on CIFAR-10",
            ),
        ),
    ),
)
"""What this module adds to the catalogue."""
