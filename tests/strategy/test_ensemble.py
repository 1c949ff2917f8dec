from __future__ import annotations

import numpy as np
import pytest

from lanista.strategy.ensemble import NOISE, REACHES, predicted, squares


def cube(n, width, seed):
    return np.random.default_rng(seed).random((n, width))


def test_squared_distances():
    one, other = cube(5, 3, 0), cube(4, 3, 1)
    assert squares(one, other) == pytest.approx(((one[:, None] - other[None]) ** 2).sum(-1))
    assert np.all(squares(one, one) >= 0)


def test_it_knows_what_it_was_told_and_is_less_sure_elsewhere():
    known = cube(60, 2, 0)
    targets = np.sin(6 * known[:, 0])
    targets = (targets - targets.mean()) / targets.std()
    mean, deviation = predicted(known, targets, np.vstack([known, [[5.0, 5.0]]]), 1 / 3)
    assert np.corrcoef(mean[:-1], targets)[0, 1] > 0.98
    assert mean[-1] == pytest.approx(0, abs=1e-6)  # far away it knows nothing: mean and deviation of the prior
    assert deviation[-1] == pytest.approx(1, abs=1e-6)
    assert deviation[:-1].max() < 0.5


def test_the_mixture_follows_the_predictor_that_explains_the_targets():
    known, new = cube(80, 6, 0), cube(40, 6, 1)
    smooth = known.sum(1) - 3
    rough = np.random.default_rng(2).standard_normal(80)
    for targets in (smooth / smooth.std(), rough):
        by_hand = []
        for reach in REACHES:
            covariance = np.exp(-reach * squares(known, known)) + NOISE * np.eye(80)
            evidence = -targets @ np.linalg.inv(covariance) @ targets / 2 - np.linalg.slogdet(covariance)[1] / 2
            means = np.exp(-reach * squares(new, known)) @ np.linalg.inv(covariance) @ targets
            by_hand.append((np.exp(evidence), means))
        total = sum(weight for weight, _ in by_hand)
        expected = sum(weight * means for weight, means in by_hand) / total
        assert predicted(known, targets, new, 1.0)[0] == pytest.approx(expected)


def test_points_that_coincide_are_no_obstacle():
    known = np.zeros((10, 3))
    mean, deviation = predicted(known, np.linspace(-1, 1, 10), known[:2], 1.0)
    assert mean == pytest.approx([0, 0], abs=1e-9)
    assert np.all(np.isfinite(deviation))
