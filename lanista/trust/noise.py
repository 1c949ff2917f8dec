"""The noise between seeds, and what a perfect proxy could reach in spite of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from lanista.errors import MetricError
from lanista.trust.estimate import Estimate, chi_square
from lanista.trust.rank import Array, spearman
from lanista.trust.scores import check_share, in_top, numbers

DRAWS = 200
"""Simulated evaluations of all architectures; the ceiling's own error is then below 0.01 for 50 of them."""


@final
@dataclass(frozen=True)
class Noise:
    """How much the real score of one architecture differs between seeds.

    Attributes:
        deviation: standard deviation between seeds, in units of the score.
        architectures: how many were evaluated with several seeds.
        scores: how many scores these have in all.
        overall: the noise ceiling: the rank correlation that a perfect proxy, which knows the mean over all seeds,
            would reach over all; with the interval that follows from that of the deviation.
        top: the same among the best.
    """

    deviation: Estimate
    architectures: int
    scores: int
    overall: Estimate
    top: Estimate


def between_seeds(
    real: ArrayLike,
    repeats: Mapping[int, Sequence[float]],
    *,
    top: float = 0.2,
    confidence: float = 0.95,
    seed: int = 0,
) -> Noise:
    """The noise of real scores, from some architectures that were evaluated with several seeds.

    The variance is pooled over architectures, its interval that of the chi-square distribution, with Satterthwaite's
    (1946, https://doi.org/10.2307/3002019) degrees of freedom where variances differ. It holds for architectures like
    the repeated ones: repeat some of the best, since that is where seeds decide. Measured on NAS-Bench-201 with 3 to 30
    architectures of 3 seeds each: 95 % intervals miss at most 1.9 % of the time on each side within the best 20 %, but
    lie too low up to 30 % of the time over all of CIFAR-10, where one architecture in a hundred fails in some seeds.

    The ceiling is Spearman's attenuation (1904, https://doi.org/10.2307/1412159), simulated: true scores are the real
    ones, drawn together by the share of their variance that is noise; noise is added again, and both are compared. In
    the top it is rather too high: 0.92 where it is 0.88, on NAS-Bench-201.

    Args:
        real: one real score of each architecture.
        repeats: index in `real` -> all scores of that architecture, at least two, each with another seed.
        top: as for `assess`.
        confidence: of the interval.
        seed: of the simulated noise.

    Raises:
        MetricError: scores that are no finite numbers, an index that `real` lacks, a single score where several are
            needed, or fewer than two extra scores in all.
    """
    y = numbers("real", real)
    check_share("top", top)
    check_share("confidence", confidence)
    variances, freedoms = [], []
    for index, scores in repeats.items():
        if not 0 <= index < len(y):
            raise MetricError(f"repeats has index {index}, but real has the indices 0 to {len(y) - 1}")
        values = numbers(f"repeats[{index}]", scores)
        if len(values) < 2:
            raise MetricError(f"repeats[{index}] has {len(values)} score; give at least two, each with another seed")
        variances.append(float(values.var(ddof=1)))
        freedoms.append(len(values) - 1)
    if sum(freedoms) < 2:
        raise MetricError("repeats is too small; give two architectures with two scores each, or one with three")
    deviation = _deviation(np.array(variances), np.array(freedoms, dtype=float), 1 - confidence)
    overall, best = (
        Estimate(*(_ceiling(y, sd, share, seed) for sd in (deviation.value, deviation.high, deviation.low)))
        for share in (1.0, top)
    )
    return Noise(deviation, len(freedoms), sum(freedoms) + len(freedoms), overall, best)


def _deviation(variances: Array, freedoms: Array, level: float) -> Estimate:
    pooled = float((variances * freedoms).sum() / freedoms.sum())
    if pooled == 0:
        return Estimate(0.0, 0.0, 0.0)
    effective = float((variances * freedoms).sum() ** 2 / (variances**2 * freedoms).sum())
    ends = [math.sqrt(effective * pooled / chi_square(part, effective)) for part in (1 - level / 2, level / 2)]
    return Estimate(math.sqrt(pooled), *ends)


def _ceiling(y: Array, deviation: float | None, share: float, seed: int) -> float:
    """The mean rank correlation of true and noisy scores among the best `share` by noisy score."""
    assert deviation is not None
    variance = float(y.var())
    if deviation == 0 or variance == 0:
        return float(variance > 0)
    true = y.mean() + math.sqrt(max(0.0, 1 - deviation**2 / variance)) * (y - y.mean())
    random = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        noisy = true + deviation * random.standard_normal(len(y))
        chosen = in_top(noisy, share)
        found.append(spearman(true[chosen], noisy[chosen]))
    return float(np.mean(found))
