"""Writes the generated pages of the documentation: `make docs`. A test compares them with what this gives."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from lanista import draw

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # where a test loads this file

import cards  # noqa: E402
import shared  # noqa: E402


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


def amount(value: float | None) -> str:
    """A number of parameters or operations: `3.35 M`."""
    if value is None:
        return "-"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value / size < 1000 else f"{value / size:,.0f} {unit}"
    return f"{value:,.0f}"


def size(value: str | float) -> str:
    """A number of architectures."""
    number = Decimal(str(value))
    return f"{number:,.0f}" if number < 10**7 else f"{number:.1e}"


def spread(figures: dict) -> str:
    """Least, median and greatest; those that were only seen in samples are marked."""
    mark = "" if figures["exact"] else " \\*"
    return f"{amount(figures['least'])} / {amount(figures['median'])} / {amount(figures['greatest'])}{mark}"


def beside(ours: float, published: float | None) -> str:
    """Our number, the published one, and the difference."""
    if published is None:
        return amount(ours)
    return f"{amount(ours)} ({amount(published)}, {100 * (ours - published) / published:+.2f} %)"


def hub() -> str:
    """The spaces of the hub, and the architectures in them that have published numbers."""
    spaces = [json.loads(line) for line in (HERE / "hub.jsonl").read_text().splitlines()]
    rows, known = [], []
    for space in spaces:
        published = "" if space["published_size"] is None else f" ({size(space['published_size'])})"
        rows.append(
            f"| `{space['name']}` | [{space['paper']}]({space['url']}) | {space['decisions']} | "
            f"{size(space['size'])}{published} | {spread(space['parameters'])} | {spread(space['macs'])} | "
            f"{space['trace_seconds']:.1f} s, {space['trace_mib']} MiB |"
        )
        known += [
            f"| {one['name']} | `{space['name']}` | {beside(one['parameters'], one['published_parameters'])} | "
            f"{beside(one['macs'], one['published_macs'])} | {one['accuracy']} | "
            f"{'. '.join(filter(None, [one['source'], one['note']]))} |"
            for one in space["known"]
        ]
    return "\n".join(
        [
            "<!-- Made by `make docs` from docs/hub.jsonl (`python benchmarks/hub.py`); do not edit. -->\n",
            "# The hub\n",
            "Model spaces from the literature, ready to search: `lanista.hub.DARTS()` is a `ModelSpace`. Sizes count",
            "architectures exactly (in brackets: as the paper says it). Parameters and multiply-accumulates (MACs, in",
            "most papers: FLOPs) are least / median / greatest, with the default settings and one input; \\* marks",
            "ends that random architectures showed, where no exact count was made. The last column is the tracing.",
            "A cell can be written in many ways; `lanista.space.dag` counts the 423,624 distinct ones of",
            "NAS-Bench-101.\n",
            "| space | paper | decisions | architectures | parameters | MACs | tracing |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "\n## Known architectures\n",
            "Ours, and in brackets the published number and the difference. `lanista.hub.known(name)` gives space and",
            "architecture.",
            "Accuracies are the published ones; nothing was trained here.\n",
            "| architecture | space | parameters | MACs | accuracy | source and notes |",
            "|---|---|---|---|---|---|",
            *known,
            "",
        ]
    )


def guide() -> dict[str, Any]:
    """What the first block of code of the guide defines."""
    code = (HERE / "guide.md").read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "guide.md", "exec"), names)
    return names


def architecture() -> str:
    """The picture of an architecture of the guide's space."""
    return draw.architecture(guide()["space"], {"width": 32, "body": "wide", "factor": 4, "depth": 2, "skip": [0, 1]})


def space() -> str:
    """The picture of the guide's space."""
    return draw.space(guide()["space"].decisions)


PAGES = {
    "cli.md": cli,
    "benchmarks.md": benchmarks,
    "hub.md": hub,
    "architecture.svg": architecture,
    "space.svg": space,
    **cards.pages(),
    **shared.pages(),
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
