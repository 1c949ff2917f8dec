"""SVG: shapes and text with one style, for light and dark pages."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape as _escape
from xml.sax.saxutils import quoteattr

from lanista.draw.layout import Point

FONT = 12.0
"""Size of ordinary text; pixels."""

# Of a role: on a light page, on a dark page.
_COLORS = {
    "page": ("#ffffff", "#14171c"),
    "panel": ("#f6f7f9", "#1b1f26"),
    "rim": ("#d8dce3", "#343b47"),
    "box": ("#ffffff", "#262c36"),
    "line": ("#aab2bf", "#5b6675"),
    "edge": ("#6f7a8a", "#8b97a8"),
    "ink": ("#1d2530", "#e6eaf0"),
    "dim": ("#5d6776", "#9aa5b5"),
    "accent": ("#a84300", "#ffb37a"),
    "glow": ("#fdeadb", "#45301f"),
    "link": ("#1d5fb4", "#86b7f5"),
    "tint": ("#e8f0fb", "#20324b"),
}
_RULES = """
text{{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px;fill:{ink}}}
.big{{font-size:17px;font-weight:600}}.head{{font-size:13px;font-weight:600}}.bold{{font-weight:600}}
.small{{font-size:10px}}.dim{{fill:{dim}}}.accent{{fill:{accent}}}.link{{fill:{link}}}.middle{{text-anchor:middle}}
.end{{text-anchor:end}}
.page{{fill:{page}}}.panel{{fill:{panel};stroke:{rim}}}.box{{fill:{box};stroke:{line}}}
.chosen{{fill:{glow};stroke:{accent}}}.defined{{fill:{tint};stroke:{link}}}.pill{{fill:{panel};stroke:{line}}}
.bar{{fill:{line};stroke:none}}.rule{{stroke:{rim};fill:none}}.stack{{fill:{panel};stroke:{line}}}
.edge{{fill:none;stroke:{edge};stroke-width:1.2}}.loose{{fill:none;stroke:{edge};stroke-dasharray:4 3}}
.strong{{stroke-width:2.5}}.tip{{fill:{edge};stroke:none}}.off{{opacity:.45}}
"""


def themed(rules: str, colors: Mapping[str, tuple[str, str]]) -> str:
    """CSS for light and dark pages.

    Args:
        rules: a format string in which `{role}` is a colour, and other braces are doubled.
        colors: of each role, on a light page and on a dark one.
    """
    # Plain colours and a second set for dark pages: some programs know no CSS variables.
    light, dark = (rules.format_map({role: pair[page] for role, pair in colors.items()}) for page in (0, 1))
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}"


STYLE = themed(_RULES, _COLORS)

_NARROW, _WIDE = set("ijl|!.,:;'`()[]{}/\\tfrI- "), set("mwMW@%")


def text_width(text: str, size: float = FONT, *, bold: bool = False) -> float:
    """About how wide a line of text is, in pixels; rather too wide than too narrow."""
    width = 0.0
    for letter in text:
        if letter in _NARROW:
            width += 0.40
        elif letter in _WIDE or unicodedata.east_asian_width(letter) in "WF":
            width += 1.0
        elif letter.isupper():
            width += 0.72
        else:
            width += 0.61
    return width * size * (1.14 if bold else 1.0)


def shortened(text: str, most: int) -> str:
    """The text, its middle left out if it has more than `most` letters."""
    if len(text) <= most:
        return text
    tail = most // 2
    return text[: most - tail - 1] + "…" + text[len(text) - tail :]


def escape(text: str) -> str:
    """Text as XML takes it; control letters, which it does not take, are replaced."""
    return _escape(_clean(text))


def _clean(text: str) -> str:
    return "".join("\N{REPLACEMENT CHARACTER}" if _forbidden(letter) else letter for letter in text)


def _forbidden(letter: str) -> bool:
    return letter < " " or "\ud800" <= letter <= "\udfff" or letter in "\ufffe\uffff" or "\x7f" <= letter <= "\x9f"


def number(value: float) -> str:
    """A coordinate: at most one digit after the point, always written alike."""
    return f"{round(value, 1) + 0.0:.7g}"


class Canvas:
    """Collects shapes in the order in which they are painted."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def rect(self, x: float, y: float, width: float, height: float, style: str, radius: float = 5.0) -> None:
        """A rectangle; (x, y) is its left upper corner."""
        self._parts.append(
            f'<rect class="{style}" x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" rx="{number(radius)}"/>'
        )

    def text(self, x: float, y: float, text: str, style: str = "") -> None:
        """A line of text; y is its base line."""
        attribute = f' class="{style}"' if style else ""
        self._parts.append(f'<text x="{number(x)}" y="{number(y)}"{attribute}>{escape(text)}</text>')

    def line(self, points: Sequence[Point], style: str = "rule") -> None:
        """A line with corners."""
        joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        self._parts.append(f'<polyline class="{style}" points="{joined}"/>')

    def arrow(self, points: Sequence[Point], style: str = "edge") -> None:
        """A line through the points, from the first to a tip at the last; it swings where x changes."""
        (x, y), *rest = points
        end_x, end_y = rest[-1]
        path = [f"M{number(x)} {number(y)}"]
        for next_x, next_y in [*rest[:-1], (end_x, end_y - 4)]:
            if abs(next_x - x) < 0.5 or abs(next_y - y) < 0.5:
                path.append(f"L{number(next_x)} {number(next_y)}")
            else:
                middle = (y + next_y) / 2
                path.append(
                    f"C{number(x)} {number(middle)} {number(next_x)} {number(middle)} {number(next_x)} {number(next_y)}"
                )
            x, y = next_x, next_y
        self._parts.append(f'<path class="{style}" d="{"".join(path)}"/>')
        self._parts.append(
            f'<path class="tip" d="M{number(end_x - 3.5)} {number(end_y - 7)}L{number(end_x)} {number(end_y)}'
            f'L{number(end_x + 3.5)} {number(end_y - 7)}Z"/>'
        )

    def open(self, *, title: str = "", style: str = "") -> None:
        """Begin a group; `title` is what a pointer on it shows."""
        classes = f' class="{style}"' if style else ""
        self._parts.append(f"<g{classes}>" + (f"<title>{escape(title)}</title>" if title else ""))

    def close(self) -> None:
        """End the group."""
        self._parts.append("</g>")

    def document(self, width: float, height: float, title: str, description: str, *, style: str = "") -> str:
        """The whole as SVG text, with a name and a description for those who do not see it; `style` is further CSS."""
        size = f"{number(width)} {number(height)}"
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{number(width)}" '
                f'height="{number(height)}" role="img" aria-label={quoteattr(_clean(title))}>',
                f"<title>{escape(title)}</title>",
                f"<desc>{escape(description)}</desc>",
                f"<style>{_escape(STYLE + style)}</style>",
                f'<rect class="page" width="{number(width)}" height="{number(height)}"/>',
                *self._parts,
                "</svg>\n",
            ]
        )
