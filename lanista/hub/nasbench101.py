"""NAS-Bench-101: one cell of up to seven vertices, repeated, of which all 423,624 have been trained."""

from __future__ import annotations

import torch
from torch import nn

from lanista.hub.catalog import Entry, Known
from lanista.hub.operation import conv_bn_relu
from lanista.model import ModelSpace
from lanista.nn import NasBench101Cell
from lanista.space import dag

PAPER = "Ying et al.: NAS-Bench-101: Towards Reproducible Neural Architecture Search. 2019"
URL = "https://arxiv.org/abs/1902.09635"

OPERATIONS = {
    "conv3x3-bn-relu": lambda channels: conv_bn_relu(channels, channels, 3),
    "conv1x1-bn-relu": lambda channels: conv_bn_relu(channels, channels, 1),
    "maxpool3x3": lambda channels: nn.MaxPool2d(3, 1, 1),
}
"""By the benchmark's names."""


def _network(width: int, num_stacks: int, num_cells: int, num_classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [conv_bn_relu(3, width, 3)]
    channels = width
    for stack in range(num_stacks):
        if stack:
            layers.append(nn.MaxPool2d(2, 2))
            width *= 2
        for _ in range(num_cells):
            layers.append(NasBench101Cell(OPERATIONS, channels, width, conv_bn_relu, label="cell"))
            channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)]
    return nn.Sequential(*layers, *head)


def NASBench101(width: int = 128, num_stacks: int = 3, num_cells: int = 3, num_classes: int = 10) -> ModelSpace:
    """The space of NAS-Bench-101 (https://arxiv.org/abs/1902.09635).

    The cell is the same everywhere; see `lanista.nn.NasBench101Cell` for its decisions, `cell/num_nodes`, `cell/op{i}`
    and `cell/input{i}`. Several architectures stand for the same cell; `lanista.space.dag.sample` draws the distinct
    ones equally often. Between stacks the resolution is halved and the channels are doubled.

    Args:
        width: channels of the stem and of the first stack; at least 5, so that the vertices can share them.
        num_stacks: number of stacks.
        num_cells: number of cells in each stack.
        num_classes: number of classes.
    """
    return ModelSpace(_network, width, num_stacks, num_cells, num_classes, example_input=torch.zeros(1, 3, 32, 32))


ENTRIES = (
    Entry(
        "NASBench101",
        NASBench101,
        PAPER,
        URL,
        423_624,
        (
            Known(
                "NAS-Bench-101 Inception-like cell",
                dag.architecture(
                    (
                        (0, 1, 1, 1, 0, 1, 0),
                        (0, 0, 0, 0, 0, 0, 1),
                        (0, 0, 0, 0, 0, 0, 1),
                        (0, 0, 0, 0, 1, 0, 0),
                        (0, 0, 0, 0, 0, 0, 1),
                        (0, 0, 0, 0, 0, 0, 1),
                        (0, 0, 0, 0, 0, 0, 0),
                    ),
                    ("conv1x1-bn-relu", "conv3x3-bn-relu", "conv3x3-bn-relu", "conv3x3-bn-relu", "maxpool3x3"),
                    "cell",
                ),
                "https://github.com/google-research/nasbench, the example of the readme",
                parameters=2_694_282,
            ),
        ),
    ),
)
"""What this module adds to the catalogue."""
