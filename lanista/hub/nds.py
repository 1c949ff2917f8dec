"""The cell-based spaces that "On Network Design Spaces" compares: NASNet, AmoebaNet, PNAS, ENAS and DARTS.

All are stacks of two cells, one that keeps the resolution ("normal") and one that halves it ("reduce"), and differ
in operations, number of nodes and what a cell puts out. https://arxiv.org/abs/1905.13214, table 1. The stack is that of
the DARTS code (https://github.com/quark0/darts), which is that of NASNet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.hub.operation import OPERATIONS, DropPath, FactorizedReduce, relu_conv_bn
from lanista.model import ModelSpace
from lanista.nn import Cell
from lanista.space.context import choice

Dataset = Literal["cifar", "imagenet"]
Size = int | Sequence[int]
"""A number, or the numbers to choose from."""

CLASSES = {"cifar": 10, "imagenet": 1000}
PIXELS = {"cifar": 32, "imagenet": 224}


@dataclass(frozen=True)
class Design:
    """What tells the spaces apart.

    Attributes:
        operations: names in `lanista.hub.operation.OPERATIONS`.
        num_nodes: in each cell; each has two operations.
        merge_op: what a cell puts out, as in `lanista.nn.Cell`.
    """

    operations: tuple[str, ...]
    num_nodes: int
    merge_op: Literal["all", "loose_end"]


class Adapter(nn.Module):
    """Gives both inputs of a cell its channels and resolution.

    Args:
        channels: of the two inputs.
        outputs: channels of the results.
        reduce: whether the first input has twice the resolution of the second.
    """

    def __init__(self, channels: tuple[int, int], outputs: int, *, reduce: bool) -> None:
        super().__init__()
        adapt = FactorizedReduce if reduce else relu_conv_bn
        self.first = adapt(channels[0], outputs)
        self.second = relu_conv_bn(channels[1], outputs)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of the cells before: the last but one, and the last."""
        return [self.first(inputs[0]), self.second(inputs[1])]


class Auxiliary(nn.Sequential):
    """A second classifier, two thirds into the network, for training only."""

    def __init__(self, channels: int, num_classes: int, dataset: Dataset) -> None:
        super().__init__(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3 if dataset == "cifar" else 2, count_include_pad=False),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(768, num_classes),
        )


