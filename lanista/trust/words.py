"""What the numbers mean, in sentences: for the terminal and for the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from lanista.trust.assessment import Assessment, Region, Verdict
from lanista.trust.budget import RandomSearch
from lanista.trust.estimate import Estimate
from lanista.trust.noise import Noise


@final
@dataclass(frozen=True)
class Line:
    """A number, what it is called, and what it means."""

    name: str
    value: str
    meaning: str


@final
@dataclass(frozen=True)
class Section:
    """Numbers that belong together, and what follows from them."""

    title: str
    summary: str
    lines: tuple[Line, ...]


def number(value: float, digits: int = 4) -> str:
    """A score, cost or count with so many digits, or all before the point."""
    if abs(value) >= 1e7:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.{digits}g}"


def correlation(estimate: Estimate | None) -> str:
    """A rank correlation and its interval."""
    if estimate is None or estimate.value is None:
        return "-"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def amount(estimate: Estimate, digits: int = 4) -> str:
    """A score or count and its interval."""
    value = "-" if estimate.value is None else number(estimate.value, digits)
    high = number(estimate.high, digits) if math.isfinite(estimate.high) else "?"
    return f"{value} [{number(estimate.low, digits)}, {high}]"


def percent(share: float) -> str:
    """A share of 1, whole or with one digit."""
    return f"{100 * share:.3g} %"


def summary(found: Assessment) -> str:
    """What the headline means for a search, in one sentence or two."""
    if found.verdict is Verdict.INFORMATIVE:
        return (
            "The proxy finds the good architectures and ranks the best among themselves, better than counting "
            "parameters does."
            if found.overall.parameters is not None
            else "The proxy finds the good architectures and ranks the best among themselves. Nobody compared it with "
            "counting parameters."
        )
    if found.verdict is Verdict.NO_BETTER:
        return (
            "The proxy ranks architectures, but nothing shows that it does so better than counting their parameters, "
            "which costs nothing."
        )
    if not found.overall.enough:
        return "Nothing can be said with so few architectures; spend more real evaluations before believing the proxy."
    if found.overall.ranks and not found.top.enough:
        return "The proxy ranks all architectures, but too few of the best are known to tell whether it ranks those."
    if found.overall.ranks:
        return (
            "The proxy tells bad architectures from good ones, but nothing shows that it ranks the best among "
            "themselves: use it to discard, not to choose."
        )
    if found.top.ranks:
        return "The proxy seems to rank the best architectures among themselves, but it does not find them among all."
    return "Nothing shows that the proxy ranks these architectures."


def regions(found: Assessment) -> tuple[tuple[str, Region], ...]:
    """Both regions with their names."""
    return ("over all", found.overall), (f"best {percent(found.share)}", found.top)


def ranking(found: Assessment) -> Section:
    """How the proxy ranks."""
    lines = []
    for name, region in regions(found):
        told = [_sentence(region.reason)]
        if region.proxy.value is not None:
            told.append(
                f"With {region.size} architectures, only correlations above {region.detectable:.2f} differ from chance."
                f" {_share(region.chance)} of random orders rank as well."
            )
        lines.append(Line(name, str(region.verdict), " ".join(told)))
    looks = f" They are corrected for {found.looks} proxies that are compared." if found.looks > 1 else ""
    return Section(
        "Rank correlation with the real score",
        "Spearman's rank correlation: 1 where both orders agree, 0 where they have nothing to do with each other, -1 "
        f"where they are opposite. In brackets: {percent(found.confidence)} confidence intervals.{looks}",
        tuple(lines),
    )


def _share(chance: float) -> str:
    return "Under 0.1 %" if chance <= 0.001 else f"About {percent(chance)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def seeds(noise: Noise) -> Section:
    """How noisy the real score is."""
    return Section(
        "Noise between seeds",
        "The same architecture gets another score with another seed. No proxy can rank what seeds decide.",
        (
            Line(
                "standard deviation",
                amount(noise.deviation, 3),
                f"between the scores of one architecture, from {noise.scores} scores of {noise.architectures}",
            ),
            Line("ceiling over all", correlation(noise.overall), "the correlation that a perfect proxy would reach"),
            Line("ceiling in the top", correlation(noise.top), "the same among the best"),
        ),
    )


def comparison(search: RandomSearch) -> Section:
    """How random search would have fared."""
    low, high = search.spread
    count = search.evaluations
    if search.extrapolated:
        limits = (
            f" More evaluations than the {search.sample} random architectures that are known: the expected best is at "
            "least this one, and the interval's upper end assumes an exponential tail."
        )
    elif not search.affordable:
        limits = " The cost does not even pay one real evaluation; the comparison is with one."
    else:
        limits = ""
    outcome = {
        "better": "The search found more than random search expects at equal cost.",
        "worse": "The search found less than random search expects at equal cost.",
        "not told apart": "The search cannot be told from random search at equal cost.",
    }[search.outcome]
    return Section(
        "Random search at equal cost",
        outcome + limits,
        (
            Line("chosen by the search", number(search.chosen), "its real score"),
            Line(
                "random evaluations",
                number(count),
                f"what the search's cost of {number(search.spent)} pays, at {number(search.each)} each",
            ),
            Line(
                "their expected best",
                amount(search.expected),
                f"from {search.sample} random architectures, with the noise of what was chosen",
            ),
            Line("their usual best", f"{number(low)} to {number(high)}", "where most such random searches end"),
            Line(
                "random does as well",
                percent(search.chance),
                "chance of such a search to find at least what was chosen",
            ),
            Line("worth", _worth(search), "random evaluations whose expected best is as good as what was chosen"),
        ),
    )


def _worth(search: RandomSearch) -> str:
    worth = search.equivalents
    if worth.value is None:
        least = "" if worth.low >= search.sample else f" (at least {number(round(worth.low, 1))})"
        return f"more than {search.sample}{least}"
    if worth.high <= 1:
        return "at most 1"
    high = number(round(worth.high, 1)) if math.isfinite(worth.high) else f"more than {search.sample}"
    return f"{number(round(worth.value, 1))} [{number(round(worth.low, 1))}, {high}]"
