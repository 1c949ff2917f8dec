"""The ShuffleNetV2 space of Single Path One-Shot: https://arxiv.org/abs/1904.00420."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lanista.hub.block import chain, classifier, convolution, example, initialised
from lanista.hub.catalog import Entry, Known
from lanista.model import ModelSpace
from lanista.nn import LayerChoice
from lanista.space.context import choice
from lanista.space.domain import Architecture

STAGES = ((64, 4), (160, 4), (320, 8), (640, 4))
"""Width and number of blocks; the first block of each has stride 2."""

RATIOS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
"""Candidates of the channel search."""

OPS = ("k3", "k5", "k7", "xcep")


class Shuffled(nn.Module):
    """A ShuffleNetV2 block: branches whose channels are put together.

    Without `shortcut`, every other channel passes as it is, and the rest goes through `branch`; with it, both branches
    get all channels.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is None:
            return torch.cat([x[:, ::2], self.branch(x[:, 1::2])], 1)
        return torch.cat([self.shortcut(x), self.branch(x)], 1)


def ShuffleNetV2(
    num_classes: int = 1000,
    *,
    channel_search: bool = False,
    stages: Sequence[tuple[int, int]] = STAGES,
    stem: int = 16,
    head: int = 1024,
    dropout: float = 0.1,
    resolution: int = 224,
) -> ModelSpace:
    """20 blocks, each one of four: kernel 3, 5 or 7, or three kernels of 3 as in Xception.

    Labels: `stage1/block0/op`, with values "k3", "k5", "k7" and "xcep"; with the channel search also
    `stage1/block0/ratio`: inner channels of a block by half of its output channels.

    Args:
        num_classes: outputs.
        channel_search: whether the inner widths are searched, too.
        stages: width and number of blocks of each; its first block has stride 2.
        stem: width of the first convolution.
        head: width of the last convolution.
        dropout: before the classifier.
        resolution: height and width of the example input.
    """
    image = example(1, 3, resolution, resolution)
    return ModelSpace(
        _network, num_classes, list(stages), stem, head, dropout, channel_search=channel_search, example_input=image
    )


def _network(
    num_classes: int, stages: list[tuple[int, int]], stem: int, head: int, dropout: float, *, channel_search: bool
) -> nn.Module:
    layers: dict[str, nn.Module] = {"stem": convolution(3, stem, 3, stride=2)}
    inputs = stem
    for number, (outputs, count) in enumerate(stages, 1):
        blocks = []
        for index in range(count):
            label = f"stage{number}/block{index}"
            ratio = choice(RATIOS, label=f"{label}/ratio") if channel_search else 1.0
            hidden = int(outputs // 2 * ratio)
            candidates = {op: partial(_block, op, inputs, outputs, hidden, 1 if index else 2) for op in OPS}
            blocks.append(LayerChoice(candidates, label=f"{label}/op"))
            inputs = outputs
        layers[f"stage{number}"] = nn.Sequential(*blocks)
    layers["head"] = convolution(inputs, head)
    layers |= classifier(head, num_classes, dropout)
    layers["classifier"] = nn.Linear(head, num_classes, bias=False)
    return initialised(chain(layers))


def _block(op: str, inputs: int, outputs: int, hidden: int, stride: int) -> nn.Module:
    passed = inputs // 2 if stride == 1 else inputs
    added = outputs - passed
    kernel = 3 if op == "xcep" else int(op[1:])
    if op == "xcep":
        branch = nn.Sequential(
            _separable(passed, hidden, 3, stride), _separable(hidden, hidden, 3), _separable(hidden, added, 3)
        )
    else:
        branch = nn.Sequential(convolution(passed, hidden), _separable(hidden, added, kernel, stride))
    return Shuffled(branch, None if stride == 1 else _separable(inputs, inputs, kernel, stride))


def _separable(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Depthwise convolution without activation, and a 1x1 convolution with it."""
    depthwise = convolution(inputs, inputs, kernel, stride=stride, groups=inputs, activation=None)
    return chain({"depthwise": depthwise, "point": convolution(inputs, outputs)})


def _known(name: str, ops: str, macs: float, accuracy: str, source: str, ratios: str = "") -> Known:
    """`ops` and `ratios` list the blocks' candidates by number, as the authors' code does."""
    labels = [f"stage{stage}/block{index}" for stage, (_, count) in enumerate(STAGES, 1) for index in range(count)]
    architecture: Architecture = {f"{label}/op": OPS[int(op)] for label, op in zip(labels, ops, strict=True)}
    settings = {}
    if ratios:
        architecture |= {f"{label}/ratio": RATIOS[int(ratio)] for label, ratio in zip(labels, ratios, strict=True)}
        settings = {"channel_search": True}
    return Known(name, architecture, source, settings, macs=macs, accuracy=accuracy)


ENTRIES = (
    Entry(
        "ShuffleNetV2",
        ShuffleNetV2,
        "Guo et al.: Single Path One-Shot Neural Architecture Search with Uniform Sampling, 2020",
        "https://arxiv.org/abs/1904.00420",
        size=4.0**20,
        known=(
            _known(
                "SPOS, blocks",
                "00311100202110202132",
                319e6,
                "74.3 % on ImageNet",
                "architecture: github.com/megvii-model/ShuffleNet-Series, OneShot; MACs, accuracy: the paper's table 4",
            ),
            _known(
                "SPOS, blocks and channels",
                "00311100202110202132",
                328e6,
                "74.7 % on ImageNet",
                "architecture: github.com/megvii-model/ShuffleNet-Series, OneShot; MACs, accuracy: the paper's table 5",
                "65352634257546744543",
            ),
            _known(
                "SPOS, author's code",
                "21012020202300003233",
                323e6,
                "74.4 % on ImageNet",
                "github.com/megvii-model/SinglePathOneShot",
            ),
        ),
    ),
)
"""The space and its searched networks."""
