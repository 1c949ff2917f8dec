"""MnasNet: https://arxiv.org/abs/1807.11626."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from lanista.hub.block import (
    SqueezeExcite,
    chain,
    check_length,
    classifier,
    convolution,
    divisible,
    example,
    initialised,
    mbconv,
)
from lanista.hub.catalog import Entry, Known
from lanista.model import ModelSpace
from lanista.nn import Repeat
from lanista.space.context import choice
from lanista.space.domain import Architecture

OPS = ("conv", "sepconv", "mbconv3", "mbconv6")
"""Convolution, depthwise and pointwise convolution, and inverted bottlenecks of expansion 3 and 6."""

EXPANSIONS = {"sepconv": 1, "mbconv3": 3, "mbconv6": 6}

SKIPS = ("none", "identity", "pool")

STRIDES = (1, 2, 2, 2, 1, 2, 1)


class Pooled(nn.Module):
    """Layers, to whose output the average of the input over 3x3 positions is added."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.pool = nn.AvgPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.pool(x) + self.body(x)
        return added


def MnasNet(
    num_classes: int = 1000,
    *,
    widths: Sequence[int] = (16, 24, 32, 64, 96, 160, 320),
    layers: Sequence[int] = (1, 2, 3, 4, 3, 3, 1),
    filter_ratios: Sequence[float] = (0.75, 1.0, 1.25),
    stem: int = 32,
    head: int = 1280,
    dropout: float = 0.2,
    resolution: int = 224,
) -> ModelSpace:
    """Seven blocks, each a number of equal layers that are searched as one (a factorised hierarchical space).

    The paper counts 432^5 architectures, as if there were five blocks.

    Of each block: `block1/op` (one of `OPS`), `block1/kernel` (3 or 5), `block1/squeeze` (ratio of squeeze-excite, 0
    or 0.25), `block1/skip` (one of `SKIPS`; it has an effect in the layers that keep the shape), `block1/filters` (a
    factor), and `block1/layers` (one less than in MobileNetV2, as many, or one more, but at least one).

    Args:
        num_classes: outputs.
        widths: of the blocks, before the factor; the default is MobileNetV2's.
        layers: of the blocks, before the search; the default is MobileNetV2's.
        filter_ratios: candidates for the factor.
        stem: width of the first convolution.
        head: width of the last convolution.
        dropout: before the classifier.
        resolution: height and width of the example input.

    Raises:
        SpaceError: there are not seven widths or numbers of layers.
    """
    check_length("widths", widths, len(STRIDES), "of each block")
    check_length("layers", layers, len(STRIDES), "of each block")
    image = example(1, 3, resolution, resolution)
    blocks = list(zip(widths, layers, STRIDES, strict=True))
    return ModelSpace(_network, num_classes, blocks, list(filter_ratios), stem, head, dropout, example_input=image)


def _network(
    num_classes: int, blocks: list[tuple[int, int, int]], ratios: list[float], stem: int, head: int, dropout: float
) -> nn.Module:
    layers: dict[str, nn.Module] = {"stem": convolution(3, stem, 3, stride=2)}
    inputs = stem
    for number, (width, count, stride) in enumerate(blocks, 1):
        name = f"block{number}"
        op = choice(OPS, label=f"{name}/op")
        kernel = choice([3, 5], label=f"{name}/kernel")
        squeeze = choice([0.0, 0.25], label=f"{name}/squeeze")
        skip = choice(SKIPS, label=f"{name}/skip")
        outputs = divisible(width * choice(ratios, label=f"{name}/filters"))
        layer = partial(_layer, inputs, outputs, stride, op, kernel, squeeze, skip)
        depths = (max(count - 1, 1), count + 1)
        layers[name] = Repeat(layer, depths, label=f"{name}/layers")
        inputs = outputs
    layers["head"] = convolution(inputs, head)
    return initialised(chain(layers | classifier(head, num_classes, dropout)), eps=1e-3, momentum=0.01)


def _layer(
    inputs: int, outputs: int, stride: int, op: str, kernel: int, squeeze: float, skip: str, index: int
) -> nn.Module:
    """Layer `index` of a block; the first one has the stride and changes the width."""
    inputs, stride = (outputs, 1) if index else (inputs, stride)
    keeps = stride == 1 and inputs == outputs
    hidden = outputs if op == "conv" else inputs * EXPANSIONS[op]
    # The ratio is of the layer's input, as in the authors' code.
    gate = SqueezeExcite(hidden, max(1, int(inputs * squeeze)), gate=nn.Sigmoid) if squeeze else None
    residual = skip == "identity" and keeps
    if op == "conv":
        parts: dict[str, nn.Module] = {"conv": convolution(inputs, outputs, kernel, stride=stride)}
        body = chain(parts if gate is None else parts | {"squeeze": gate}, residual=residual)
    else:
        act = nn.ReLU
        body = mbconv(inputs, outputs, kernel, hidden, stride=stride, activation=act, squeeze=gate, residual=residual)
    return Pooled(body) if skip == "pool" and keeps else body


def _known(name: str, blocks: str, widths: Sequence[int], parameters: float, macs: float, accuracy: str) -> Known:
    """`blocks` lists op/kernel/squeeze/layers. The widths are the network's own, so the factors are 1."""
    architecture: Architecture = {}
    listed = [block.split("/") for block in blocks.split()]
    for number, (op, kernel, squeeze, layers) in enumerate(listed, 1):
        answers = {
            "op": op,
            "kernel": int(kernel),
            "squeeze": float(squeeze),
            "skip": "identity",
            "filters": 1.0,
            "layers": int(layers),
        }
        architecture |= {f"block{number}/{what}": value for what, value in answers.items()}
    settings = {"widths": tuple(widths), "layers": tuple(int(layers) for *_, layers in listed)}
    return Known(name, architecture, SOURCE, settings, parameters, macs, accuracy, NOTE)


SOURCE = (
    "architecture: the paper's figure 7 (A1), the authors' code (B1); parameters: github.com/osmr/imgclsmob (A1), "
    "torchvision.models (B1); MACs: the paper's table 1 (A1), torchvision.models (B1)"
)
NOTE = (
    "its widths are not MobileNetV2's times 0.75, 1 or 1.25, so they are given as settings; parameters of batch norms "
    "counted"
)

ENTRIES = (
    Entry(
        "MnasNet",
        MnasNet,
        "Tan et al.: MnasNet: Platform-Aware Neural Architecture Search for Mobile, 2019",
        "https://arxiv.org/abs/1807.11626",
        size=1e13,
        known=(
            _known(
                "MnasNet-A1",
                "sepconv/3/0/1 mbconv6/3/0/2 mbconv3/5/0.25/3 mbconv6/3/0/4 mbconv6/3/0.25/2 mbconv6/5/0.25/3 "
                "mbconv6/3/0/1",
                (16, 24, 40, 80, 112, 160, 320),
                3_887_038,
                312e6,
                "75.2 % on ImageNet",
            ),
            _known(
                "MnasNet-B1",
                "sepconv/3/0/1 mbconv3/3/0/3 mbconv3/5/0/3 mbconv6/5/0/3 mbconv6/3/0/2 mbconv6/5/0/4 mbconv6/3/0/1",
                (16, 24, 40, 80, 96, 192, 320),
                4_383_312,
                314e6,
                "74.5 % on ImageNet",
            ),
        ),
    ),
)
"""The space and the paper's networks."""
