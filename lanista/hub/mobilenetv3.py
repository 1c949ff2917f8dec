"""MobileNetV3 (https://arxiv.org/abs/1905.02244) and the space around it that TuNAS searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

from torch import nn

from lanista.errors import SpaceError
from lanista.hub.block import (
    Activation,
    SqueezeExcite,
    answers,
    chain,
    check_length,
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

T = TypeVar("T")

Squeeze = Literal["none", "optional", "force"]

SQUEEZES = ("none", "optional", "force")

ACTIVATIONS: dict[str, Activation] = {"relu": nn.ReLU, "hswish": nn.Hardswish, "swish": nn.SiLU}


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; what has a single candidate is no decision.

    Attributes:
        widths: candidates for the output channels.
        depth: number of blocks, or a range of them.
        kernels: candidates, of each block.
        ratios: candidates of each block: its inner channels by its input channels.
        stride: of the first block.
        squeeze: whether blocks have squeeze-excite; "optional" is a decision of each block.
        activation: a name of `ACTIVATIONS`.
    """

    widths: Sequence[int]
    depth: int | tuple[int, int]
    kernels: Sequence[int]
    ratios: Sequence[float]
    stride: int
    squeeze: Squeeze
    activation: str

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise SpaceError(f"activation {self.activation!r} is unknown; it must be one of {', '.join(ACTIVATIONS)}")
        if self.squeeze not in SQUEEZES:
            raise SpaceError(f"squeeze_excite {self.squeeze!r} is unknown; it must be one of {', '.join(SQUEEZES)}")

    def build(self, name: str, inputs: int, outputs: int) -> nn.Sequential:
        """The stage, whose decisions have labels that begin with `name`."""
        return Repeat(partial(self._block, name, inputs, outputs), self.depth, label=f"{name}/depth")

    def _block(self, name: str, inputs: int, outputs: int, index: int) -> nn.Module:
        inputs, stride = (outputs, 1) if index else (inputs, self.stride)
        label = f"{name}/block{index}"
        hidden = divisible(inputs * asked(self.ratios, f"{label}/expand"))
        kernel = asked(self.kernels, f"{label}/kernel")
        wanted = choice([False, True], label=f"{label}/squeeze") if self.squeeze == "optional" else None
        act = ACTIVATIONS[self.activation]
        squeeze = SqueezeExcite(hidden, divisible(hidden / 4)) if wanted or self.squeeze == "force" else None
        return mbconv(inputs, outputs, kernel, hidden, stride=stride, activation=act, squeeze=squeeze)


def asked(candidates: Sequence[T], label: str) -> T:
    """One of the candidates, asked for unless there is only one."""
    return candidates[0] if len(candidates) == 1 else choice(candidates, label=label)


TUNAS: Mapping[str, Any] = {
    "widths": (16, 16, 16, 32, 64, 128, 256, 512, 1024),
    "width_multipliers": (0.5, 0.625, 0.75, 1.0, 1.25, 1.5, 2.0),
    "expand_ratios": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
    "depths": (1, 4),
    "strides": (1, 2, 2, 2, 1, 2),
    "squeeze_excite": ("none", "none", "optional", "none", "optional", "optional"),
    "activations": ("relu", "relu", "relu", "hswish", "hswish", "hswish"),
}
"""The ranges of what TuNAS calls MobileNetV3-Like; squeeze-excite may be where MobileNetV3 has it. The defaults."""

LARGE: Mapping[str, Any] = {
    "widths": (16, 16, 24, 40, 80, 112, 160, 960, 1280),
    "width_multipliers": (1.0,),
    "expand_ratios": (2.0, 2.3, 2.5, 3.0, 4.0, 5.0, 6.0),
    "squeeze_excite": ("none", "none", "force", "none", "force", "force"),
}
"""The space with the stages of MobileNetV3-Large, which is in it."""

SMALL: Mapping[str, Any] = {
    "widths": (16, 16, 24, 40, 48, 96, 576, 1024),
    "width_multipliers": (1.0,),
    "expand_ratios": (2.0, 3.0, 3.67, 4.0, 4.5, 5.0, 6.0),
    "strides": (2, 2, 2, 1, 2),
    "squeeze_excite": ("force", "none", "force", "force", "force"),
    "activations": ("relu", "relu", "hswish", "hswish", "hswish"),
}
"""The space with the stages of MobileNetV3-Small, which is in it."""


