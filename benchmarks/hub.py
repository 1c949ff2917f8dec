"""Figures of every space of the hub: `python benchmarks/hub.py [--trace] [NAME ...]` writes docs/hub.jsonl.

Each space is traced in a process of its own, for its time and memory; with `--trace` only that is done again. Least
and greatest costs are exact where a cost turns out to be a sum over decisions; otherwise, and for medians, random
architectures are looked at.
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
SECONDS = 30
"""About so long each cost is sampled, and learnt."""


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


def traced(entry: Entry) -> dict[str, object]:
    """Seconds and memory that it takes to make the space."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    entry.space()
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"trace_seconds": round(seconds, 2), "trace_mib": round(grown)}


def figures(entry: Entry) -> dict[str, object]:
    """All other figures."""
    space = entry.space()
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
        "parameters": spread(space, parameters, SECONDS),
        "macs": spread(space, macs, SECONDS),
        "known": known,
    }


STEPS = {"--traced": traced, "--figures": figures}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in STEPS:
        torch.set_num_threads(1)
        print(json.dumps(STEPS[sys.argv[1]](hub.CATALOG[sys.argv[2]])))
        sys.exit()
    old = [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.exists() else []
    found = {line["name"]: line for line in old}
    names = [name for name in sys.argv[1:] if name != "--trace"]
    for name in names or hub.CATALOG:
        for step in ["--traced"] if "--trace" in sys.argv else STEPS:
            command = [sys.executable, __file__, step, name]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name] = {**found.get(name, {}), **json.loads(run.stdout)}
        print(json.dumps(found[name]), flush=True)
        RECORD.write_text("".join(json.dumps(found[name]) + "\n" for name in hub.CATALOG if name in found))
