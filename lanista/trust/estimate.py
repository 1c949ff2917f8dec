"""A number with its confidence interval, and the quantiles that intervals are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import final


@final
@dataclass(frozen=True)
class Estimate:
    """A number that was estimated from data.

    Attributes:
        value: the estimate; None where the data gives none.
        low, high: ends of its confidence interval; infinite where the data gives no end.
    """

    value: float | None
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """Value and ends; None for what is infinite, which JSON does not know."""
        return {"value": self.value, "low": _finite(self.low), "high": _finite(self.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def student(level: float, freedom: int) -> float:
    """The quantile of Student's distribution at `level`, for at least 9 degrees of freedom.

    The expansion around the normal quantile (Abramowitz and Stegun, 26.7.5): 4 digits at usual levels.
    """
    x = NormalDist().inv_cdf(level)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    corrections: list[float] = [term / freedom**power for power, term in enumerate(terms, 1)]
    return x + sum(corrections)


def chi_square(level: float, freedom: float) -> float:
    """The quantile of the chi-square distribution at `level`, for any positive degrees of freedom."""
    low, high = 0.0, freedom + 10 * math.sqrt(2 * freedom) + 40
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma(freedom / 2, middle / 2) < level else (low, middle)
    return (low + high) / 2


def _gamma(a: float, x: float) -> float:
    """The regularised lower incomplete gamma function, by its series (Abramowitz and Stegun, 6.5.29)."""
    if x <= 0:
        return 0.0
    term = total = 1 / a
    k = a
    while term > total * 1e-14:
        k += 1
        term *= x / k
        total += term
    return min(1.0, total * math.exp(a * math.log(x) - x - math.lgamma(a)))
