"""The memory of this process, in MiB."""

from __future__ import annotations

import re
import resource
from pathlib import Path

PROCESS = Path("/proc/self")


def now() -> float:
    """What is resident; 0 where the system does not say it."""
    return _read("VmRSS") if PROCESS.exists() else 0.0


def forget() -> None:
    """Let `peak` begin anew, where the system can (Linux)."""
    if PROCESS.exists():
        (PROCESS / "clear_refs").write_text("5")


def peak() -> float:
    """The most that was resident at a time since `forget`, or since the process began."""
    # On Linux, ru_maxrss of a process begins with that of the one that started it.
    return _read("VmHWM") if PROCESS.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _read(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", (PROCESS / "status").read_text())
    return int(found[1]) / 1024 if found else 0.0
