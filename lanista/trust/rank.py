"""Spearman's rank correlation, and how much each single architecture sways it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CELLS = 4_000_000
"""Numbers that are held at a time; bounds the memory."""

BLOCK = 200
"""Random orders that are looked at together."""

ENOUGH = 50
"""As good random orders that tell the share to one part in seven."""


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

    A valid p-value whatever ties there are: the given order counts as one of them (Phipson and Smyth 2010,
    https://arxiv.org/abs/1603.05766), and orders are drawn until there are `ENOUGH` that are as good (Besag and
    Clifford 1991, https://doi.org/10.1093/biomet/78.2.301).

    Args:
        count: random orders that are tried at most.
    """
    random = np.random.default_rng(seed)
    a, b = ranks(one), ranks(other) - (len(other) + 1) / 2
    given = a @ b
    slack = 1e-9 * max(1.0, float(abs(a) @ abs(b)))
    found = tried = 0
    while tried < count:
        orders = random.permuted(np.tile(a, (min(BLOCK, count - tried), 1)), axis=1)
        good = np.flatnonzero(orders @ b >= given - slack)
        if found + len(good) >= ENOUGH:
            return ENOUGH / (tried + 1 + int(good[ENOUGH - found - 1]))
        found, tried = found + len(good), tried + len(orders)
    return (found + 1) / (count + 1)
