"""FBNet: https://arxiv.org/abs/1812.03443."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lanista.hub.block import chain, classifier, convolution, divisible, example, initialised
from lanista.hub.catalog import Entry, Known
from lanista.model import ModelSpace
from lanista.nn import LayerChoice

STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))
"""Width, number of layers, and stride of the first layer: 22 layers."""

BLOCKS = {
    f"k{kernel}_e{expansion}" + (f"_g{groups}" if groups > 1 else ""): (kernel, expansion, groups)
    for kernel in (3, 5)
    for expansion, groups in ((1, 1), (1, 2), (3, 1), (6, 1))
}
"""Name -> kernel, expansion, and groups of the 1x1 convolutions."""

OPS = (*BLOCKS, "skip")
"""The candidates, in the order in which tables of measured latencies number them."""


class Shuffle(nn.Module):
    """Channels in another order, so that those of one group come into all groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


def FBNet(
    num_classes: int = 1000,
    width_mult: float = 1.0,
    *,
    stages: Sequence[tuple[int, int, int]] = STAGES,
    stem: int = 16,
    head: int = 1984,
    dropout: float = 0.2,
    resolution: int = 224,
) -> ModelSpace:
    """22 layers, each one of nine candidates: inverted bottlenecks, and a skip. Labels: `layer0` to `layer21`.

    A skip is the identity, and a 1x1 convolution in the layers that change the shape.

    Args:
        num_classes: outputs.
        width_mult: all widths are multiplied with it, and made divisible by 8.
        stages: of each: its width, number of layers, and stride of the first layer.
        stem: width of the first convolution.
        head: width of the last convolution.
        dropout: before the classifier.
        resolution: height and width of the example input.
    """
    first, last = divisible(stem * width_mult), divisible(head * width_mult)
    scaled = [(divisible(width * width_mult), count, stride) for width, count, stride in stages]
    image = example(1, 3, resolution, resolution)
    return ModelSpace(_network, num_classes, scaled, first, last, dropout, example_input=image)


def _network(num_classes: int, stages: list[tuple[int, int, int]], stem: int, head: int, dropout: float) -> nn.Module:
    layers: dict[str, nn.Module] = {"stem": convolution(3, stem, 3, stride=2)}
    inputs = stem
    strides = [(width, first if i == 0 else 1) for width, count, first in stages for i in range(count)]
    for number, (outputs, stride) in enumerate(strides):
        candidates = {name: partial(_block, inputs, outputs, stride, *sizes) for name, sizes in BLOCKS.items()} | {
            "skip": partial(_skip, inputs, outputs, stride)
        }
        layers[f"layer{number}"] = LayerChoice(candidates, label=f"layer{number}")
        inputs = outputs
    layers["head"] = convolution(inputs, head)
    return initialised(chain(layers | classifier(head, num_classes, dropout)))


def _block(inputs: int, outputs: int, stride: int, kernel: int, expansion: int, groups: int) -> nn.Module:
    """The paper's figure 3: unlike others, it has the first 1x1 convolution with expansion 1, too."""
    hidden = inputs * expansion
    layers: dict[str, nn.Module] = {
        "expand": convolution(inputs, hidden, groups=groups),
        "shuffle": Shuffle(groups),
        "depthwise": convolution(hidden, hidden, kernel, stride=stride, groups=hidden),
        "project": convolution(hidden, outputs, groups=groups, activation=None),
    }
    if groups == 1:
        del layers["shuffle"]
    return chain(layers, residual=stride == 1 and inputs == outputs)


def _skip(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 and inputs == outputs else convolution(inputs, outputs, stride=stride)


FBNET_C = (
    "k3_e1 k3_e6 skip k3_e1 k3_e1 k5_e6 k5_e3 k5_e6 k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6 "
    "k5_e6 k5_e6 k3_e6"
)

ENTRIES = (
    Entry(
        "FBNet",
        FBNet,
        "Wu et al.: FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search, 2019",
        "https://arxiv.org/abs/1812.03443",
        size=9.0**22,
        known=(
            Known(
                "FBNet-C",
                {f"layer{number}": op for number, op in enumerate(FBNET_C.split())},
                "architecture: the paper's figure 4; parameters: fbnetc_100 of timm, fbnet_cb of pytorchcv",
                parameters=5_572_200,
                accuracy="74.9 % on ImageNet",
                note="the paper has 5.5 M parameters, and 375 M MACs, where this network has 385 M, as in timm: so "
                "many parameters need a head of 1984 channels; with one of 1504 it would have 376 M MACs, but 4.9 M "
                "parameters. Parameters of batch norms counted",
            ),
        ),
    ),
)
"""The space and a network of the paper."""
