"""Inline SVG pictures of the page: two orders against each other, intervals, and the best of random searches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from lanista.trust.estimate import Estimate
from lanista.trust.rank import ranks
from lanista.trust.scores import in_top
from lanista.trust.words import amount, correlation, number

SIDE = 300
"""Side of the square of a scatter plot; pixels."""

LEFT, TOP, RIGHT, BOTTOM = 66, 14, 14, 46
"""Room around a plot for its labels; pixels."""

TICKS = 5


def _svg(width: float, height: float, title: str, body: Iterable[str]) -> str:
    label = escape(title)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{label}">{"".join(body)}</svg>'
    )


def _text(x: float, y: float, text: str, classes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">{escape(text)}</text>'


def _point(x: float, y: float, radius: float, classes: str, told: str) -> str:
    title = f"<title>{escape(told)}</title>"
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{classes}">{title}</circle>'


def _line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def scatter(names: tuple[str, str], x: Sequence[float], y: Sequence[float], labels: Sequence[str], share: float) -> str:
    """The order by `x` against the order by `y`, the best `share` by `y` marked; worst to best, ties in the middle."""
    values, scores = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(scores)
    best = in_top(scores, share)
    border = 1 - best.sum() / n
    width, height = LEFT + SIDE + RIGHT, TOP + SIDE + BOTTOM
    across = LEFT + (ranks(values) - 0.5) / n * SIDE
    up = TOP + SIDE - (ranks(scores) - 0.5) / n * SIDE
    body = [
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" class="ground"/>',
        f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{(1 - border) * SIDE:.1f}" class="band"/>',
    ]
    for part in range(TICKS + 1):
        place = part / TICKS
        side, level = LEFT + place * SIDE, TOP + SIDE - place * SIDE
        if 0 < part < TICKS:
            body += [_line(LEFT, level, LEFT + SIDE, level, "grid"), _line(side, TOP, side, TOP + SIDE, "grid")]
        body.append(_text(LEFT - 6, level + 4, number(float(np.quantile(scores, place))), "end small"))
    body += [
        _text(LEFT, TOP + SIDE + 15, number(float(values.min())), "small"),
        _text(LEFT + SIDE, TOP + SIDE + 15, number(float(values.max())), "end small"),
        _text(LEFT + SIDE / 2, TOP + SIDE + 34, f"{_short(names[0])}, in order →", "middle"),
        f'<text transform="translate(13 {TOP + SIDE / 2}) rotate(-90)" class="middle">'
        f"{escape(_short(names[1]))}, in order →</text>",
    ]
    for index in range(n):
        told = f"{labels[index]}\n{names[0]} {number(values[index])}\n{names[1]} {number(scores[index])}"
        body.append(_point(across[index], up[index], _radius(n), "best" if best[index] else "dot", told))
    return _svg(width, height, f"{names[1]} against {names[0]}", body)


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:20]}…{name[-12:]}"


def _radius(n: int) -> float:
    return 4.5 if n <= 60 else 3.2 if n <= 600 else 2


def intervals(rows: Sequence[tuple[str, Estimate | None, float | None, str]]) -> str:
    """Correlations with their intervals on one scale from -1 to 1.

    Args:
        rows: name, correlation, noise ceiling if known, class of the colour.
    """
    left, width, step = 170, 430, 30
    height = step * len(rows) + 34

    def place(value: float) -> float:
        return left + (value + 1) / 2 * width

    body = []
    for tick in (-1, -0.5, 0, 0.5, 1):
        body.append(_line(place(tick), 6, place(tick), height - 26, "zero" if tick == 0 else "grid"))
        body.append(_text(place(tick), height - 8, f"{tick:g}", "middle small"))
    for index, (name, estimate, ceiling, classes) in enumerate(rows):
        y = step * index + 22
        body.append(_text(left - 12, y + 4, name, "end"))
        if ceiling is not None:
            mark = _line(place(ceiling), y - 10, place(ceiling), y + 10, "cap")
            body.append(f"<g><title>noise ceiling {ceiling:.2f}</title>{mark}</g>")
        if estimate is None or estimate.value is None:
            body.append(_text(place(0) + 8, y + 4, "not known", "small dim"))
            continue
        body += [
            _line(place(estimate.low), y, place(estimate.high), y, f"reach {classes}"),
            _point(place(estimate.value), y, 5, f"mark {classes}", f"{name}: {correlation(estimate)}"),
            _text(left + width + 14, y + 4, f"{estimate.value:.2f}", "small"),
        ]
    return _svg(left + width + 56, height, "rank correlations with confidence intervals", body)


def rising(curve: Sequence[tuple[int, float]], chosen: float, evaluations: float, expected: Estimate) -> str:
    """The expected best of random searches by their number of evaluations, and what was chosen."""
    width, height, left = 520, 230, 78
    most = max(curve[-1][0], evaluations, 2)
    values = [value for _, value in curve]
    ends = [
        chosen,
        expected.low,
        expected.high if math.isfinite(expected.high) else chosen,
        *values[len(values) // 4 :],
    ]
    low, high = min(ends), max(ends)
    pad = (high - low) * 0.08 or 1.0
    low, high = low - pad, high + pad

    def across(count: float) -> float:
        return left + math.log(max(count, 1)) / math.log(most) * (width - left - 20)

    def up(value: float) -> float:
        return 14 + (1 - (min(max(value, low), high) - low) / (high - low)) * (height - 64)

    floor = height - 50
    body = [f'<rect x="{left}" y="14" width="{width - left - 20}" height="{floor - 14}" class="ground"/>']
    for part in range(5):
        value = low + (high - low) * part / 4
        body += [
            _line(left, up(value), width - 20, up(value), "grid"),
            _text(left - 6, up(value) + 4, number(value), "end small"),
        ]
    steps = [count for power in range(7) for count in (10**power, 3 * 10**power) if count <= most]
    body += [_text(across(count), floor + 15, number(count), "middle small") for count in steps]
    points = " ".join(f"{across(count):.1f},{up(value):.1f}" for count, value in curve if value >= low)
    at = across(evaluations)
    body += [
        _text((left + width - 20) / 2, height - 12, "real evaluations of random architectures", "middle"),
        f'<polyline points="{points}" class="curve"/>',
        _line(left, up(chosen), width - 20, up(chosen), "chosen"),
        _text(left + 8, up(chosen) - 6, f"chosen by the search: {number(chosen)}", "accent small"),
        _line(at, up(expected.low), at, up(expected.high), "reach other"),
        _point(at, up(expected.value or low), 5, "mark other", f"random search at equal cost: {amount(expected)}"),
    ]
    return _svg(width, height, "expected best of random search", body)
