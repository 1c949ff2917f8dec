"""The catalogue of the hub: every space, and the architectures in them that have names."""

from __future__ import annotations

import difflib

from lanista.errors import SpaceError
from lanista.hub import (
    autoformer,
    decoder,
    enas,
    fbnet,
    genotype,
    mnasnet,
    mobilenetv3,
    nasbench101,
    nasbench201,
    ofa,
    proxylessnas,
    shufflenetv2,
)
from lanista.hub.catalog import Entry
from lanista.model import ModelSpace
from lanista.space.domain import Architecture

CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entries in (
        nasbench101.ENTRIES,
        nasbench201.ENTRIES,
        genotype.ENTRIES,
        enas.ENTRIES,
        proxylessnas.ENTRIES,
        mnasnet.ENTRIES,
        fbnet.ENTRIES,
        shufflenetv2.ENTRIES,
        mobilenetv3.ENTRIES,
        ofa.ENTRIES,
        autoformer.ENTRIES,
        decoder.ENTRIES,
    )
    for entry in entries
}
"""Every space of the hub by name."""


def known(name: str) -> tuple[ModelSpace, Architecture]:
    """A published architecture: the space that it is in, and its answers there.

    `space, architecture = known("DARTS-V2")`, and `space.build(architecture)` is the network, with new weights.

    Args:
        name: as in docs/hub.md, or in the catalogue: `[one.name for one in CATALOG["DARTS"].known]`.

    Raises:
        SpaceError: there is none of this name.
    """
    found = {one.name: (entry, one) for entry in CATALOG.values() for one in entry.known}
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SpaceError(f"there is no known architecture {name!r}{hint} There are {', '.join(found)}")
    entry, one = found[name]
    return entry.space(**one.settings), dict(one.architecture)
