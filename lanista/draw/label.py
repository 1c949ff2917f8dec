"""Labels and values in few letters."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from itertools import pairwise

from lanista.space.domain import Value


def family(label: str, labels: Sequence[str]) -> Hashable:
    """What labels share that may be merged: all but the last number in which any of the labels differ."""
    pieces = _split(label)
    alike = [other for other in map(_split, labels) if other[::2] == pieces[::2]]
    differing = [i for i in range(1, len(pieces), 2) if any(other[i] != pieces[i] for other in alike)]
    return tuple("#" if i in differing[-1:] else piece for i, piece in enumerate(pieces))


def _split(label: str) -> list[str]:
    return re.split(r"(\d+)", label)


def merged_label(labels: Sequence[str]) -> str:
    """Labels that differ in numbers alone as one: `cells.1–6`, `blocks/0,2/kernel`."""
    pieces = [_split(label) for label in labels]
    return "".join(
        _numbers([int(piece) for piece in column]) if index % 2 else column[0]
        for index, column in enumerate(zip(*pieces, strict=True))
    )


def _numbers(values: Sequence[int]) -> str:
    different = sorted(set(values))
    if (len(different) > 2 and all(b - a == 1 for a, b in pairwise(different))) or len(different) == 2:
        return f"{different[0]}–{different[-1]}"
    return ",".join(map(str, different))


def written(value: Value) -> str:
    """A value in few letters: strings without quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
