"""Reads pictures back: boxes, arrows and text with their places."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

SPACE = "{http://www.w3.org/2000/svg}"
BOXES = {"box", "chosen", "defined", "pill"}


@dataclass(frozen=True)
class Rect:
    x: float
    y: float
    width: float
    height: float
    kind: str

    def overlaps(self, other):
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def holds(self, other):
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width + 0.2
            and other.y + other.height <= self.y + self.height + 0.2
        )


def parse(text):
    root = ET.fromstring(text)
    assert root.tag == f"{SPACE}svg"
    assert root.find(f"{SPACE}title").text and root.find(f"{SPACE}desc").text
    return root


def rects(root, kinds=BOXES):
    found = []
    for rect in root.iter(f"{SPACE}rect"):
        names = set(rect.get("class", "").split())
        if names & kinds:
            place = (float(rect.get(name, 0)) for name in ("x", "y", "width", "height"))
            found.append(Rect(*place, (names & kinds).pop()))
    return found


def arrows(root):
    """(first point, last point) of each arrow; the last is the tip's."""
    found = []
    for path, tip in zip(root.iter(f"{SPACE}path"), list(root.iter(f"{SPACE}path"))[1:], strict=False):
        if path.get("class") in ("edge", "loose"):
            start = re.match(r"M(-?[\d.]+) (-?[\d.]+)", path.get("d")).groups()
            end = re.search(r"L(-?[\d.]+) (-?[\d.]+)L", tip.get("d")).groups()
            found.append((tuple(map(float, start)), tuple(map(float, end))))
    return found


def words(root):
    """All text, also what a pointer shows."""
    return [
        node.text for node in root.iter() if node.tag in (f"{SPACE}text", f"{SPACE}title", f"{SPACE}desc") and node.text
    ]


def check(text):
    """The laws of every picture; gives its parsed root."""
    root = parse(text)
    boxes = rects(root)
    for i, one in enumerate(boxes):
        assert not [other for other in boxes[i + 1 :] if one.overlaps(other)], one
    sheets = rects(root, {"panel"})
    assert all(any(sheet.holds(box) for sheet in sheets) for box in boxes)
    page = rects(root, {"page"})[0]
    assert all(page.holds(sheet) for sheet in sheets)
    assert not [one for i, one in enumerate(sheets) for other in sheets[i + 1 :] if one.overlaps(other)]
    for (x, y), (end_x, end_y) in arrows(root):
        assert any(abs(box.y + box.height - y) < 0.2 and box.x <= x <= box.x + box.width for box in boxes), (x, y)
        assert any(abs(box.y - end_y) < 0.2 and box.x <= end_x <= box.x + box.width for box in boxes), (end_x, end_y)
    return root
