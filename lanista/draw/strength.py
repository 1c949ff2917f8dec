"""Pictures of one-shot searches: how strong each option was over the steps, a small plot for each choice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lanista.draw.svg import Canvas, shortened, text_width, themed
from lanista.errors import OneShotError

MARGIN, GAP = 16.0, 12.0
"""Space around all panels, and between them; pixels."""

WIDTH, HEIGHT = 264.0, 148.0
"""Of a panel; pixels."""

LEFT, RIGHT, TOP, BOTTOM = 38.0, 12.0, 46.0, 22.0
"""Room around the plot of a panel, for its words; pixels."""

SWATCH, LINE, LETTERS = 16.0, 18.0, 28
"""Width of a line in the legend, height of a row of it, and in how many letters it names an option."""

RATIO = 1.6
"""Width to height that a picture should have."""

POINTS = 100
"""A line has at most about so many points; a panel has hardly more pixels."""

ROUND = (1.0, 2.0, 2.5, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0)
"""Where a scale may end, in units of a power of ten."""

LEAST = 1e-9
"""What is less is no strength."""

# On a light page, on a dark page.
_PALETTE = (
    ("#1d5fb4", "#6ea8fe"),
    ("#d9630a", "#ff9d4d"),
    ("#2c8440", "#6fd08a"),
    ("#b3261e", "#f4555e"),
    ("#7a44ad", "#c4a1f5"),
    ("#0f8790", "#5fd3dc"),
    ("#b53a86", "#f48fcb"),
    ("#8a6d00", "#e0c34a"),
    ("#5d6776", "#b3bdca"),
    ("#6b4423", "#cfa680"),
)
_STYLE = themed(
    ".curve{{fill:none;stroke-width:1.4;stroke-linejoin:round}}.curve.best{{stroke-width:2.6}}"
    ".dash1{{stroke-dasharray:5 3}}.dash2{{stroke-dasharray:1.5 2}}"
    + "".join(f".hue{index}{{{{stroke:{{hue{index}}}}}}}" for index in range(len(_PALETTE))),
    {f"hue{index}": pair for index, pair in enumerate(_PALETTE)},
)


def strengths(history: Sequence[Mapping[str, Any]], options: Mapping[str, Sequence[str]]) -> str:
    """Draw how the strengths of options (as a rule probabilities) developed over a one-shot search, as SVG text.

    There is a panel for each choice; where a choice has several rows, as a node of a cell has one for each of its
    inputs, one for each row: `cell/3 ← 0` is row 0. An option has the same colour in all panels, and all panels have
    the same scale. A panel names the strongest option in the end, and says how the entropy went: 1 where all options
    are equally strong, 0 where there is but one.

    Args:
        history: what a method took note of, such as `Method.history` or `Found.history`: in each entry "step", and
            "strengths", name -> rows x options, from 0. Entries whose strengths are None are left out.
        options: what the options are called, by the same names: `Method.options`, `Found.options`.

    Raises:
        OneShotError: there are no strengths, or they do not fit the options.
    """
    noted = [entry for entry in history if entry["strengths"] is not None]
    panels = [panel for name, titles in options.items() for panel in _panels(noted, name, list(titles))]
    if not panels:
        raise OneShotError(
            f"there are no strengths of options in {len(history)} entries of the history of {len(options)} choices: "
            "methods that train random paths find no option stronger than others; those that learn, such as DARTS, do"
        )
    styles = _styles(name for titles in options.values() for name in titles)
    top = _ceiling(max((value for panel in panels for _, row in panel.points for value in row), default=1.0))
    columns = min(range(1, len(panels) + 1), key=lambda count: abs(_ratio(count, len(panels)) - RATIO))
    title, facts = "Strengths of options over the search", _facts(panels, top)
    width = columns * (WIDTH + GAP) - GAP + 2 * MARGIN
    width = max(width, text_width(title, 17, bold=True) + 2 * MARGIN, text_width(facts) + 2 * MARGIN)
    canvas = Canvas()
    canvas.text(MARGIN, MARGIN + 14, title, "big")
    canvas.text(MARGIN, MARGIN + 32, facts, "dim")
    below = _legend(canvas, styles, MARGIN + 54, width)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        _paint(canvas, panel, (MARGIN + column * (WIDTH + GAP), below + row * (HEIGHT + GAP)), top, styles)
    height = below + math.ceil(len(panels) / columns) * (HEIGHT + GAP) - GAP + MARGIN
    return canvas.document(width, height, title, f"{facts}. " + "; ".join(map(_told, panels)), style=_STYLE)


@dataclass(frozen=True)
class _Panel:
    """A choice between options.

    Attributes:
        points: (step, strength of each option), without those that are no finite numbers.
        lost: how many these are.
    """

    title: str
    options: list[str]
    points: list[tuple[int, list[float]]]
    lost: int

    @property
    def best(self) -> int:
        """The position of the strongest option in the end."""
        last = self.points[-1][1]
        return last.index(max(last))


def _panels(noted: Sequence[Mapping[str, Any]], name: str, titles: list[str]) -> list[_Panel]:
    found = [entry["strengths"].get(name, []) for entry in noted]
    rows = {len(one) for one in found}
    widths = {len(row) for one in found for row in one}
    if len(rows) > 1 or not widths <= {len(titles)}:
        raise OneShotError(
            f"the strengths of {name!r} have {_listed(rows)} rows of {_listed(widths)} options, and there are "
            f"{len(titles)} names of options; give history and options of one search"
        )
    panels = []
    for row in range(max(rows, default=0)):
        line = [(entry["step"], one[row]) for entry, one in zip(noted, found, strict=True)]
        points = [(step, values) for step, values in line if all(map(math.isfinite, values))]
        title = name if rows == {1} else f"{name} ← {row}"
        panels.append(_Panel(title, titles, points, len(line) - len(points)))
    return panels


def _listed(counts: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(counts)))


def _styles(names: Iterable[str]) -> dict[str, str]:
    """The class of the line of each option: a colour, and a dash where there are more options than colours."""
    hues = len(_PALETTE)
    return {
        name: f"hue{index % hues}" + (f" dash{index // hues % 3}" if index >= hues else "")
        for index, name in enumerate(dict.fromkeys(names))
    }


def _ceiling(value: float) -> float:
    """The end of a scale: the next round number."""
    if value < LEAST:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    # A sum of probabilities may be a little more than 1.
    return next(step * unit for step in ROUND if value <= step * unit * 1.0001)


def _entropy(row: Sequence[float]) -> float:
    """Of the shares of a row, from 0 to 1: divided by that of equal shares."""
    total = sum(row)
    shares = [value / total for value in row if value > LEAST]
    return sum(-share * math.log(share) for share in shares) / math.log(len(row)) if len(row) > 1 else 0.0


def _ratio(columns: int, count: int) -> float:
    return columns * (WIDTH + GAP) / (math.ceil(count / columns) * (HEIGHT + GAP) + 6 * LINE)


def _facts(panels: Sequence[_Panel], top: float) -> str:
    """What holds for all panels, in a line."""
    ends = [(_entropy(panel.points[0][1]), _entropy(panel.points[-1][1])) for panel in panels if panel.points]
    facts = [f"{len(panels)} choice" + "s" * (len(panels) > 1), f"strengths from 0 to {top:g}"]
    if ends:
        first, last = (sum(column) / len(ends) for column in zip(*ends, strict=True))
        facts.append(f"mean entropy {first:.2f} → {last:.2f} (1: all options equal, 0: one alone)")
    return " · ".join(facts)


def _told(panel: _Panel) -> str:
    """A panel in words: its options by their strength in the end."""
    if panel.lost:
        return f"{panel.title}: {_warning(panel)}"
    last = panel.points[-1][1]
    ranked = sorted(zip(panel.options, last, strict=True), key=lambda pair: -pair[1])
    return f"{panel.title}: " + ", ".join(f"{name} {value:.3f}" for name, value in ranked)


def _warning(panel: _Panel) -> str:
    return f"no finite numbers in {panel.lost:,} of {panel.lost + len(panel.points):,} entries"


def _legend(canvas: Canvas, styles: Mapping[str, str], top: float, width: float) -> float:
    """Name the options beside their lines, row by row; give the height at which it ends."""
    x, y = MARGIN, top
    for name, style in styles.items():
        text = shortened(name, LETTERS)
        wide = SWATCH + 6 + text_width(text)
        if x > MARGIN and x + wide > width - MARGIN:
            x, y = MARGIN, y + LINE
        canvas.line([(x, y - 4), (x + SWATCH, y - 4)], f"curve best {style}")
        canvas.text(x + SWATCH + 6, y, text)
        x += wide + 14
    return y + LINE


def _paint(canvas: Canvas, panel: _Panel, corner: tuple[float, float], top: float, styles: Mapping[str, str]) -> None:
    x, y = corner
    left, right, high, low = x + LEFT, x + WIDTH - RIGHT, y + TOP, y + HEIGHT - BOTTOM
    canvas.open(title=_told(panel))
    canvas.rect(x, y, WIDTH, HEIGHT, "panel")
    room = WIDTH - 2 * RIGHT
    size, style = (12, "bold") if text_width(panel.title, 12, bold=True) <= room else (10, "small bold")
    canvas.text(x + RIGHT, y + 18, _fitting(panel.title, room, size, bold=True), style)
    for value, level in ((top, high), (top / 2, (high + low) / 2), (0.0, low)):
        canvas.line([(left, level), (right, level)])
        canvas.text(left - 5, level + 3.5, f"{value:g}", "small dim end")
    if panel.points:
        _curves(canvas, panel, (left, right, high, low), top, styles)
    if panel.lost:  # what was the strongest before is not what was found
        canvas.text(x + RIGHT, y + 34, _warning(panel), "small accent")
    else:
        _results(canvas, panel, x + RIGHT, right, y + 34, styles)
    canvas.close()


def _curves(
    canvas: Canvas, panel: _Panel, frame: tuple[float, float, float, float], top: float, styles: Mapping[str, str]
) -> None:
    """The lines, the strongest option's on top of the others, and the axis of steps."""
    left, right, high, low = frame
    first, last = panel.points[0][0], panel.points[-1][0]
    stride = max(1, math.ceil((len(panel.points) - 1) / POINTS))
    points = [*panel.points[:-1:stride], panel.points[-1]]
    for option in sorted(range(len(panel.options)), key=lambda one: one == panel.best):
        line = [
            (left + (step - first) / max(1, last - first) * (right - left), low - row[option] / top * (low - high))
            for step, row in points
        ]
        if first == last:  # one moment is a level, not a point that nobody sees
            line = [(left, line[-1][1]), (right, line[-1][1])]
        best = " best" if option == panel.best else ""
        canvas.line(line, f"curve{best} {styles[panel.options[option]]}")
    canvas.text(left, low + 14, f"{first:,}", "small dim")
    canvas.text((left + right) / 2, low + 14, "step", "small dim middle")
    canvas.text(right, low + 14, f"{last:,}", "small dim end")


def _results(canvas: Canvas, panel: _Panel, left: float, right: float, base: float, styles: Mapping[str, str]) -> None:
    """The strongest option, and the entropy in the beginning and in the end."""
    (_, first), (_, last) = panel.points[0], panel.points[-1]
    name, strength = panel.options[panel.best], f" {last[panel.best]:.2f}"
    entropy = f"entropy {_entropy(first):.2f} → {_entropy(last):.2f}"
    room = right - left - SWATCH - 12 - text_width(entropy, 10) - text_width(strength, 10)
    canvas.line([(left, base - 3.5), (left + SWATCH, base - 3.5)], f"curve best {styles[name]}")
    canvas.text(left + SWATCH + 5, base, _fitting(name, room, 10) + strength, "small")
    canvas.text(right, base, entropy, "small dim end")


def _fitting(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text, its middle left out as far as that must be."""
    most = len(text)
    while most > 3 and text_width(shortened(text, most), size, bold=bold) > width:
        most -= 1
    return shortened(text, most)
