"""Ready model spaces from the literature."""

from lanista.hub.catalog import Entry, Known

CATALOG: dict[str, Entry] = {}
"""Every space of the hub by name."""

__all__ = ["CATALOG", "Entry", "Known"]
