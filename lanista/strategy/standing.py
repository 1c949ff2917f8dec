"""How trials stand among each other, whatever the scale and the number of their objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def standings(scores: Sequence[Sequence[float]]) -> Vector:
    """For each trial, the share of all that it dominates, less the share that dominate it: above -1 and below 1.

    With one objective this is its rank, the worst at 1/n - 1, the best at 1 - 1/n, equal ones together in the middle
    of their places. With several, the trials of the Pareto front have the most, those in crowded parts of it less.

    Args:
        scores: of n trials; those of failed and pruned trials are empty, and such trials rank below all others.
    """
    objectives = max(map(len, scores), default=0) or 1
    table = np.array([tuple(row) or (-math.inf,) * objectives for row in scores]).reshape(-1, objectives)
    one, other = table[:, None], table[None]
    dominates = (one >= other).all(-1) & (one > other).any(-1)
    standing: Vector = (dominates.sum(1) - dominates.sum(0)) / max(1, len(table))
    return standing


def normal(standing: Vector) -> Vector:
    """Standings as quantiles of the standard normal distribution."""
    quantile = NormalDist().inv_cdf
    return np.array([quantile((1 + value) / 2) for value in standing.tolist()])
