"""An ensemble of predictors: Gaussian processes of several smoothnesses, weighted by their evidence.

Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, http://gaussianprocess.org/gpml.
"""

from __future__ import annotations

import numpy as np

from lanista.strategy.standing import Vector

REACHES = (0.5, 1.5, 4.5)
"""One predictor each: the covariance at the typical distance is exp(-reach)."""

NOISE = 0.1
"""Variance of what a predictor cannot explain, where the targets have variance 1."""


def predicted(known: Vector, targets: Vector, new: Vector, typical: float) -> tuple[Vector, Vector]:
    """Means and standard deviations of the ensemble's mixture at new points.

    Args:
        known: (n, width), where the targets are known.
        targets: (n,), with mean 0 and variance 1, or about so.
        new: (m, width).
        typical: the squared distance of two random points.
    """
    within, across = squares(known, known) / typical, squares(known, new) / typical
    evidence, means, variances = [], [], []
    for reach in REACHES:
        covariance = np.exp(-reach * within) + NOISE * np.eye(len(known))
        shared = np.exp(-reach * across)
        solved = np.linalg.solve(covariance, np.column_stack([targets, shared]))
        # Equation 2.30, without the constant; half of the logarithm of the determinant is that of the factor.
        factor = np.linalg.cholesky(covariance)
        evidence.append(-targets @ solved[:, 0] / 2 - np.log(np.diagonal(factor)).sum())
        means.append(shared.T @ solved[:, 0])
        variances.append(1 - (shared * solved[:, 1:]).sum(0))
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    variance = weights @ (np.array(variances) + np.square(means)) - mean**2
    return mean, np.sqrt(np.maximum(variance, 0))


def squares(one: Vector, other: Vector) -> Vector:
    """Squared distances between the rows of two matrices."""
    products: Vector = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.maximum(products, 0)
