"""Gates: options that are drawn are open, the others closed, and their probabilities get the gradient all the same."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel(like: Tensor, generator: torch.Generator) -> Tensor:
    """Independent numbers of the standard Gumbel distribution, of the shape and on the device of `like`.

    They are drawn on the CPU, so that they are the same wherever the search runs.
    """
    uniform = torch.rand(like.shape, generator=generator, device="cpu").clamp(min=1e-20)
    return -(-uniform.log()).log().to(like.device)


def draw(logits: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions of `count` options of each row, of shape (rows, count), drawn by their probabilities, none twice.

    By the Gumbel top-k trick (https://arxiv.org/abs/1903.06059): as if drawn one after another, by the softmax of what
    is left.
    """
    return (logits.detach() + gumbel(logits, generator)).topk(count, 1).indices


def opened(positions: Tensor, soft: Tensor) -> Tensor:
    """Weights of exactly 1 for the options at these positions and 0 for the others, with the gradient of `soft`.

    Args:
        positions: of shape (rows, how many).
        soft: of shape (rows, options).
    """
    return torch.zeros_like(soft).scatter(1, positions, 1.0) + (soft - soft.detach())


def rows_of(positions: Tensor) -> tuple[tuple[int, ...], ...]:
    """Positions of shape (rows, how many) as a `Mixture` has them."""
    return tuple(tuple(sorted(row)) for row in positions.tolist())
