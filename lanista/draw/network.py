"""Pictures of models: what feeds what, with equal parts drawn once and the chosen candidates marked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lanista.draw.calls import read
from lanista.draw.kinds import Chosen
from lanista.draw.label import family, merged_label, written
from lanista.draw.layout import Layout, Point, layered
from lanista.draw.panel import Box, Panel, Row, panels
from lanista.draw.svg import Canvas, shortened, text_width
from lanista.draw.witness import witnessed
from lanista.model import ModelSpace
from lanista.space.domain import Architecture, Value

LINE, SMALL_LINE, PAD = 16.0, 13.0, 8.0
"""Heights of lines of text, and the space around them in a box; pixels."""

MARGIN, HEAD = 16.0, 34.0
"""Space around and between panels, and the height of a panel's heading."""

TALLEST = 1300.0
"""Height from which a panel is continued in another column."""

RATIO = 1.5
"""Width to height that a picture should have."""

CHIPS, LETTERS = 4, 34
"""A box shows so many decisions, each in so many letters; all are in the list of decisions."""

LIST_ROWS = 36
"""Rows in a column of the list of decisions."""


def model(
    model: nn.Module, example_input: Tensor | tuple[object, ...] | None = None, *, depth: int | None = None
) -> str:
    """Draw a model as SVG text; it is left as it was, and may be on the meta device.

    Layers are boxes, arrows are tensors. Modules that are built alike, whatever their widths and kernels, are boxes
    with a panel of their own beside; equal boxes in a row are drawn once, as in `×6`.

    Args:
        model: any module. Parts that torch.fx cannot trace are drawn as their children in order, with dashed lines.
        example_input: an input, or a tuple of positional inputs; with it, boxes show the shapes of their results,
            without the batch.
        depth: how many levels of panels are shown beside the model's own; None: all.
    """
    return _draw(model, type(model).__name__, example_input, {}, {}, depth)


def architecture(space: ModelSpace, architecture: Mapping[str, Value], *, depth: int | None = None) -> str:
    """Draw the model of an architecture as SVG text, with the decisions where they were taken.

    Args:
        space: the models; its `example_input` gives shapes.
        architecture: label -> value for every active decision, in any form that `SearchSpace.validate` reads.
        depth: as for `model`.

    Raises:
        ArchitectureError: the architecture does not fit the space.
    """
    canonical = space.decisions.validate(architecture)
    built, chosen = witnessed(space, canonical)
    return _draw(built, space.name.strip("_"), space.example_input, canonical, chosen, depth)


def _draw(
    model: nn.Module,
    name: str,
    example: Tensor | tuple[object, ...] | None,
    decisions: Architecture,
    chosen: Chosen,
    depth: int | None,
) -> str:
    inputs = example if isinstance(example, tuple) or example is None else (example,)
    root = read(model, inputs)
    shown = panels(root, chosen, decisions, depth=depth)
    figures = [_Figure(panel, decisions, heading=panel is not shown[0]) for panel in shown]
    facts = [_parameters(model)] if any(True for _ in model.parameters()) else []
    facts += [f"{len(decisions)} decisions"] * bool(decisions)
    canvas = Canvas()
    canvas.text(MARGIN, MARGIN + 14, name, "big")
    canvas.text(MARGIN, MARGIN + 32, " · ".join(facts), "dim")
    sheets: list[_Figure | _List] = [*figures]
    if decisions:
        sheets.append(_List(decisions))
    width, height = _arrange(canvas, sheets, MARGIN + 44)
    words = f"{name}: {', '.join(facts) or 'no parameters'}. Panels: {', '.join(f.title for f in figures)}."
    width = max(width, text_width(name, 17, bold=True) + 2 * MARGIN, text_width(" · ".join(facts)) + 2 * MARGIN)
    return canvas.document(width, height, f"Architecture of {name}", words)


def _parameters(model: nn.Module) -> str:
    values = list(model.parameters())
    if any(map(is_lazy, values)):
        return "lazy parameters"
    return f"{sum(value.numel() for value in values):,} parameters"


