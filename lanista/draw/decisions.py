"""Pictures of search spaces: decisions with their candidates, and what depends on what."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from lanista.draw.label import merged_label, written
from lanista.draw.svg import Canvas, shortened, text_width
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical, Domain, Integer, Real, Subset, Value, key
from lanista.space.search import SearchSpace, format_size

MARGIN, INDENT, GAP = 16.0, 20.0, 6.0
CHIP, TALL = 20.0, 26.0
"""Heights of a candidate and of a line of candidates; pixels."""

CANDIDATES, LETTERS = 24, 30
"""A row shows so many candidates, each in so many letters."""

WIDEST = 420.0
"""Width of a line of candidates."""

ROWS_HIGH = 900.0
"""Height of a column of rows."""


@dataclass(eq=False)
class _Row:
    """Decisions that differ in the numbers in their labels alone.

    Attributes:
        domain: of all; where candidates are positions (0, 1, ...), the largest one.
        condition: in words.
        fewest: the least number of candidates.
        children: rows that depend on this one.
    """

    labels: list[str]
    domain: Domain
    condition: str
    fewest: int
    children: list[_Row] = field(default_factory=list)


def space(decisions: SearchSpace, architecture: Mapping[str, Value] | None = None) -> str:
    """Draw a search space as SVG text.

    A row is a decision, or, as in `blocks/0–13/op ×14`, several that differ in the numbers in their labels alone. What
    depends on a decision stands below it, with the answers under which it exists. The default has a strong rim; a bar
    below a candidate is its prior.

    Args:
        decisions: the space, such as `ModelSpace.decisions`.
        architecture: marks the candidates that are chosen, and how often in a row of several decisions; rows of which
            no decision is active are pale.

    Raises:
        ArchitectureError: the architecture does not fit the space.
    """
    chosen = None if architecture is None else decisions.validate(architecture)
    cards = [card for row in _rows(decisions) for card in _cards(row, 0, chosen)]
    canvas = Canvas()
    title = "Search space" if chosen is None else "Architecture in its search space"
    facts = f"{len(decisions)} decisions, {format_size(decisions.size)} architectures"
    canvas.text(MARGIN, MARGIN + 14, title, "big")
    canvas.text(MARGIN, MARGIN + 32, facts, "dim")
    legend = "strong rim: default" + ("" if chosen is None else " · filled: chosen")
    canvas.text(MARGIN, MARGIN + 48, legend, "small dim")
    width, height = _paint(canvas, cards, MARGIN + 64)
    width = max(width, text_width(title, 17, bold=True) + 2 * MARGIN, text_width(facts) + 2 * MARGIN)
    return canvas.document(width, height, title, f"{facts}: {', '.join(decisions.labels)}")


def _rows(decisions: SearchSpace) -> list[_Row]:
    """The rows at the top, with those that depend on them inside."""
    rows: dict[Hashable, _Row] = {}
    of: dict[str, _Row] = {}
    top: list[_Row] = []
    for decision in decisions:
        same = (re.sub(r"\d+", "#", decision.label), _shape(decision.domain), _condition(decision, numbers=False))
        row = rows.get(same)
        if row is None:
            row = rows[same] = _Row([], decision.domain, _condition(decision, numbers=True), decision.domain.width)
            # The last of those that it depends on: the others are above that one, or in the words.
            known = [label for clause in decision.when[:1] for label in clause]
            parent = max(known, key=list(of).index, default=None)
            (top if parent is None else of[parent].children).append(row)
        elif row.condition != _condition(decision, numbers=True):
            row.condition = _condition(decision, numbers=False).replace("#", "…")
        if decision.domain.width > row.domain.width:
            row.domain = decision.domain
        row.fewest = min(row.fewest, decision.domain.width)
        row.labels.append(decision.label)
        of[decision.label] = row
    return top


def _shape(domain: Domain) -> str:
    """What domains in one row have in common; how many positions (of inputs) there are may differ."""
    data = domain.to_json()
    options = data.get("options")
    if options and options == list(range(len(options))) and not any(isinstance(one, bool) for one in options):
        data["options"] = "positions"
    return json.dumps(data, sort_keys=True)


def _condition(decision: Decision, *, numbers: bool) -> str:
    """When a decision exists, in words; without `numbers`, as decisions that are in one row have it in common."""

    def said(label: str) -> str:
        return label if numbers else re.sub(r"\d+", "#", label)

    clauses = [
        " and ".join(f"{said(label)} = {' or '.join(map(written, values))}" for label, values in clause.items())
        for clause in decision.when
    ]
    return "if " + ", or ".join(clauses) if clauses else ""


@dataclass(frozen=True)
class _Chip:
    """A candidate as it is painted."""

    text: str
    style: str
    weight: float
    width: float


class _Card:
    """A row with its size."""

    def __init__(self, row: _Row, depth: int, chosen: Architecture | None) -> None:
        self.depth, self.row = depth, row
        self.pale = chosen is not None and not any(label in chosen for label in row.labels)
        self.name = shortened(merged_label(row.labels), 2 * LETTERS)
        self.times = f"×{len(row.labels)}" if len(row.labels) > 1 else ""
        self.condition = shortened(row.condition, 4 * LETTERS)
        values = None if chosen is None else [chosen[label] for label in row.labels if label in chosen]
        self.chips = _wrapped(_chips(row.domain, values))
        self.note = _note(row)
        self.head = 20.0 + (14.0 if self.condition else 0.0)
        self.height = self.head + TALL * len(self.chips) + 8.0
        head = text_width(self.name, bold=True) + text_width(f"  {self.times}  {self.note}") + 16
        lines = [sum(chip.width + GAP for chip in line) for line in self.chips]
        self.width = depth * INDENT + max(head, *lines, text_width(self.condition, 10)) + 2 * GAP

    def paint(self, canvas: Canvas, x: float, y: float) -> None:
        x += self.depth * INDENT
        canvas.open(title=", ".join(self.row.labels), style="off" if self.pale else "")
        canvas.text(x, y + 13, self.name, "bold")
        at = x + text_width(self.name, bold=True) + 8
        if self.times:
            canvas.text(at, y + 13, self.times, "bold link")
            at += text_width(self.times, bold=True) + 8
        canvas.text(at, y + 13, self.note, "small dim")
        if self.condition:
            canvas.text(x, y + 27, self.condition, "small accent")
        for index, line in enumerate(self.chips):
            left, top = x, y + self.head + index * TALL
            for chip in line:
                if chip.style:
                    canvas.rect(left, top, chip.width, CHIP, chip.style, 4)
                canvas.text(left + chip.width / 2, top + 14, chip.text, "middle" if chip.style else "middle dim")
                if chip.weight:
                    canvas.rect(left, top + CHIP + 1, chip.width * chip.weight, 3, "bar", 1)
                left += chip.width + GAP
        canvas.close()


def _cards(row: _Row, depth: int, chosen: Architecture | None) -> list[_Card]:
    return [_Card(row, depth, chosen), *(card for child in row.children for card in _cards(child, depth + 1, chosen))]


def _chips(domain: Domain, values: Sequence[Value] | None) -> list[_Chip]:
    """The candidates, or the range; what is chosen is marked, with how often if there are several answers."""
    match domain:
        case Subset():
            picked = [part for value in values or () for part in value]
            return _options(domain.options, domain.prior, domain.default(), picked, several=len(values or ()) > 1)
        case Categorical():
            return _options(domain.options, domain.prior, [domain.default()], values or (), several=True)
        case Integer() if domain.size <= CANDIDATES // 2:
            return _options(domain.grid(), None, [domain.default()], values or (), several=True)
        case Integer() | Real():
            often = Counter(map(written, values or ()))
            several = values is not None and len(values) > 1
            marks = [_chip(f"{v} ×{n}" if several else v, "chosen") for v, n in often.most_common(CANDIDATES // 3)]
            ends = [_chip(written(domain.low), "box"), _chip("…", ""), _chip(written(domain.high), "box")]
            start = _chip(f"default {written(domain.default())}", "box strong")
            return [*ends, start, *marks]
        case _:
            return [_chip(domain.describe(), "box")]


def _options(
    options: Sequence[Value],
    prior: Sequence[float] | None,
    default: Sequence[Value],
    picked: Sequence[Value],
    *,
    several: bool,
) -> list[_Chip]:
    """A chip for each candidate; `several` architectures picked: it says how often, if not all the same."""
    counts = Counter(map(key, picked))
    defaults = set(map(key, default))
    chips = []
    for index, option in enumerate(options):
        count = counts[key(option)]
        many = f" ×{count}" if count and several and len(picked) > 1 else ""
        style = ("chosen" if count else "box") + (" strong" if key(option) in defaults else "")
        chips.append(_chip(written(option) + many, style, prior[index] / max(prior) if prior else 0.0))
    left_out = len(chips) - CANDIDATES
    return chips if left_out <= 1 else [*chips[: CANDIDATES - 1], _chip(f"and {left_out + 1} more", "")]


def _chip(text: str, style: str, weight: float = 0.0) -> _Chip:
    text = shortened(text, LETTERS)
    return _Chip(text, style, weight, max(text_width(text) + 12, CHIP))


def _wrapped(chips: Sequence[_Chip]) -> list[list[_Chip]]:
    lines: list[list[_Chip]] = [[]]
    for chip in chips:
        if lines[-1] and sum(other.width + GAP for other in lines[-1]) + chip.width > WIDEST:
            lines.append([])
        lines[-1].append(chip)
    return lines


def _note(row: _Row) -> str:
    """What a row says of its domain beside the candidates."""
    domain = row.domain
    count = f"{domain.width}" if row.fewest == domain.width else f"the first {row.fewest} to {domain.width}"
    match domain:
        case Categorical():
            return f"one of {count}" + (", with a prior" if domain.prior else "")
        case Subset():
            least, most = domain.counts[0], domain.counts[-1]
            chosen = "any" if domain.n_chosen is None else f"{least}" if least == most else f"{least} to {most}"
            return f"{chosen} of {count}" + (", with a prior" if domain.prior else "")
        case Integer():
            step = f" in steps of {domain.step}" if domain.step > 1 else ""
            return f"{domain.size:,} integers{step}" + (", log scale" if domain.log else "")
        case Real():
            return "real" + (", log scale" if domain.log else "")
        case _:
            return ""


def _paint(canvas: Canvas, cards: Sequence[_Card], top: float) -> tuple[float, float]:
    """Paint rows in columns, which break before a row at the top; give width and height of the whole."""
    total = sum(card.height for card in cards)
    tallest = total / max(1, round(total / ROWS_HIGH))
    columns: list[list[_Card]] = [[]]
    for card in cards:
        filled = sum(other.height for other in columns[-1])
        if card.depth == 0 and filled + card.height / 2 > tallest:
            columns.append([])
        columns[-1].append(card)
    x, bottom = MARGIN, top
    for column in columns:
        width = max((card.width for card in column), default=0.0) + 2 * MARGIN
        height = sum(card.height for card in column) + MARGIN
        canvas.rect(x, top, width, height, "panel", 8)
        y = top + MARGIN / 2
        above: dict[int, float] = {}
        for card in column:
            left = x + MARGIN + (card.depth - 1) * INDENT + 6
            if card.depth:
                canvas.line([(left, above[card.depth - 1]), (left, y + 9), (left + INDENT - 10, y + 9)], "edge")
            card.paint(canvas, x + MARGIN, y)
            above[card.depth] = y + card.height - 6
            y += card.height
        x += width + MARGIN
        bottom = max(bottom, top + height)
    return x, bottom + MARGIN
