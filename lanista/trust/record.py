"""Everything that is known of how far a proxy can be believed."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, final

from numpy.typing import ArrayLike

from lanista.errors import MetricError
from lanista.trust import page, words
from lanista.trust.assessment import Assessment, Verdict, assess
from lanista.trust.budget import RandomSearch
from lanista.trust.estimate import Estimate
from lanista.trust.noise import Noise
from lanista.trust.scores import numbers

FORMAT = 1
"""Version of the JSON form."""

WIDTH = 110
"""Columns of the text."""


@final
@dataclass(frozen=True, repr=False)
class Trust:
    """How far a proxy can be believed, by the real scores of some architectures; `print` shows it.

    Attributes:
        proxy: the proxy's score of each architecture; greater is better.
        real: its real score; greater is better.
        parameters: its parameter count; None if not given.
        labels: its name, for the page.
        assessment: how the proxy ranks.
        noise: of the real score between seeds; None if nothing was repeated.
        search: what random search would have found at equal cost; None if costs are not known.
        title: of the page and the text.
        proxy_name, real_name: what both scores are called.
        notes: sentences on how the data came about, for the reader.
    """

    proxy: tuple[float, ...]
    real: tuple[float, ...]
    parameters: tuple[float, ...] | None
    labels: tuple[str, ...]
    assessment: Assessment
    noise: Noise | None = None
    search: RandomSearch | None = None
    title: str = "Trust"
    proxy_name: str = "proxy"
    real_name: str = "real score"
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict of both regions together; see `Assessment.verdict`."""
        return self.assessment.verdict

    @property
    def headline(self) -> str:
        """The verdict in few words, and if it is uninformative, where."""
        return self.assessment.headline

    @property
    def sections(self) -> tuple[words.Section, ...]:
        """The numbers with their meanings, as far as they are known."""
        return (
            words.ranking(self.assessment),
            *([words.seeds(self.noise)] if self.noise else []),
            *([words.comparison(self.search)] if self.search else []),
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; None stands for infinite ends of intervals."""
        return {
            "format": FORMAT,
            "headline": self.headline,
            "verdict": str(self.verdict),
            **{field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)},
            "outcome": self.search and self.search.outcome,
        }

    def write_html(self, path: str | Path) -> Path:
        """Write one HTML page that needs nothing else: pictures, numbers, and what they mean. Returns its path."""
        figures = []
        if self.parameters is None:
            columns = [(self.proxy_name, self.proxy)]
        else:
            columns = [(self.proxy_name, self.proxy), ("parameters", self.parameters)]
        for name, values in columns:
            figures.append(page.Cloud(name, self.real_name, values, self.real, self.labels))
        file = Path(path)
        file.write_text(
            page.page(
                self.title,
                self.assessment,
                self.sections,
                figures,
                notes=self.notes,
                noise=self.noise,
                search=self.search,
            ),
            encoding="utf-8",
        )
        return file

    def __repr__(self) -> str:
        return f"<Trust in {self.proxy_name!r} for {self.real_name!r}, {len(self.real)} architectures: {self.headline}>"

    def __str__(self) -> str:
        found = self.assessment
        lines = [
            f"{self.title}: {self.proxy_name} as a proxy of {self.real_name}",
            f"Verdict: {self.headline.upper()}",
            "",
            *textwrap.wrap(words.summary(found), WIDTH),
        ]
        for index, section in enumerate(self.sections):
            lines += [
                "",
                section.title,
                *textwrap.wrap(section.summary, WIDTH, initial_indent="  ", subsequent_indent="  "),
            ]
            if index == 0:
                lines += ["", *self._table()]
            lines += ["", *_listed(section.lines)]
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        rows = [["", "architectures", "proxy", "parameters", "difference"]]
        for name, region in words.regions(self.assessment):
            cells = (region.proxy, region.parameters, region.difference)
            rows.append([name, str(region.size), *map(words.correlation, cells)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  " + "   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _listed(lines: Sequence[words.Line]) -> list[str]:
    name = max(len(line.name) for line in lines)
    value = max(len(line.value) for line in lines)
    listed = []
    for line in lines:
        head = f"  {line.name.ljust(name)}   {line.value.ljust(value)}   "
        listed += textwrap.wrap(line.meaning, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    return listed


def _plain(value: Any) -> Any:
    """Records, enumerations and tuples as JSON values."""
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, StrEnum):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def examine(  # noqa: PLR0913
    proxy: ArrayLike,
    real: ArrayLike,
    parameters: ArrayLike | None = None,
    *,
    labels: Sequence[str] | None = None,
    noise: Noise | None = None,
    search: RandomSearch | None = None,
    top: float = 0.2,
    confidence: float = 0.95,
    looks: int = 1,
    seed: int = 0,
    title: str = "Trust",
    proxy_name: str = "proxy",
    real_name: str = "real score",
    notes: Sequence[str] = (),
) -> Trust:
    """Assess a proxy, and put together what else is known.

    Args:
        labels: name of each architecture; the index if not given.
        noise: from `between_seeds`.
        search: from `random_search`.
        proxy, real, parameters, top, confidence, looks, seed: as for `assess`.
        title, proxy_name, real_name, notes: as `Trust` has them.

    Raises:
        MetricError, LanistaError: as `assess` does; or labels are of another number than the scores.
    """
    assessment = assess(proxy, real, parameters, top=top, confidence=confidence, looks=looks, seed=seed)
    n = assessment.overall.size
    if labels is not None and len(labels) != n:
        raise MetricError(f"labels has {len(labels)} names, but real has {n} scores; give one for each architecture")
    return Trust(
        proxy=tuple(numbers("proxy", proxy).tolist()),
        real=tuple(numbers("real", real).tolist()),
        parameters=None if parameters is None else tuple(numbers("parameters", parameters).tolist()),
        labels=tuple(map(str, range(n))) if labels is None else tuple(map(str, labels)),
        assessment=assessment,
        noise=noise,
        search=search,
        title=title,
        proxy_name=proxy_name,
        real_name=real_name,
        notes=tuple(notes),
    )
