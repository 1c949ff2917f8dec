"""Decoder-only transformers, GPT-2 (Radford et al., 2019) among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lanista.hub.block import Attention, initialised_transformer, transformer_block
from lanista.hub.catalog import Entry, Known
from lanista.model import ModelSpace
from lanista.nn import Repeat
from lanista.space.context import choice
from lanista.space.domain import Architecture


class LanguageModel(nn.Module):
    """Tokens and their positions, through blocks, to logits of the next token.

    Args:
        vocabulary: number of tokens.
        context: greatest length of a text.
        width: channels of a token.
        blocks: of that width.
        tied: whether the last layer has the token embedding's weights.
        dropout: before the blocks.
    """

    def __init__(
        self, vocabulary: int, context: int, width: int, blocks: nn.Module, *, tied: bool, dropout: float
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(context, width), std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.blocks = blocks
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens of shape (batch, length), to logits of shape (batch, length, vocabulary)."""
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        logits: Tensor = self.head(self.norm(self.blocks(self.dropout(x))))
        return logits


def Decoder(  # noqa: PLR0913, all but two by name
    vocabulary: int = 256,
    context: int = 256,
    *,
    widths: Sequence[int] = (128, 256, 384),
    heads: Sequence[int] = (2, 4, 6),
    mlp_ratios: Sequence[float] = (2.0, 3.0, 4.0),
    depths: tuple[int, int] = (2, 8),
    head_width: int = 64,
    tied: bool = True,
    dropout: float = 0.0,
) -> ModelSpace:
    """Pre-norm transformers with causal attention, as GPT-2; the defaults are small ones over bytes.

    Labels: `width`, `depth`, `block0/heads`, `block0/mlp_ratio`, ....

    Args:
        vocabulary: number of tokens.
        context: greatest length of a text; the example input has it.
        widths: candidates for the channels of a token.
        heads: candidates, of each block.
        mlp_ratios: candidates, of each block: inner channels of the perceptron by the width.
        depths: least and greatest number of blocks.
        head_width: of each head, whatever the width of tokens and the number of heads.
        tied: whether the last layer has the token embedding's weights.
        dropout: after attention, perceptrons, and embeddings.
    """
    candidates: dict[str, list[Any]] = {"heads": list(heads), "mlp_ratio": list(mlp_ratios)}
    text = torch.arange(context, device="cpu")[None] % vocabulary
    return ModelSpace(
        _network,
        list(widths),
        depths,
        partial(_block, candidates, head_width, dropout),
        partial(LanguageModel, vocabulary, context, tied=tied, dropout=dropout),
        example_input=text,
    )


def _network(
    widths: list[int], depths: tuple[int, int], block: partial[nn.Module], model: partial[LanguageModel]
) -> nn.Module:
    width = choice(widths, label="width")
    return initialised_transformer(model(width, Repeat(partial(block, width), depths, label="depth")))


def _block(
    candidates: Mapping[str, Sequence[Any]], head_width: int, dropout: float, width: int, index: int
) -> nn.Module:
    heads = choice(candidates["heads"], label=f"block{index}/heads")
    ratio = choice(candidates["mlp_ratio"], label=f"block{index}/mlp_ratio")
    attention = Attention(width, heads, head_width, causal=True)
    # GPT-2's approximation, so that its weights give its outputs.
    return transformer_block(width, attention, int(width * ratio), dropout, activation=partial(nn.GELU, "tanh"))


def _gpt2(name: str, width: int, depth: int, parameters: float) -> Known:
    """A size of GPT-2, in the space of which it is the greatest model."""
    heads = width // 64
    architecture: Architecture = {"width": width, "depth": depth}
    for index in range(depth):
        architecture |= {f"block{index}/heads": heads, f"block{index}/mlp_ratio": 4.0}
    settings = {
        "vocabulary": 50257,
        "context": 1024,
        "widths": (width // 2, width),
        "heads": (heads // 2, heads),
        "depths": (depth // 2, depth),
    }
    return Known(name, architecture, SOURCE, settings, parameters, note=NOTE)


SOURCE = (
    "github.com/openai/gpt-2, whose names are these sizes (124M, 355M, 774M, 1558M); exactly: transformers, GPT2Config"
)
NOTE = "the tied embedding is counted once; the paper's table 2 (117 M, 345 M, 762 M, 1542 M) is known to be wrong"

ENTRIES = (
    Entry(
        "Decoder",
        Decoder,
        "Radford et al.: Language Models are Unsupervised Multitask Learners, 2019 (the architecture, not the space)",
        "https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf",
        known=(
            _gpt2("GPT-2 small", 768, 12, 124_439_808),
            _gpt2("GPT-2 medium", 1024, 24, 354_823_168),
            _gpt2("GPT-2 large", 1280, 36, 774_030_080),
            _gpt2("GPT-2 XL", 1600, 48, 1_557_611_200),
        ),
    ),
)
"""The space and GPT-2, as a member of larger ones."""