def _arrange(canvas: Canvas, sheets: Sequence[_Figure | _List], top: float) -> tuple[float, float]:
    """Paint sheets in columns, the first alone in its own; give width and height of the whole."""
    least = max(sheet.height for sheet in sheets)
    heights = [least, *(height for height in accumulate(s.height + MARGIN for s in sheets[1:]) if height > least)]
    columns = min((_columns(sheets, height) for height in heights), key=lambda c: abs(_ratio(c) - RATIO))
    x, bottom = MARGIN, top
    for column in columns:
        y = top
        for sheet in column:
            sheet.paint(canvas, x, y)
            y += sheet.height + MARGIN
        x += max(sheet.width for sheet in column) + MARGIN
        bottom = max(bottom, y)
    return x, bottom


def _columns(sheets: Sequence[_Figure | _List], tallest: float) -> list[list[_Figure | _List]]:
    columns: list[list[_Figure | _List]] = [[sheets[0]]]
    for sheet in sheets[1:]:
        filled = sum(other.height + MARGIN for other in columns[-1])
        if len(columns) == 1 or filled + sheet.height > tallest:
            columns.append([])
        columns[-1].append(sheet)
    return columns


def _ratio(columns: Sequence[Sequence[_Figure | _List]]) -> float:
    width = sum(max(sheet.width for sheet in column) + MARGIN for column in columns)
    return width / max(sum(sheet.height + MARGIN for sheet in column) for column in columns)


class _Figure:
    """A panel with its layout."""

    def __init__(self, panel: Panel, decisions: Architecture, *, heading: bool) -> None:
        count = len(panel.subject.calls)
        self.title = panel.title + (f" ×{count}" if count > 1 else "")
        self._chips = _chips(panel.subject.labels, decisions, most=40)
        self._cards = [_Card(box, panel.subject.calls[0].path, decisions) for box in panel.boxes]
        places = {box: index for index, box in enumerate(panel.boxes)}
        edges = [(places[one], places[box]) for box in panel.boxes for one in box.inputs]
        self._layout: Layout = layered([card.size for card in self._cards], edges, tallest=TALLEST)
        self._loose = {places[box] for box in panel.boxes if box.loose}
        headings = [text_width(self.title, 13, bold=True), *(text_width(chip, 10) for chip in self._chips)]
        self._heading = heading
        self._top = HEAD + SMALL_LINE * len(self._chips) if heading else MARGIN
        self.width = max([self._layout.width, *(headings if heading else [])]) + 2 * MARGIN
        self.height = self._layout.height + self._top + MARGIN

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        canvas.rect(x, y, self.width, self.height, "panel", 8)
        if self._heading:
            canvas.text(x + MARGIN, y + 22, self.title, "head")
            for index, chip in enumerate(self._chips):
                canvas.text(x + MARGIN, y + 36 + index * SMALL_LINE, chip, "small accent")
        left = x + (self.width - self._layout.width) / 2
        top = y + self._top
        for route in self._layout.routes:
            style = "loose" if route.target in self._loose else "edge"
            canvas.arrow([(left + px, top + py) for px, py in route.points], style)
        for card, (px, py) in zip(self._cards, self._layout.places, strict=True):
            card.paint(canvas, left + px, top + py)


@dataclass(frozen=True)
class _Line:
    """A line of text in a card: main words and lesser ones behind them."""

    text: str
    behind: str = ""
    style: str = ""
    size: float = 12.0

    @property
    def height(self) -> float:
        return LINE if self.size >= 12 else SMALL_LINE

    @property
    def width(self) -> float:
        gap = 6.0 if self.behind else 0.0
        return text_width(self.text, self.size, bold="bold" in self.style) + gap + text_width(self.behind, self.size)


