"""The noise between seeds and the noise ceiling."""

import math

import numpy as np
import pytest

from lanista.errors import LanistaError, MetricError
from lanista.trust import between_seeds
from lanista.trust.rank import spearman

stats = pytest.importorskip("scipy.stats")


def test_a_small_case_by_hand():
    found = between_seeds([1.0, 2, 3, 10], {0: [1, 3], 3: [10, 8]})
    # Both variances are 2, with one degree of freedom each.
    assert found.deviation.value == pytest.approx(math.sqrt(2))
    assert found.deviation.low == pytest.approx(math.sqrt(4 / stats.chi2.ppf(0.975, 2)), rel=1e-6)
    assert found.deviation.high == pytest.approx(math.sqrt(4 / stats.chi2.ppf(0.025, 2)), rel=1e-6)
    assert (found.architectures, found.scores) == (2, 4)


def test_without_noise_a_perfect_proxy_is_perfect():
    found = between_seeds(np.arange(60.0), {2: [2.0, 2.0, 2.0]})
    assert found.deviation.value == found.deviation.high == 0
    assert found.overall.value == found.top.low == 1


def test_the_ceiling_is_what_the_truth_reaches():
    """Normal truth with deviation 1, and noise with 0.5: the correlation is 1 / sqrt(1.25)."""
    random = np.random.default_rng(0)
    true = random.normal(size=2000)
    scores = true[:, None] + 0.5 * random.normal(size=(2000, 3))
    found = between_seeds(scores[:, 0], dict(enumerate(scores[:60].tolist())))
    assert found.deviation.value == pytest.approx(0.5, abs=0.06)
    assert found.overall.value == pytest.approx(spearman(true, scores[:, 0]), abs=0.02)
    best = scores[:, 0] >= np.quantile(scores[:, 0], 0.8)
    assert found.top.value == pytest.approx(spearman(true[best], scores[best, 0]), abs=0.08)
    assert found.top.low < found.top.value < found.top.high < found.overall.low


def test_intervals_hold_what_they_promise():
    missed = 0
    for seed in range(300):
        scores = np.random.default_rng(seed).normal(size=(6, 3)).tolist()
        found = between_seeds([0.0] * 6, dict(enumerate(scores))).deviation
        missed += not found.low <= 1 <= found.high
    assert missed / 300 <= 0.08


@pytest.mark.parametrize(
    ("repeats", "message"),
    [
        ({}, "give two architectures with two scores each"),
        ({0: [1, 2]}, "give two architectures with two scores each"),
        ({0: [1]}, r"repeats\[0\] has 1 score"),
        ({9: [1, 2]}, "index 9, but real has the indices 0 to 2"),
        ({0: [1, math.nan]}, r"repeats\[0\] has 1 of 2 values"),
    ],
)
def test_bad_repeats(repeats, message):
    with pytest.raises(MetricError, match=message):
        between_seeds([1.0, 2, 3], repeats)


def test_bad_settings():
    with pytest.raises(LanistaError, match="confidence is 95"):
        between_seeds([1.0, 2], {0: [1, 2, 3]}, confidence=95)
