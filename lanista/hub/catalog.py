"""What the hub knows of a space: its paper, and architectures with published numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lanista.model import ModelSpace
from lanista.space.domain import Value


@dataclass(frozen=True)
class Known:
    """An architecture with published numbers.

    Attributes:
        name: as the field calls it, such as "DARTS-V2".
        architecture: label -> value, in the space that `settings` make.
        source: where the numbers were published: paper and table, or repository.
        settings: keyword arguments for the entry's space function.
        parameters: as published, or None.
        macs: multiply-accumulates of one forward pass of one input ("FLOPs" in most papers), as published, or None.
        accuracy: as published, in words: "97.24 % on CIFAR-10"; empty if none.
        note: what the published count leaves out or adds, where it matters; empty if nothing.
    """

    name: str
    architecture: Mapping[str, Value]
    source: str
    settings: Mapping[str, object] = field(default_factory=dict)
    parameters: float | None = None
    macs: float | None = None
    accuracy: str = ""
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """A space of the hub.

    Attributes:
        name: of the space function in `lanista.hub`.
        space: the function; all its arguments have defaults, and its ModelSpace has an example input of batch 1.
        paper: authors, title, year.
        url: of the paper.
        size: number of architectures as the paper states it, or None.
        known: architectures with published numbers.
    """

    name: str
    space: Callable[..., ModelSpace]
    paper: str
    url: str
    size: float | None = None
    known: tuple[Known, ...] = ()
