"""AutoFormer (https://arxiv.org/abs/2107.00651): vision transformers, DeiT and ViT among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lanista.hub.block import Attention, example, initialised_transformer, transformer_block
from lanista.hub.catalog import Entry, Known
from lanista.model import ModelSpace
from lanista.nn import Repeat
from lanista.space.context import choice
from lanista.space.domain import Architecture

TINY: Mapping[str, Any] = {"embed_dims": (192, 216, 240), "heads": (3, 4), "depths": (12, 14)}
SMALL: Mapping[str, Any] = {"embed_dims": (320, 384, 448), "heads": (5, 6, 7), "depths": (12, 14)}
BASE: Mapping[str, Any] = {"embed_dims": (528, 576, 624), "heads": (8, 9, 10), "depths": (14, 16)}
"""The three spaces of the paper's table 1; the function's defaults are TINY."""

HEAD_WIDTH = 64

REACH = 14
"""Rows or columns; patches further apart count as this far apart."""


class RelativeAttention(nn.Module):
    """Self-attention in which keys and values also have a vector for each pair of tokens.

    It is the sum of two, one for the pair's distance in rows and one for that in columns of the image; pairs with the
    class token have one of their own.

    Args:
        width: channels of a token.
        heads: number of heads of `HEAD_WIDTH`.
        rows: which vector a pair of tokens has, (tokens, tokens); see `distances`.
        columns: likewise.
        bias: whether queries, keys and values have one.
    """

    rows: Tensor
    columns: Tensor
    key_rows: Tensor
    key_columns: Tensor
    value_rows: Tensor
    value_columns: Tensor

    def __init__(self, width: int, heads: int, rows: Tensor, columns: Tensor, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * heads * HEAD_WIDTH, bias=bias)
        self.qkv.packed = 3  # type: ignore[assignment]  # fewer heads are the first of each, in a supernet
        self.out = nn.Linear(heads * HEAD_WIDTH, width)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        for name in ("key_rows", "key_columns", "value_rows", "value_columns"):
            table = torch.empty(2 * REACH + 2, HEAD_WIDTH)
            self.register_parameter(name, nn.Parameter(nn.init.trunc_normal_(table, std=0.02)))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of shape (batch, tokens, width), before and after."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q = q * HEAD_WIDTH**-0.5
        keys = self.key_rows[self.rows] + self.key_columns[self.columns]
        values = self.value_rows[self.rows] + self.value_columns[self.columns]
        weights = (q @ k.transpose(2, 3) + torch.einsum("bhqc,qkc->bhqk", q, keys)).softmax(3)
        y = weights @ v + torch.einsum("bhqk,qkc->bhqc", weights, values)
        joined: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return joined


def distances(side: int) -> tuple[Tensor, Tensor]:
    """Between `side` x `side` patches, in rows and in columns, as numbers from 1; 0 with the class token, the first."""
    # Not on the meta device, where a space is traced: its integer arithmetic takes seconds to be loaded.
    place = torch.arange(side * side, device="cpu")

    def numbers(along: Tensor) -> Tensor:
        distance = (along[None] - along[:, None]).clamp(-REACH, REACH) + REACH + 1
        return nn.functional.pad(distance, (1, 0, 1, 0)).to(torch.get_default_device())

    return numbers(place // side), numbers(place % side)


class VisionTransformer(nn.Module):
    """Patches and a class token, through blocks.

    Args:
        width: channels of a token.
        blocks: of that width.
        side: patches in a row, and in a column.
        patch: height and width of a patch.
        form: the rest.
    """

    def __init__(self, width: int, blocks: nn.Module, side: int, form: Form) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, form.patch, form.patch)
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, width), std=0.02))
        positions = nn.init.trunc_normal_(torch.empty(1, side * side + 1, width), std=0.02)
        self.positions = nn.Parameter(positions) if form.absolute else None
        self.dropout = nn.Dropout(form.dropout)
        self.blocks = blocks
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, form.num_classes)
        self.average = form.average

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (batch, 3, height, width) to logits of shape (batch, classes)."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        if self.positions is not None:
            x = x + self.positions
        x = self.norm(self.blocks(self.dropout(x)))
        logits: Tensor = self.classifier(x[:, 1:].mean(1) if self.average else x[:, 0])
        return logits


@dataclass(frozen=True)
class Form:
    """What is not searched; see `AutoFormer`."""

    num_classes: int
    image: int
    patch: int
    relative: bool
    absolute: bool
    average: bool
    bias: bool
    dropout: float


def AutoFormer(  # noqa: PLR0913, all but one by name
    num_classes: int = 1000,
    *,
    embed_dims: Sequence[int] = TINY["embed_dims"],
    heads: Sequence[int] = TINY["heads"],
    mlp_ratios: Sequence[float] = (3.0, 3.5, 4.0),
    depths: tuple[int, int] = TINY["depths"],
    image: int = 224,
    patch: int = 16,
    relative: bool = True,
    absolute: bool = True,
    average: bool = True,
    bias: bool = True,
    dropout: float = 0.0,
) -> ModelSpace:
    """Vision transformers of searched width and depth, with heads and perceptrons searched in each block.

    Heads are 64 channels wide whatever the width, so that their number is the width of queries, keys and values, as in
    the authors' code. Labels: `embed_dim`, `depth`, `block0/heads`, `block0/mlp_ratio`, ....

    Args:
        num_classes: outputs.
        embed_dims: candidates for the width.
        heads: candidates, of each block.
        mlp_ratios: candidates, of each block: inner channels of the perceptron by the width.
        depths: least and greatest number of blocks.
        image: height and width of images.
        patch: height and width of a patch; the image is cut to a whole number of them.
        relative: whether attention has vectors for relative positions.
        absolute: whether tokens have vectors for their positions.
        average: whether the patches' average is classified; else the class token.
        bias: whether queries, keys and values have one.
        dropout: after attention, perceptrons, and the first layer.
    """
    form = Form(num_classes, image, patch, relative, absolute, average, bias, dropout)
    candidates = {"heads": list(heads), "mlp_ratio": list(mlp_ratios)}
    return ModelSpace(_network, list(embed_dims), depths, candidates, form, example_input=example(1, 3, image, image))


def _network(
    widths: list[int], depths: tuple[int, int], candidates: Mapping[str, Sequence[Any]], form: Form
) -> nn.Module:
    width = choice(widths, label="embed_dim")
    side = form.image // form.patch
    places = distances(side) if form.relative else None
    blocks = Repeat(partial(_block, width, places, candidates, form), depths, label="depth")
    return initialised_transformer(VisionTransformer(width, blocks, side, form))


def _block(
    width: int, places: tuple[Tensor, Tensor] | None, candidates: Mapping[str, Sequence[Any]], form: Form, index: int
) -> nn.Module:
    heads = choice(candidates["heads"], label=f"block{index}/heads")
    ratio = choice(candidates["mlp_ratio"], label=f"block{index}/mlp_ratio")
    attention: nn.Module
    if places is None:
        attention = Attention(width, heads, HEAD_WIDTH, bias=form.bias)
    else:
        attention = RelativeAttention(width, heads, *places, bias=form.bias)
    return transformer_block(width, attention, int(width * ratio), form.dropout)


def _blocks(embed_dim: int, heads: str, mlp_ratios: str) -> Architecture:
    """The architecture whose blocks have these heads and ratios."""
    architecture: Architecture = {"embed_dim": embed_dim, "depth": len(heads.split())}
    for index, (count, ratio) in enumerate(zip(heads.split(), mlp_ratios.split(), strict=True)):
        architecture |= {f"block{index}/heads": int(count), f"block{index}/mlp_ratio": float(ratio)}
    return architecture


SOURCE = "architecture, parameters: github.com/microsoft/Cream, AutoFormer; accuracy: the paper"
NOTE = (
    "the relative positions' tables are counted. No MACs: the paper has 1.3, 5.1 and 11 G for T, S and B, and does not "
    "say which products of the attention it counts; with those of relative positions it is 1.46, 5.16 and 11.69 G"
)
PLAIN: Mapping[str, Any] = {"relative": False, "average": False}
"""What makes ViT of AutoFormer."""

ENTRIES = (
    Entry(
        "AutoFormer",
        AutoFormer,
        "Chen, Peng, Fu, Ling: AutoFormer: Searching Transformers for Visual Recognition, 2021",
        "https://arxiv.org/abs/2107.00651",
        known=(
            Known(
                "AutoFormer-T",
                _blocks(192, "3 " * 13, "3.5 3.5 3 3.5 3 3 4 4 3.5 4 3.5 4 3.5"),
                SOURCE,
                TINY,
                5.8e6,
                accuracy="74.7 % on ImageNet",
                note=f"the paper has 5.7 M parameters; {NOTE}",
            ),
            Known(
                "AutoFormer-S",
                _blocks(384, "6 6 5 7 5 5 5 6 6 7 7 6 7", "3 3.5 3 3.5 4 4 4 4 4 4 4 3.5 4"),
                SOURCE,
                SMALL,
                22.9e6,
                accuracy="81.7 % on ImageNet",
                note=NOTE,
            ),
            Known(
                "AutoFormer-B",
                _blocks(576, "9 9 9 9 9 10 9 9 10 9 10 9 9 10", "3.5 3.5 4 3.5 4 3.5 3.5 3 4 4 3 4 3 3.5"),
                SOURCE,
                BASE,
                53.7e6,
                accuracy="82.4 % on ImageNet",
                note=f"the paper has 54 M parameters; {NOTE}",
            ),
            Known(
                "DeiT-Ti",
                _blocks(192, "3 " * 12, "4 " * 12),
                "parameters: deit_tiny_patch16_224 of timm; accuracy: arXiv 2012.12877",
                {**TINY, **PLAIN},
                5_717_416,
                accuracy="72.2 % on ImageNet",
            ),
            Known(
                "DeiT-S",
                _blocks(384, "6 " * 12, "4 " * 12),
                "parameters: deit_small_patch16_224 of timm; MACs, accuracy: Swin Transformer, arXiv 2103.14030",
                {**SMALL, **PLAIN},
                22_050_664,
                4.6e9,
                "79.8 % on ImageNet",
            ),
            Known(
                "ViT-B/16",
                _blocks(768, "12 " * 12, "4 " * 12),
                "torchvision.models, vit_b_16",
                {**PLAIN, "embed_dims": (576, 768), "heads": (9, 12), "depths": (12, 16)},
                86_567_656,
                17.564e9,
                "81.1 % on ImageNet",
            ),
        ),
    ),
)
"""The spaces and the paper's networks, and others that are in them."""
