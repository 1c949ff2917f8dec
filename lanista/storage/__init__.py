"""Where experiments are remembered: `Storage` and the records that it gives."""

from lanista.storage.record import Direction, Entry, Record, Summary
from lanista.storage.sql import Storage

__all__ = ["Direction", "Entry", "Record", "Storage", "Summary"]