class _Card:
    """A box with its size."""

    def __init__(self, box: Box, base: str, decisions: Architecture) -> None:
        self._box = box
        self._lines = [_Line(row.title, row.detail, _style(row)) for row in box.rows]
        if box.role != "box":
            self._lines = [_Line(row.title, row.detail, "dim" if box.role == "port" else "bold") for row in box.rows]
        caption = _caption(box, base)
        if caption and box.role == "box":
            self._lines.insert(0, _Line(caption, style="small dim", size=10))
        self._lines += [_Line(chip, style="small accent", size=10) for chip in _chips(box.labels, decisions)]
        if box.shape and box.role != "pill":
            self._lines.append(_Line(box.shape, style="small dim", size=10))
        inner = max(line.width for line in self._lines)
        pad = PAD if box.role == "box" else 4.0
        self._pad = pad
        self._inner = (inner + 2 * PAD, sum(line.height for line in self._lines) + 2 * pad)
        self._badge = f"×{box.count}" if box.count > 1 else ""
        extra = text_width(self._badge, 13, bold=True) + 10 if self._badge else 0.0
        self._side = extra
        # The badge stands on both sides in the layout, so that arrows meet the middle of the box.
        self.size: Point = (self._inner[0] + 2 * extra, self._inner[1])

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        box, (width, height) = self._box, self._inner
        x += self._side
        canvas.open(title=", ".join(box.covers))
        if self._badge:
            for shift in (6, 3):
                canvas.rect(x + shift, y + shift, width, height, "stack")
            canvas.text(x + width + 10, y + height / 2 + 5, self._badge, "head")
        style = "chosen" if box.labels else "defined" if any(row.kind for row in box.rows) else "box"
        canvas.rect(x, y, width, height, style if box.role == "box" else "pill", 5 if box.role == "box" else height / 2)
        line_y = y + self._pad
        for line in self._lines:
            base = line_y + line.height - (4 if line.size >= 12 else 3.5)
            if box.role == "box":
                canvas.text(x + PAD, base, line.text, line.style)
                if line.behind:
                    canvas.text(x + width - PAD, base, line.behind, "dim end")
            else:
                canvas.text(x + width / 2, base, line.text, f"{line.style} middle")
            line_y += line.height
        canvas.close()


def _style(row: Row) -> str:
    return "bold link" if row.kind is not None else "" if row.light else "bold"


def _caption(box: Box, base: str) -> str:
    """Where a box is in its panel's module: `cells.1`, or `cells.1–6` for a repeated one."""
    path, last = (p.removeprefix(base).lstrip(".") if base else p for p in (box.path, box.last))
    if box.count > 1 and path != last:
        return shortened(merged_label([path, last]), LETTERS)
    return shortened(path, LETTERS)


def _chips(labels: Sequence[str], decisions: Architecture, most: int = CHIPS) -> list[str]:
    """`label = value` for each decision; labels that differ in numbers alone, and have one value, in one line."""
    groups: dict[tuple[Hashable, str], list[str]] = {}
    for label in labels:
        groups.setdefault((family(label, labels), written(decisions[label])), []).append(label)
    chips = [f"{shortened(merged_label(own), LETTERS)} = {shortened(v, LETTERS)}" for (_, v), own in groups.items()]
    return chips if len(chips) <= most else [*chips[: most - 1], f"and {len(chips) - most + 1} more decisions"]


class _List:
    """The list of all decisions."""

    title = "Decisions"

    def __init__(self, decisions: Architecture) -> None:
        entries = [(label, written(value)) for label, value in decisions.items()]
        self._columns = [entries[i : i + LIST_ROWS] for i in range(0, len(entries), LIST_ROWS)]
        self._widths = [
            (max(text_width(a) for a, _ in column), max(text_width(b, bold=True) for _, b in column))
            for column in self._columns
        ]
        self.width = max(sum(a + b + 12 + 24 for a, b in self._widths) - 24, 80.0) + 2 * MARGIN
        self.height = HEAD + LINE * max(map(len, self._columns)) + MARGIN

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        canvas.rect(x, y, self.width, self.height, "panel", 8)
        canvas.text(x + MARGIN, y + 22, self.title, "head")
        x += MARGIN
        for column, (one, other) in zip(self._columns, self._widths, strict=True):
            for index, (label, value) in enumerate(column):
                base = y + HEAD + LINE * index + 12
                canvas.text(x, base, label)
                canvas.text(x + one + 12, base, value, "bold accent")
            x += one + other + 12 + 24
