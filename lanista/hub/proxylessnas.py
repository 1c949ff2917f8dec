"""ProxylessNAS: https://arxiv.org/abs/1812.00332."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from lanista.hub.block import (
    answers,
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
from lanista.nn import LayerChoice, Repeat

WIDTHS = (32, 16, 32, 40, 80, 96, 192, 320, 1280)
"""Channels of the stem, of stages 1 to 7, and of the last convolution."""

STRIDES = {2: 2, 3: 2, 4: 2, 5: 1, 6: 2, 7: 1}
"""Stage -> stride of its first block."""

CANDIDATES = tuple((kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6))


def ProxylessNAS(
    num_classes: int = 1000,
    width_mult: float = 1.0,
    *,
    widths: Sequence[int] = WIDTHS,
    depths: tuple[int, int] = (1, 4),
    dropout: float = 0.0,
    resolution: int = 224,
) -> ModelSpace:
    """Inverted bottlenecks of kernel 3, 5 or 7 and expansion 3 or 6, in six stages of up to four (the last has one).

    The paper lets each block but the first of a stage be skipped; here a stage has a depth, so that each network of
    the paper's space is there once. Labels: `stage2/depth` to `stage6/depth`, and `stage2/block0/op`, ..., with values
    such as "k3e6".

    Args:
        num_classes: outputs.
        width_mult: all widths are multiplied with it, and made divisible by 8.
        widths: channels of the stem, of stages 1 to 7, and of the last convolution.
        depths: least and greatest number of blocks of stages 2 to 6.
        dropout: before the classifier.
        resolution: height and width of the example input.

    Raises:
        SpaceError: there are not nine widths.
    """
    check_length("widths", widths, len(WIDTHS), "of the stem, seven stages, and the last convolution")
    scaled = [divisible(width * width_mult) for width in widths]
    return ModelSpace(
        _network, num_classes, scaled, depths, dropout, example_input=example(1, 3, resolution, resolution)
    )


def _network(num_classes: int, widths: Sequence[int], depths: tuple[int, int], dropout: float) -> nn.Module:
    stem, first, *stages, last = widths
    layers: dict[str, nn.Module] = {
        "stem": convolution(3, stem, 3, stride=2, activation=nn.ReLU6),
        "stage1": mbconv(stem, first, 3, stem),
    }
    inputs = first
    for stage, outputs in enumerate(stages, 2):
        block = partial(_block, f"stage{stage}", inputs, outputs, STRIDES[stage])
        depth = 1 if stage == 7 else depths
        layers[f"stage{stage}"] = Repeat(block, depth, label=f"stage{stage}/depth")
        inputs = outputs
    layers["head"] = convolution(inputs, last, activation=nn.ReLU6)
    return initialised(chain(layers | classifier(last, num_classes, dropout)), eps=1e-3)


def _block(stage: str, inputs: int, outputs: int, stride: int, index: int) -> nn.Module:
    """Block `index` of a stage; the first one has the stride and changes the width."""
    inputs, stride = (outputs, 1) if index else (inputs, stride)
    candidates = {
        f"k{kernel}e{expansion}": partial(mbconv, inputs, outputs, kernel, inputs * expansion, stride=stride)
        for kernel, expansion in CANDIDATES
    }
    return LayerChoice(candidates, label=f"{stage}/block{index}/op")


def _known(
    name: str, stages: str, accuracy: str, parameters: float, macs: float | None, widths: Sequence[int]
) -> Known:
    """A published network; `stages` has the operations of stages 2 to 7, with a bar between stages."""
    *searched, last = [[{"op": op} for op in stage.split()] for stage in stages.split("|")]
    return Known(
        name,
        answers(searched, 2) | {"stage7/block0/op": last[0]["op"]},
        SOURCE,
        {} if widths == WIDTHS else {"widths": tuple(widths)},
        parameters,
        macs,
        accuracy,
        "parameters of batch norms counted" + ("" if macs else "; no paper tells its MACs"),
    )


SOURCE = (
    "architecture, accuracy: github.com/mit-han-lab/proxylessnas; parameters: github.com/osmr/imgclsmob, which has its "
    "weights; MACs: Once-for-All, arXiv 1908.09791 (mobile), PC-DARTS, arXiv 1907.05737 (GPU)"
)

ENTRIES = (
    Entry(
        "ProxylessNAS",
        ProxylessNAS,
        "Cai, Zhu, Han: ProxylessNAS: Direct Neural Architecture Search on Target Task and Hardware, 2019",
        "https://arxiv.org/abs/1812.00332",
        known=(
            _known(
                "ProxylessNAS-GPU",
                "k5e3|k7e3 k3e3|k7e6 k5e3|k5e6 k3e3 k5e3|k7e6 k7e6 k7e6 k5e6|k7e6",
                "75.1 % on ImageNet",
                7_119_848,
                465e6,
                (40, 24, 32, 56, 112, 128, 256, 432, 1728),
            ),
            _known(
                "ProxylessNAS-CPU",
                "k3e6 k3e3 k3e3 k3e3|k3e6 k3e3 k3e3 k5e3|k3e6 k3e3|k5e6 k3e3 k3e3 k3e3|k5e6 k5e3 k5e3 k3e3|k5e6",
                "75.3 % on ImageNet",
                4_361_648,
                None,
                (40, 24, 32, 48, 88, 104, 216, 360, 1432),
            ),
            _known(
                "ProxylessNAS-Mobile",
                "k5e3 k3e3|k7e3 k3e3 k5e3 k5e3|k7e6 k5e3 k5e3 k5e3|k5e6 k5e3 k5e3 k5e3|k7e6 k7e6 k7e3 k7e3|k7e6",
                "74.6 % on ImageNet",
                4_080_512,
                320e6,
                WIDTHS,
            ),
            _known(
                "ProxylessNAS-Mobile-14",
                "k5e3 k3e3|k7e3 k3e3 k5e3 k5e3|k7e6 k5e3 k5e3 k5e3|k5e6 k5e3 k5e3 k5e3|k7e6 k7e6 k7e3 k7e3|k7e6",
                "76.7 % on ImageNet",
                6_857_568,
                None,
                (48, 24, 40, 56, 112, 136, 256, 448, 1792),
            ),
        ),
    ),
)
"""The space and its published networks."""