def MobileNetV3(  # noqa: PLR0913, all but one by name
    num_classes: int = 1000,
    *,
    widths: Sequence[int] = TUNAS["widths"],
    width_multipliers: Sequence[float] = TUNAS["width_multipliers"],
    kernels: Sequence[int] = (3, 5, 7),
    expand_ratios: Sequence[float] = TUNAS["expand_ratios"],
    depths: tuple[int, int] = TUNAS["depths"],
    strides: Sequence[int] = TUNAS["strides"],
    squeeze_excite: Sequence[Squeeze] = TUNAS["squeeze_excite"],
    activations: Sequence[str] = TUNAS["activations"],
    dropout: float = 0.2,
    resolution: int = 224,
) -> ModelSpace:
    """Inverted bottlenecks with searched kernels, expansions, squeeze-excite, depths and widths.

    The first stage is one block without expansion; the others have `stage2/depth` blocks with
    `stage2/block0/kernel`, `stage2/block0/expand` and, where it is optional, `stage2/block0/squeeze`. Widths are
    `stem/width`, `stage1/width`, ..., `head/width`, `mix/width`; one with a single candidate is no decision.

    Args:
        num_classes: outputs.
        widths: base channels of the stem, of each stage, and of the two last 1x1 convolutions.
        width_multipliers: the candidates for a width are the base width times these, divisible by 8.
        kernels: candidates.
        expand_ratios: candidates: channels inside of a block by channels of its input.
        depths: least and greatest number of blocks of all stages but the first.
        strides: of each stage's first block; the stem has 2.
        squeeze_excite: of each stage: "none", "optional" (a decision of each block) or "force".
        activations: of each stage: "relu", "hswish" or "swish"; all else has hswish.
        dropout: before the classifier.
        resolution: height and width of the example input.

    Raises:
        SpaceError: arguments that tell of stages differ in length, or have a word that is not known.
    """
    check_length(
        "widths", widths, len(strides) + 3, f"of the stem, {len(strides)} stages (as strides), and the tail's two"
    )
    for name, values in (("squeeze_excite", squeeze_excite), ("activations", activations)):
        check_length(name, values, len(strides), "of each stage, as strides")
    stem, *middle, head, mix = [
        tuple(dict.fromkeys(divisible(width * factor) for factor in width_multipliers)) for width in widths
    ]
    stages = [
        Stage(options, depths, kernels, expand_ratios, stride, squeeze, activation)
        for options, stride, squeeze, activation in zip(middle, strides, squeeze_excite, activations, strict=True)
    ]
    stages[0] = replace(stages[0], depth=1, ratios=(1.0,))
    image = example(1, 3, resolution, resolution)
    return ModelSpace(network, num_classes, stem, stages, (head, mix), dropout, example_input=image)


def network(
    num_classes: int,
    stem: Sequence[int],
    stages: Sequence[Stage],
    tail: tuple[Sequence[int], Sequence[int]],
    dropout: float,
    *,
    bias: bool = True,
    eps: float = 1e-3,
    momentum: float = 0.01,
) -> nn.Module:
    """Stem, stages, and the tail: a 1x1 convolution, then pooling, then another one, then the classifier.

    Args:
        num_classes: outputs.
        stem: candidates for the stem's width.
        stages: the first one is number 1.
        tail: candidates for the widths before and after pooling.
        dropout: before the classifier.
        bias: whether the convolution after pooling has one.
        eps: of batch norms.
        momentum: of batch norms.
    """
    inputs = asked(stem, "stem/width")
    layers: dict[str, nn.Module] = {"stem": convolution(3, inputs, 3, stride=2, activation=nn.Hardswish)}
    for number, stage in enumerate(stages, 1):
        name = f"stage{number}"
        outputs = asked(stage.widths, f"{name}/width")
        layers[name] = stage.build(name, inputs, outputs)
        inputs = outputs
    head, mix = (asked(options, f"{name}/width") for name, options in zip(("head", "mix"), tail, strict=True))
    layers |= {
        "head": convolution(inputs, head, activation=nn.Hardswish),
        "pool": nn.AdaptiveAvgPool2d(1),
        "mix": nn.Conv2d(head, mix, 1, bias=bias),
        "act": nn.Hardswish(),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(dropout),
        "classifier": nn.Linear(mix, num_classes),
    }
    return initialised(chain(layers), eps=eps, momentum=momentum)


def _known(name: str, settings: Mapping[str, Any], stages: str, parameters: float, macs: float, accuracy: str) -> Known:
    """`stages` lists blocks as kernel/expand, with a bar between stages."""
    blocks = [[block.split("/") for block in stage.split()] for stage in stages.split("|")]
    named = [[{"kernel": int(kernel), "expand": float(expand)} for kernel, expand in stage] for stage in blocks]
    architecture = answers(named, 1)
    del architecture["stage1/depth"], architecture["stage1/block0/expand"]
    return Known(name, architecture, SOURCE, settings, parameters, macs, accuracy, NOTE)


SOURCE = "architecture, accuracy: the paper's tables 1 to 3; parameters, MACs: torchvision.models"
NOTE = (
    "the paper has 5.4 M and 219 M MACs (Large; its code's page 217 M), 2.5 M and 56 M (Small); parameters of batch "
    "norms counted"
)

ENTRIES = (
    Entry(
        "MobileNetV3",
        MobileNetV3,
        "Howard et al.: Searching for MobileNetV3, 2019; the space: Bender et al.: Can Weight Sharing Outperform "
        "Random Architecture Search? An Investigation With TuNAS, 2020 (arXiv 2008.06120)",
        "https://arxiv.org/abs/1905.02244",
        known=(
            _known(
                "MobileNetV3-Large",
                LARGE,
                "3/1|3/4 3/3|5/3 5/3 5/3|3/6 3/2.5 3/2.3 3/2.3|3/6 3/6|5/6 5/6 5/6",
                5_483_032,
                217e6,
                "75.2 % on ImageNet",
            ),
            _known(
                "MobileNetV3-Small",
                SMALL,
                "3/1|3/4.5 3/3.67|5/4 5/6 5/6|5/3 5/3|5/6 5/6 5/6",
                2_542_856,
                57e6,
                "67.4 % on ImageNet",
            ),
        ),
    ),
)
"""The space and the paper's networks."""
