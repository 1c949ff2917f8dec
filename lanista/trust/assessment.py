"""Whether a proxy ranks architectures: over all and among the best, beside their parameter counts.

Correlations are Spearman's. An interval is one of Fisher's z with the jackknife's standard error, which is taken to
be at least that of chance, 1 / sqrt(n - 3), and Student's quantile. For the difference of two correlations with the
same scores, Zou's (2007, https://doi.org/10.1037/1082-989X.12.4.399) combination of both intervals; the correlation
between the two comes from the jackknife. Measured on samples of NAS-Bench-201 (20 to 491 architectures, over all and
in the top 20 %), a 95 % interval of a correlation misses on one side in 4.2 % of the samples at worst, that of a
difference in 5.4 %, where 2.5 % would be exact.

A correlation is *beyond chance* if its interval lies above 0, and no more than (1 - confidence) / 2 of all random
orders do as well, which is exact for any ties. As two regions are looked at, over all and the top, chance makes one
of them look good in at most 1 - confidence of the cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from lanista.errors import LanistaError
from lanista.trust.estimate import Estimate, student
from lanista.trust.rank import Array, orders_as_good, spearman, without_each
from lanista.trust.scores import check_share, in_top, numbers

LEAST = 10
"""Architectures below which no verdict is given: the interval of 9 without any correlation spans more than ±0.7."""

WHOLE = Estimate(None, -1.0, 1.0)
"""The interval of a correlation that nothing is known of."""


class Verdict(StrEnum):
    """What a proxy is worth."""

    INFORMATIVE = "informative"
    NO_BETTER = "no better than parameter count"
    UNINFORMATIVE = "uninformative here"


@final
@dataclass(frozen=True)
class Region:
    """How a proxy ranks some of the architectures.

    Attributes:
        size: how many they are.
        proxy: rank correlation of the proxy with the real scores.
        parameters: the same of the parameter counts; None if they are not given.
        difference: by how much the proxy's is greater, paired; None if one of the two does not rank at all.
        chance: share of random orders that do at least as well as the proxy.
        detectable: the least correlation that could be told from chance with so many architectures.
        verdict: `INFORMATIVE` if beyond chance and better than parameters; `NO_BETTER` if only beyond chance.
        reason: why, in words.
    """

    size: int
    proxy: Estimate
    parameters: Estimate | None
    difference: Estimate | None
    chance: float
    detectable: float
    verdict: Verdict
    reason: str

    @property
    def enough(self) -> bool:
        """Whether there are enough architectures for any verdict."""
        return self.size >= LEAST

    @property
    def ranks(self) -> bool:
        """Whether the proxy ranks these architectures beyond chance."""
        return self.verdict is not Verdict.UNINFORMATIVE


@final
@dataclass(frozen=True)
class Assessment:
    """What the scores of some architectures say of a proxy.

    Attributes:
        overall: all architectures.
        top: the best of them by their real scores.
        share: how many of all are the top, 0 to 1; ties at the border are in it.
        confidence: of each interval, 0 to 1, after the correction for `looks`.
        looks: how many proxies were compared on the same architectures.
    """

    overall: Region
    top: Region
    share: float
    confidence: float
    looks: int

    @property
    def verdict(self) -> Verdict:
        """The verdict of both regions together.

        A search needs a proxy that finds the good architectures among all, and then the best among the good: so it is
        `UNINFORMATIVE` unless it ranks beyond chance in *both* regions. Then it is `INFORMATIVE` if it is better than
        parameter counts in one of them and worse in neither, else `NO_BETTER`.
        """
        if not (self.overall.ranks and self.top.ranks):
            return Verdict.UNINFORMATIVE
        better = Verdict.INFORMATIVE in (self.overall.verdict, self.top.verdict)
        worse = any(region.difference and region.difference.high < 0 for region in (self.overall, self.top))
        return Verdict.INFORMATIVE if better and not worse else Verdict.NO_BETTER

    @property
    def headline(self) -> str:
        """The verdict in few words; if uninformative, where."""
        if self.verdict is not Verdict.UNINFORMATIVE:
            return str(self.verdict)
        if not self.overall.enough:
            return "too few architectures to tell"
        if self.overall.ranks:
            return "uninformative in the top" if self.top.enough else "too few architectures to tell in the top"
        return "uninformative over all" if self.top.ranks else str(Verdict.UNINFORMATIVE)


def needed(share: float = 0.2) -> int:
    """The least number of architectures of which the top `share` can be judged: 46 for 20 %, 91 for 10 %."""
    check_share("share", share)
    return math.floor(round((LEAST - 1) / share, 9)) + 1


def assess(
    proxy: ArrayLike,
    real: ArrayLike,
    parameters: ArrayLike | None = None,
    *,
    top: float = 0.2,
    confidence: float = 0.95,
    looks: int = 1,
    seed: int = 0,
) -> Assessment:
    """Judge a proxy by the real scores of the same n architectures.

    Args:
        proxy: what the proxy says of each; greater is better.
        real: its real score; greater is better.
        parameters: its parameter count, the baseline. Without it, `INFORMATIVE` means only: beyond chance.
        top: share of the architectures, best by real score, among which the ranking is looked at too, 0 to 1.
        confidence: of the intervals, and one minus the chance that a proxy without any use looks like one with some.
        looks: how many proxies are compared on the same architectures; each is then judged more strictly, so that
            the chance holds for all of them together (Bonferroni).
        seed: of the random orders.

    Raises:
        MetricError: scores that are no finite numbers, no scores, or of unequal number.
        LanistaError: `top`, `confidence` or `looks` is out of range.
    """
    y = numbers("real", real)
    x = numbers("proxy", proxy, len(y))
    p = None if parameters is None else numbers("parameters", parameters, len(y))
    check_share("top", top)
    check_share("confidence", confidence)
    if looks < 1:
        raise LanistaError(f"looks is {looks}; it is the number of proxies that are compared, 1 or more")
    level = (1 - confidence) / looks
    best = in_top(y, top)
    return Assessment(
        overall=_region(x, y, p, level, seed),
        top=_region(x[best], y[best], None if p is None else p[best], level, seed),
        share=top,
        confidence=1 - level,
        looks=looks,
    )


def _region(x: Array, y: Array, p: Array | None, level: float, seed: int) -> Region:
    """The region of these architectures; `level` is the chance of an interval to miss."""
    n = len(y)
    region = Region(
        size=n,
        proxy=WHOLE,
        parameters=None if p is None else WHOLE,
        difference=None,
        chance=1.0,
        detectable=1.0,
        verdict=Verdict.UNINFORMATIVE,
        reason=f"{n} architectures are too few to tell; at least {LEAST} are needed",
    )
    if n < LEAST:
        return region
    quantile = student(1 - level / 2, n - 1)
    region = replace(region, detectable=math.tanh(quantile / math.sqrt(n - 3)))
    for name, values in (("real score", y), ("proxy", x)):
        if np.ptp(values) == 0:
            return replace(region, reason=f"the {name} is the same for all of them")
    inputs = [x] if p is None or np.ptp(p) == 0 else [x, p]
    swayed = without_each(y, *inputs)
    estimates = [_interval(spearman(v, y), s, quantile) for v, s in zip(inputs, swayed, strict=True)]
    region = replace(region, proxy=estimates[0], chance=orders_as_good(x, y, math.ceil(100 / level) - 1, seed))
    if len(inputs) == 2:
        region = replace(region, parameters=estimates[1], difference=_difference(estimates, swayed))
    verdict, reason = _judge(region, level / 2)
    return replace(region, verdict=verdict, reason=reason)


def _interval(rho: float, swayed: Array, quantile: float) -> Estimate:
    """A correlation with its interval, from the correlations without each architecture."""
    n = len(swayed)
    error = math.sqrt((n - 1) / n * float(((swayed - swayed.mean()) ** 2).sum()))
    inner = min(abs(rho), 1 - 1e-9)
    z = math.copysign(math.atanh(inner), rho)
    spread = quantile * max(error / (1 - inner**2), 1 / math.sqrt(n - 3))
    return Estimate(rho, min(rho, math.tanh(z - spread)), max(rho, math.tanh(z + spread)))


def _difference(estimates: Sequence[Estimate], swayed: Sequence[Array]) -> Estimate:
    """By how much the first correlation is greater than the second."""
    one, other = estimates
    assert one.value is not None and other.value is not None
    a, b = (part - part.mean() for part in swayed)
    scale = math.sqrt(float(a @ a) * float(b @ b))
    together = float(a @ b) / scale if scale else 0.0
    value = one.value - other.value

    def reach(first: float, second: float) -> float:
        return math.sqrt(max(0.0, first**2 + second**2 - 2 * together * first * second))

    low = value - reach(one.value - one.low, other.high - other.value)
    return Estimate(value, low, value + reach(one.high - one.value, other.value - other.low))


def _judge(region: Region, chance: float) -> tuple[Verdict, str]:
    """The verdict and its reason; `chance` is what may go wrong on one side."""
    if region.proxy.high < 0:
        return Verdict.UNINFORMATIVE, "it ranks them in reverse: what it calls better is worse"
    if region.proxy.low <= 0:
        return Verdict.UNINFORMATIVE, "its correlation cannot be told from chance: the interval reaches 0"
    if region.chance > chance:
        share = f"{region.chance:.1%} of all random orders do as well"
        return Verdict.UNINFORMATIVE, f"its correlation cannot be told from chance: with these ties, {share}"
    if region.parameters is None:
        return Verdict.INFORMATIVE, "it ranks beyond chance; it was not compared with parameter counts"
    if region.difference is None:
        return Verdict.INFORMATIVE, "it ranks beyond chance; parameter counts are all the same"
    if region.difference.low > 0:
        return Verdict.INFORMATIVE, "it ranks beyond chance, and better than parameter counts do"
    if region.difference.high < 0:
        return Verdict.NO_BETTER, "it ranks beyond chance, but worse than parameter counts do"
    return Verdict.NO_BETTER, "it ranks beyond chance, but it cannot be said that it ranks better than parameter counts"
