"""Outcomes of single runs, kept as soon as they are there, so that an interrupted proof goes on where it stopped."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any


class Kept:
    """Files of outcomes, each a line of JSON with its seed.

    Args:
        folder: where they are. What is there of another mark is deleted.
        mark: changes with whatever changes the outcomes.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        known = folder / "fingerprint"
        if not known.exists() or known.read_text() != mark:
            for old in folder.glob("*.json*"):
                old.unlink()
            known.write_text(mark)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A file's outcomes in the order of the seeds; a line that a kill cut off is left out."""
        path = self.folder / f"{name}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        outcomes = [json.loads(line) for line in lines if line.endswith("}")]
        return sorted(outcomes, key=lambda outcome: outcome["seed"])

    def append(self, name: str, outcomes: list[dict[str, Any]]) -> None:
        """Write down what some seeds reached."""
        path = self.folder / f"{name}.jsonl"
        cut = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a") as out:
            out.write("\n" * cut + "".join(json.dumps(outcome) + "\n" for outcome in outcomes))


def mark(*parts: str) -> str:
    """A fingerprint of texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sources(name: str) -> list[str]:
    """The source of a module, and of those of the same package that it has names from, and so on."""
    package = name.rpartition(".")[0] + "."
    reached, waiting = set(), {name}
    while waiting:
        reached.add(module := waiting.pop())
        for value in vars(sys.modules[module]).values():
            home = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
            if isinstance(home, str) and home.startswith(package) and home not in reached:
                waiting.add(home)
    return [inspect.getsource(sys.modules[module]) for module in sorted(reached)]
