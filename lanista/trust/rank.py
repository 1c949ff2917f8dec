"""Spearman's rank correlation, and how much each single architecture sways it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CELLS = 4_000_000
"""Numbers that are held at a time; bounds the memory."""


def ranks(values: Array) -> Array:
    """Ranks from 1, the smallest first; equal values share the average of their ranks."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    average: Array = np.cumsum(counts) - (counts - 1) / 2
    return average[where]


def spearman(one: Array, other: Array) -> float:
    """Spearman's rank correlation, ties by average ranks; 0 where one side is constant, as it ranks nothing."""
    a, b = (ranks(values) - (len(values) + 1) / 2 for values in (one, other))
    return float(_ratio(np.array(a @ b), np.array(a @ a), np.array(b @ b)))


def _ratio(product: Array, one: Array, other: Array) -> Array:
    scale = np.sqrt(one * other)
    return np.asarray(np.divide(product, scale, out=np.zeros_like(scale), where=scale > 0))


def without_each(target: Array, *others: Array) -> list[Array]:
    """The rank correlations of `target` with each of `others` when one architecture is left out, for each that is.

    Ranks are those among the architectures that are left. Takes n² steps.
    """
    n = len(target)
    step = max(1, CELLS // n)
    parts: list[list[Array]] = [[] for _ in others]
    for begin in range(0, n, step):
        left_out = np.arange(begin, min(begin + step, n))
        y = _centred(target, left_out)
        for part, other in zip(parts, others, strict=True):
            x = _centred(other, left_out)
            part.append(_ratio(*(np.einsum("ij,ij->i", *pair) for pair in ((x, y), (x, x), (y, y)))))
    return [np.concatenate(part) for part in parts]


def _centred(values: Array, left_out: NDArray[np.intp]) -> Array:
    """Ranks among the rest, less their mean n / 2; a row for each that is left out, whose own place has 0."""
    gone = values[left_out][:, None]
    lower = ranks(values) - (gone < values) - 0.5 * (gone == values) - len(values) / 2
    lower[np.arange(len(left_out)), left_out] = 0.0
    return np.asarray(lower)


def orders_as_good(one: Array, other: Array, count: int, seed: int) -> float:
    """The share of random orders of `one` that correlate with `other` at least as well as the given order does.

    The given order counts as one of them, so that the share is a valid p-value whatever ties there are
    (Phipson and Smyth 2010, https://arxiv.org/abs/1603.05766).

    Args:
        count: random orders that are tried.
    """
    random = np.random.default_rng(seed)
    a, b = ranks(one), ranks(other) - (len(other) + 1) / 2
    given = a @ b
    slack = 1e-9 * max(1.0, float(abs(a) @ abs(b)))
    found, step = 0, max(1, CELLS // len(a))
    for begin in range(0, count, step):
        orders = random.permuted(np.tile(a, (min(step, count - begin), 1)), axis=1)
        found += int((orders @ b >= given - slack).sum())
    return (found + 1) / (count + 1)
