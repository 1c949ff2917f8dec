"""What a random search would have found for the same cost.

The expected best of m evaluations is estimated from n random architectures by averaging over all m of the n (the
unbiased estimate of Tang et al. 2020, https://arxiv.org/abs/2004.13705, on Dodge et al. 2019,
https://arxiv.org/abs/1909.03004). For more than n evaluations the sample says only that it is at least the best seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from lanista.errors import LanistaError, MetricError
from lanista.trust.estimate import Estimate, chi_square
from lanista.trust.rank import Array
from lanista.trust.scores import check_share, numbers

RESAMPLES = 1000
GRID = 60
EULER = 0.5772156649


@final
@dataclass(frozen=True)
class RandomSearch:
    """A random search that costs as much as the search did, and who finds more.

    Attributes:
        evaluations: how many real evaluations the search's cost would have paid; a fraction is none that is finished.
        sample: how many random architectures are known.
        spent: cost of the search, in the same unit as `each`: seconds, say.
        each: cost of one real evaluation.
        chosen: the real score of what the search chose.
        expected: the best score that a random search of at least one evaluation expects. The upper end takes better
            scores than those seen into account, by an exponential tail.
        spread: between these scores most random searches end, with the confidence of the intervals.
        chance: of a random search to find at least as good a score as `chosen`; rather too great than too small.
        equivalents: how many random evaluations expect a best as good as `chosen`; its value is None, and its high
            end infinite, where that is more than the sample can tell.
        curve: (evaluations, expected best), as far as the sample tells.
    """

    evaluations: float
    sample: int
    spent: float
    each: float
    chosen: float
    expected: Estimate
    spread: tuple[float, float]
    chance: float
    equivalents: Estimate
    curve: tuple[tuple[int, float], ...]

    @property
    def affordable(self) -> bool:
        """Whether the cost pays at least one evaluation; if not, one is compared with."""
        return self.evaluations >= 1

    @property
    def extrapolated(self) -> bool:
        """Whether more evaluations are paid than random architectures are known: `expected` is then a lower bound."""
        return self.evaluations > self.sample

    @property
    def outcome(self) -> str:
        """The comparison in words: "better", "worse" or "not told apart"."""
        if self.chosen > self.expected.high:
            return "better"
        return "worse" if self.chosen < self.expected.low else "not told apart"


def random_search(
    real: ArrayLike,
    *,
    each: float,
    spent: float,
    chosen: float,
    deviation: float = 0.0,
    confidence: float = 0.95,
    seed: int = 0,
) -> RandomSearch:
    """Compare what a search chose with a random search of the same cost.

    Args:
        real: real scores of random architectures (not of the ones that a search proposed); greater is better.
        each: cost of one real evaluation, in any unit.
        spent: cost of the whole search in that unit: proxies, check, everything.
        chosen: the real score of what the search chose.
        deviation: standard deviation between seeds; widens the interval of `expected`, since `chosen` has that noise.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        MetricError: fewer than two scores, or scores that are no finite numbers.
        LanistaError: a cost is not positive, or `deviation` is negative.
    """
    scores = np.sort(numbers("real", real))
    n = len(scores)
    if n < 2:
        raise MetricError(f"real has {n} score; give those of at least two random architectures")
    numbers("chosen", [chosen])
    check_share("confidence", confidence)
    for name, cost in (("each", each), ("spent", spent)):
        if not (math.isfinite(cost) and cost > 0):
            raise LanistaError(f"{name} is {cost!r}; it is a cost, a number above 0")
    if not deviation >= 0:
        raise LanistaError(f"deviation is {deviation!r}; it is a standard deviation, 0 or more")
    paid = max(1.0, spent / each)
    level = 1 - confidence
    resampled = np.sort(scores[np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))], axis=1)
    expected = _expected(scores, resampled, paid, level)
    widening = NormalDist().inv_cdf(1 - level / 2) * deviation
    value = float(expected.value or 0.0)
    counts = sorted({round(count) for count in np.geomspace(1, n, GRID)})
    weights = np.array([best_weights(n, count) for count in counts])
    curve = weights @ scores
    return RandomSearch(
        evaluations=spent / each,
        sample=n,
        spent=float(spent),
        each=float(each),
        chosen=float(chosen),
        expected=Estimate(
            value,
            value - math.hypot(value - expected.low, widening),
            value + math.hypot(expected.high - value, widening),
        ),
        spread=(_quantile(scores, level / 2, paid), _quantile(scores, 1 - level / 2, paid)),
        chance=1 - (1 - (int((scores >= chosen).sum()) + 1) / (n + 1)) ** paid,
        equivalents=_equivalents(curve, resampled @ weights.T, np.array(counts, dtype=float), float(chosen), level),
        curve=tuple(zip(counts, map(float, curve), strict=True)),
    )


def best_weights(n: int, evaluations: float) -> Array:
    """The chance of each of n scores, the worst first, to be the best of so many without repetition.

    Between whole numbers, and up to n, both neighbours are mixed; beyond n it is that of n.
    """
    whole = math.floor(min(evaluations, n))
    part = min(evaluations, n) - whole
    if part:
        mixed: Array = (1 - part) * best_weights(n, whole) + part * best_weights(n, whole + 1)
        return mixed
    # The chance of the best is m / n; each next one's is that of the one before it times (i - m) / (i - 1).
    place = np.arange(n, 1, -1)
    falling = np.cumprod(np.maximum(0.0, (place - whole) / (place - 1)))
    chances: Array = np.concatenate([[1.0], falling])[::-1] * whole / n
    return chances


def _quantile(scores: Array, level: float, evaluations: float) -> float:
    """The score below which so many random evaluations stay with this chance."""
    return float(np.quantile(scores, level ** (1 / evaluations), method="inverted_cdf"))


def _expected(scores: Array, resampled: Array, evaluations: float, level: float) -> Estimate:
    """The expected best; the interval's upper end is that of an exponential tail where this is higher.

    Resampling alone never sees a score above the best one: measured, it would lie too low up to half of the time.
    """
    n = len(scores)
    weights = best_weights(n, evaluations)
    value = float(weights @ scores)
    low, high = np.quantile(resampled @ weights, [level / 2, 1 - level / 2])
    tail = min(max(1, n // 2), max(math.ceil(n / 5), math.ceil(1.5 * n / evaluations)))
    start = scores[-tail - 1]
    scale = float((scores[-tail:] - start).mean()) * 2 * tail / chi_square(level, 2 * tail)
    reach = float(start + scale * (math.log(max(1.0, tail * evaluations / n)) + EULER))
    return Estimate(value, min(value, float(low)), max(value, float(high), reach))


def _equivalents(curve: Array, curves: Array, counts: Array, chosen: float, level: float) -> Estimate:
    """Where the curve of the expected best reaches the chosen score; the interval from the resampled curves."""
    value = float(_reached(curve[None, :], counts, chosen)[0])
    found = _reached(curves, counts, chosen)
    low, high = map(float, np.quantile(found, [level / 2, 1 - level / 2], method="nearest"))
    # An infinite one says: more than the sample has.
    return Estimate(value if math.isfinite(value) else None, min(low, float(counts[-1]), value), max(high, value))


def _reached(curves: Array, counts: Array, chosen: float) -> Array:
    """Where each rising curve reaches a score, between the counts by their logarithms; infinite where it never does."""
    after = np.argmax(curves >= chosen, axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(curves))
    low, high = curves[rows, before], curves[rows, after]
    part = np.divide(chosen - low, high - low, out=np.zeros_like(low), where=high > low)
    between = np.log(counts[before]) * (1 - part) + np.log(counts[after]) * part
    return np.where(curves[:, -1] < chosen, np.inf, np.where(after == 0, counts[0], np.exp(between)))