class Network(nn.Module):
    """A stack of cells; reduction cells, which double the channels, stand at one and two thirds of it.

    In training, with an auxiliary classifier, the outputs are (logits, auxiliary logits); else the logits, of shape
    (batch, classes).
    """

    def __init__(
        self,
        design: Design,
        width: Size,
        num_cells: Size,
        dataset: Dataset,
        num_classes: int,
        auxiliary_loss: bool,
        drop_path_prob: float,
    ) -> None:
        super().__init__()
        width = width if isinstance(width, int) else choice(width, label="width")
        num_cells = num_cells if isinstance(num_cells, int) else choice(num_cells, label="num_cells")
        if dataset == "cifar":
            # With three times the width, as the reference has it.
            stem = nn.Sequential(nn.Conv2d(3, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
            self.stems = nn.ModuleList([stem])
            channels = (3 * width, 3 * width)
        else:
            self.stems = nn.ModuleList([_halving_twice(width), relu_conv_bn(width, width, 3, 2)])
            channels = (width, width)
        self.cells = nn.ModuleList()
        # Cells of one kind and width share their candidates, so that tracing need not see these twice.
        candidates = cache(partial(_candidates, design, drop_path_prob))
        reductions = {num_cells // 3, 2 * num_cells // 3}
        reduced = dataset == "imagenet"
        for index in range(num_cells):
            reduce = index in reductions
            width *= 2 if reduce else 1
            cell = Cell(
                candidates(width, reduce),
                design.num_nodes,
                num_ops_per_node=2,
                num_predecessors=2,
                merge_op=design.merge_op,
                preprocessor=Adapter(channels, width, reduce=reduced),
                label="reduce" if reduce else "normal",
            )
            self.cells.append(cell)
            channels = (channels[1], width * len(cell.output_node_indices))  # type: ignore[arg-type]
            reduced = reduce
            if index == 2 * num_cells // 3:
                auxiliary = channels[1]
        self.last_reduction = 2 * num_cells // 3
        self.auxiliary = Auxiliary(auxiliary, num_classes, dataset) if auxiliary_loss else None
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels[1], num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images of shape (batch, 3, height, width)."""
        before = x = self.stems[0](x)
        if len(self.stems) > 1:
            x = self.stems[1](x)
        auxiliary = None
        for index, cell in enumerate(self.cells):
            before, x = x, cell([before, x])
            if index == self.last_reduction and self.auxiliary is not None and self.training:
                auxiliary = self.auxiliary(x)
        logits = self.classifier(torch.flatten(self.pool(x), 1))
        return logits if auxiliary is None else (logits, auxiliary)


def _halving_twice(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, width // 2, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.ReLU(),
        nn.Conv2d(width // 2, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
    )


def _candidates(design: Design, drop_path_prob: float, width: int, reduce: bool) -> dict[str, Callable[..., nn.Module]]:
    return {name: partial(_operation, name, width, reduce, drop_path_prob) for name in design.operations}


def _operation(
    name: str, width: int, reduce: bool, drop_path_prob: float, node: int, op: int, source: int
) -> nn.Module:
    """An operation of a cell: of a reduction cell, those on its inputs have stride 2."""
    operation = OPERATIONS[name](width, 2 if reduce and source < 2 else 1)
    if drop_path_prob and not isinstance(operation, nn.Identity):
        return nn.Sequential(operation, DropPath(drop_path_prob))
    return operation


def _space(
    design: Design,
    width: Size,
    num_cells: Size,
    dataset: Dataset,
    num_classes: int | None,
    auxiliary_loss: bool,
    drop_path_prob: float,
) -> ModelSpace:
    if dataset not in CLASSES:
        raise SpaceError(f"dataset is {dataset!r}; it must be 'cifar' or 'imagenet'")
    if not 0 <= drop_path_prob < 1:
        raise SpaceError(f"drop_path_prob is {drop_path_prob!r}; it must be at least 0 and less than 1")
    counts = [num_cells] if isinstance(num_cells, int) else num_cells
    if min(counts) < 3:
        raise SpaceError(f"num_cells is {num_cells!r}; it must be at least 3, for two reduction cells")
    if min([width] if isinstance(width, int) else width) < 2:
        raise SpaceError(f"width is {width!r}; it must be at least 2")
    arguments = (width, num_cells, dataset, num_classes or CLASSES[dataset], auxiliary_loss, drop_path_prob)
    return ModelSpace(Network, design, *arguments, example_input=torch.zeros(1, 3, PIXELS[dataset], PIXELS[dataset]))


NASNET = Design(
    (
        *("skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3", "avg_pool_3x3", "max_pool_3x3"),
        *("max_pool_5x5", "max_pool_7x7", "conv_1x1", "conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"),
    ),
    5,
    "loose_end",
)
_SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7")
_EIGHT = ("skip_connect", *_SEPARABLE, "avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3", "conv_7x1_1x7")
AMOEBANET = Design(_EIGHT, 5, "loose_end")
PNASNET = Design(_EIGHT, 5, "all")
ENASNET = Design(("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"), 5, "loose_end")
DARTSNET = Design(
    (
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"),
        *("dil_conv_3x3", "dil_conv_5x5"),
    ),
    4,
    "all",
)


def NASNet(
    width: Size = 16,
    num_cells: Size = 20,
    dataset: Dataset = "cifar",
    num_classes: int | None = None,
    auxiliary_loss: bool = False,
    drop_path_prob: float = 0.0,
) -> ModelSpace:
    """The space of NASNet (https://arxiv.org/abs/1707.07012): 13 operations, five nodes, loose ends put out.

    The decisions are those of two `lanista.nn.Cell`: `normal/op_2_0`, `normal/input_2_0`, ..., `reduce/op_2_0`, ....

    Args:
        width: channels of the first cells, or a list to choose from (`width`).
        num_cells: number of cells, or a list to choose from (`num_cells`); at least 3.
        dataset: "cifar", with a stem that keeps the resolution, or "imagenet", with one that divides it by eight.
        num_classes: number of classes; default: 10 or 1000.
        auxiliary_loss: whether there is a second classifier for training, whose logits come second then.
        drop_path_prob: probability with which the result of an operation, other than an identity, is zeroed for
            a sample in training (`lanista.hub.operation.DropPath`).
    """
    return _space(NASNET, width, num_cells, dataset, num_classes, auxiliary_loss, drop_path_prob)


def AmoebaNet(
    width: Size = 16,
    num_cells: Size = 20,
    dataset: Dataset = "cifar",
    num_classes: int | None = None,
    auxiliary_loss: bool = False,
    drop_path_prob: float = 0.0,
) -> ModelSpace:
    """The space of AmoebaNet (https://arxiv.org/abs/1802.01548): 8 operations, five nodes, loose ends put out.

    The decisions are those of two `lanista.nn.Cell`: `normal/op_2_0`, `normal/input_2_0`, ..., `reduce/op_2_0`, ....
    The arguments are those of `NASNet`.
    """
    return _space(AMOEBANET, width, num_cells, dataset, num_classes, auxiliary_loss, drop_path_prob)


def PNAS(
    width: Size = 16,
    num_cells: Size = 20,
    dataset: Dataset = "cifar",
    num_classes: int | None = None,
    auxiliary_loss: bool = False,
    drop_path_prob: float = 0.0,
) -> ModelSpace:
    """The space of PNAS (https://arxiv.org/abs/1712.00559): 8 operations, five nodes, all put out.

    The paper has one cell; its reduction cell is the same with stride 2. Here the two may differ.

    The decisions are those of two `lanista.nn.Cell`: `normal/op_2_0`, `normal/input_2_0`, ..., `reduce/op_2_0`, ....
    The arguments are those of `NASNet`.
    """
    return _space(PNASNET, width, num_cells, dataset, num_classes, auxiliary_loss, drop_path_prob)


def ENAS(
    width: Size = 16,
    num_cells: Size = 20,
    dataset: Dataset = "cifar",
    num_classes: int | None = None,
    auxiliary_loss: bool = False,
    drop_path_prob: float = 0.0,
) -> ModelSpace:
    """The micro space of ENAS (https://arxiv.org/abs/1802.03268): 5 operations, five nodes, loose ends put out.

    The decisions are those of two `lanista.nn.Cell`: `normal/op_2_0`, `normal/input_2_0`, ..., `reduce/op_2_0`, ....
    The arguments are those of `NASNet`.
    """
    return _space(ENASNET, width, num_cells, dataset, num_classes, auxiliary_loss, drop_path_prob)


def DARTS(
    width: Size = 16,
    num_cells: Size = 20,
    dataset: Dataset = "cifar",
    num_classes: int | None = None,
    auxiliary_loss: bool = False,
    drop_path_prob: float = 0.0,
) -> ModelSpace:
    """The space of DARTS (https://arxiv.org/abs/1806.09055): 7 operations, four nodes, all put out.

    The paper's "none" is left out, as its final networks do, and the two inputs of a node may be the same.

    The decisions are those of two `lanista.nn.Cell`: `normal/op_2_0`, `normal/input_2_0`, ..., `reduce/op_2_0`, ....
    The arguments are those of `NASNet`.
    """
    return _space(DARTSNET, width, num_cells, dataset, num_classes, auxiliary_loss, drop_path_prob)
