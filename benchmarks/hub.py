"""Figures of every space of the hub: `python benchmarks/hub.py [NAME ...]` writes docs/hub.jsonl.

Each space is traced in a process of its own, for its time and memory. Least and greatest costs are exact where a cost
turns out to be a sum over decisions; otherwise, and for medians, random architectures are looked at.
"""

from __future__ import annotations

import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from lanista import hub
from lanista.hub import Entry
from lanista.model import ModelSpace
from lanista.profile import Measure, macs, parameters
from lanista.space.limit import Sum

RECORD = Path(__file__).parent.parent / "docs" / "hub.jsonl"
SAMPLES = 100


def spread(space: ModelSpace, measure: Measure, seconds: float) -> dict[str, object]:
    """Least, median and greatest amount; exact ends where they can be learnt in about so many seconds."""
    start = time.perf_counter()
    values = []
    for seed in range(SAMPLES):
        values.append(measure(space.sketch(space.sample(seed)), space.example_input).value)
        if time.perf_counter() - start > seconds and seed >= 20:
            break
    each = (time.perf_counter() - start) / len(values)
    least, greatest, exact = min(values), max(values), False
    choices = sum(min(decision.domain.size, 7) for decision in space.decisions)
    if math.isfinite(choices) and each * choices * 3 < seconds:
        cost = space.cost(measure)
        if isinstance(cost, Sum):
            ends = space.explain(measure).ranges[0]
            least, greatest, exact = ends.least, ends.greatest, ends.exact
    return {"least": least, "median": statistics.median(values), "greatest": greatest, "exact": exact}


def figures(entry: Entry) -> dict[str, object]:
    """All figures of one space, in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    space = entry.space()
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    known = []
    for one in entry.known:
        model = entry.space(**one.settings)
        sketch = model.sketch(one.architecture)
        known.append(
            {
                "name": one.name,
                "source": one.source,
                "accuracy": one.accuracy,
                "note": one.note,
                "parameters": parameters(sketch).value,
                "published_parameters": one.parameters,
                "macs": macs(sketch, model.example_input).value,
                "published_macs": one.macs,
            }
        )
    return {
        "name": entry.name,
        "paper": entry.paper,
        "url": entry.url,
        "decisions": len(space.decisions),
        "size": str(space.decisions.size),
        "published_size": entry.size,
        "trace_seconds": round(seconds, 2),
        "trace_mib": round(grown),
        "parameters": spread(space, parameters, 60),
        "macs": spread(space, macs, 60),
        "known": known,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        torch.set_num_threads(1)
        print(json.dumps(figures(hub.CATALOG[sys.argv[2]])))
        sys.exit()
    old = [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.exists() else []
    found = {line["name"]: line for line in old}
    for name in sys.argv[1:] or hub.CATALOG:
        run = subprocess.run([sys.executable, __file__, "--one", name], stdout=subprocess.PIPE, text=True, check=True)
        found[name] = json.loads(run.stdout)
        print(run.stdout, flush=True)
        RECORD.write_text("".join(json.dumps(found[name]) + "\n" for name in hub.CATALOG if name in found))
