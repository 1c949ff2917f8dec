"""Ready model spaces from the literature."""

from lanista.hub import enas, genotype, nasbench101, nasbench201
from lanista.hub.catalog import Entry, Known
from lanista.hub.enas import ENASMacro
from lanista.hub.nasbench101 import NASBench101
from lanista.hub.nasbench201 import NASBench201
from lanista.hub.nds import DARTS, ENAS, PNAS, AmoebaNet, NASNet

CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entries in (
        nasbench101.ENTRIES,
        nasbench201.ENTRIES,
        genotype.ENTRIES,
        enas.ENTRIES,
    )
    for entry in entries
}
"""Every space of the hub by name."""

__all__ = [
    "CATALOG",
    "DARTS",
    "ENAS",
    "PNAS",
    "AmoebaNet",
    "ENASMacro",
    "Entry",
    "Known",
    "NASBench101",
    "NASBench201",
    "NASNet",
]
