"""The MobileNetV3 space of Once-for-All: https://arxiv.org/abs/1908.09791."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lanista.hub.block import answers, divisible, example
from lanista.hub.catalog import Entry, Known
from lanista.hub.mobilenetv3 import LARGE, TUNAS, Stage, network
from lanista.model import ModelSpace


def OFA(
    num_classes: int = 1000,
    width_mult: float = 1.0,
    *,
    depths: tuple[int, int] = (2, 4),
    kernels: Sequence[int] = (3, 5, 7),
    expand_ratios: Sequence[float] = (3, 4, 6),
    dropout: float = 0.1,
    resolution: int = 224,
) -> ModelSpace:
    """Five stages of two to four inverted bottlenecks, each with a kernel of 3, 5 or 7 and expansion of 3, 4 or 6.

    Widths, strides, squeeze-excite and activations are MobileNetV3-Large's. The sub-networks of the paper's trained
    network are the models of this space; input resolution, which it searches too, is no decision of a model. Labels:
    `stage2/depth` to `stage6/depth`, `stage2/block0/kernel`, `stage2/block0/expand`, ....

    Args:
        num_classes: outputs.
        width_mult: all widths are multiplied with it, and made divisible by 8; the paper has 1.0, its code 1.2 too.
        depths: least and greatest number of blocks in a stage.
        kernels: candidates.
        expand_ratios: candidates: channels inside of a block by channels of its input.
        dropout: before the classifier.
        resolution: height and width of the example input.
    """
    stem, first, *middle, head, mix = [(divisible(width * width_mult),) for width in LARGE["widths"]]
    each = zip(middle, TUNAS["strides"][1:], LARGE["squeeze_excite"][1:], TUNAS["activations"][1:], strict=True)
    stages = [
        Stage(first, 1, (3,), (1.0,), 1, "none", "relu"),
        *(Stage(width, depths, kernels, expand_ratios, *further) for width, *further in each),
    ]
    return ModelSpace(
        network,
        num_classes,
        stem,
        stages,
        (head, mix),
        dropout,
        bias=False,
        eps=1e-5,
        momentum=0.1,
        example_input=example(1, 3, resolution, resolution),
    )


def _known(name: str, kernel: int, expand: int, depth: int, parameters: float, macs: float, **settings: Any) -> Known:
    """A sub-network with equal blocks and depths."""
    stages = [[{"kernel": kernel, "expand": expand}] * depth] * 5
    return Known(name, answers(stages, 2), SOURCE, settings, parameters, macs, "", NOTE)


SOURCE = "counted with the authors' code: package ofa 0.1.0 on PyPI, OFAMobileNetV3, get_active_subnet"
NOTE = "at resolution 224; parameters of batch norms counted"

ENTRIES = (
    Entry(
        "OFA",
        OFA,
        "Cai, Gan, Wang, Zhang, Han: Once-for-All: Train One Network and Specialize it for Efficient Deployment, 2020",
        "https://arxiv.org/abs/1908.09791",
        size=2e19,
        known=(
            _known("OFA largest", 7, 6, 4, 7_664_760, 566.170656e6),
            _known("OFA middle", 5, 4, 3, 4_551_792, 250.746944e6),
            _known("OFA smallest", 3, 3, 2, 3_410_792, 121.278672e6),
            _known("OFA largest, width 1.2", 7, 6, 4, 10_701_632, 843.10104e6, width_mult=1.2),
            _known("OFA smallest, width 1.2", 3, 3, 2, 4_602_456, 193.0782e6, width_mult=1.2),
        ),
    ),
)
"""The space, and sub-networks that its authors' code builds."""
