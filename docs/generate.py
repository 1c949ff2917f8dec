"""Writes the generated pages of the documentation: `make docs`. A test compares them with what this gives."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def cli() -> str:
    """The reference of the command line."""
    command = [sys.executable, "-m", "typer", "lanista.cli", "utils", "docs", "--name", "lanista"]
    page = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    note = "<!-- Made by `make docs` from lanista/cli.py; do not edit. -->\n\n"
    return note + html.unescape(page).strip() + "\n"


def said(value: object) -> str:
    """A figure for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {said(part)}" for name, part in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(map(said, value)) or "none"
    if isinstance(value, float) and value < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def benchmarks() -> str:
    """The recorded figures as a table."""
    lines = [json.loads(line) for line in (HERE / "benchmarks.jsonl").read_text().splitlines()]
    rows = []
    for line in lines:
        if "command" in line:
            rows += [
                f"\n`{line['command']}` on {line['machine']}, {line['date']}, "
                f"Python {line['python']}, torch {line['torch']}:\n",
                "| figure | value | limit | details |",
                "|---|---|---|---|",
            ]
            continue
        details = ", ".join(
            f"{name.replace('_', ' ')} {said(value)}"
            for name, value in line.items()
            if name not in ("name", "value", "unit", "limit")
        )
        rows.append(f"| {line['name']} | {said(line['value'])} {line['unit']} | {line.get('limit', '')} | {details} |")
    return (
        "<!-- Made by `make docs` from docs/benchmarks.jsonl; do not edit. -->\n\n# Benchmarks\n\n"
        "What the commands of `benchmarks/` printed when they were last recorded. Machines differ and are noisy:\n"
        "compare ratios and orders of magnitude, and run the command on yours.\n" + "\n".join(rows) + "\n"
    )


PAGES = {"cli.md": cli, "benchmarks.md": benchmarks}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
