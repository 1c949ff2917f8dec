"""Proves one-shot methods: a real supernet on real images, and what it finds looked up in the table of NAS-Bench-201.

    python benchmarks/sharing.py [method ...] [--seeds 3] [--processes 2] [--data FILE] [--epochs N]
    python benchmarks/sharing.py SPOS Sandwich --size long --seeds 1
    python benchmarks/sharing.py --size full --data cifar-10-batches-py --device cuda --processes 1

Every method of `lanista.oneshot` searches a small supernet (`supernets.REDUCED`) on a part of CIFAR-10; with
`--size long` for eight times as long, and with `--size full` one of the size of the papers, on a GPU. Each run is
written to build/sharing as soon as it is there, and the card of its method to docs/proof/oneshot: an interrupted proof
goes on where it stopped, unless the method, the settings or a library have changed. The tables are looked for at
$LANISTA_BENCHMARKS, else at ../shared/data/tables.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import inspect
import json
import multiprocessing
import os
import platform
import statistics
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread for each process

import cifar
import numpy as np
import supernets
import torch
from outcomes import Kept, mark, sources
from proof import DATASETS, ROOT, commit, figures, table, versions
from scipy.stats import kendalltau
from supernets import FULL, REDUCED, Settings, cells, make, methods, run

from lanista.errors import BenchmarkError
from lanista.space.domain import Architecture
from lanista.trust import Trust, examine

CARDS, OUTCOMES = ROOT / "docs" / "proof" / "oneshot", ROOT / "build" / "sharing"
LIBRARIES = ("python", "lanista", "torch", "numpy")
SIZES = {"reduced": REDUCED, "long": dataclasses.replace(REDUCED, passes=8 * REDUCED.passes), "full": FULL}
"""What a search may cost: some minutes of a core, half an hour of a core, hours of a GPU."""
TOP = 0.2
"""The share of the ranked cells that are the best."""
TRAININGS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Of random search, at which its expected result is told."""


# --- what a result is worth -------------------------------------------------------------------------------


@cache
def random_search(dataset: str, trainings: float) -> float:
    """The expected test accuracy of the best of so many random cells, by one training's validation accuracy each.

    It is exact: cells are drawn with repetition, and the best one of n is the r-th worst of N with the probability
    (r / N) ** n - ((r - 1) / N) ** n. The mean over the table's three training seeds.
    """
    ordered = _ordered(dataset)
    chance = np.diff((np.arange(len(ordered) + 1) / len(ordered)) ** trainings)
    return float(ordered @ chance)


@cache
def _ordered(dataset: str) -> np.ndarray:
    """Test accuracies in the order of one training's validation accuracies; the mean over the table's seeds."""
    known = table(dataset)
    test, *observed = map(np.asarray, known.columns("test", *known.seeds["validation"]))
    return np.mean([test[np.argsort(each, kind="stable")] for each in observed], axis=0)


def worth(dataset: str, accuracy: float) -> float | None:
    """How many random trainings expect such a test accuracy; 0 if one is better; None if 10,000 are worse."""
    counts = np.geomspace(1, 10_000, 400)
    expected = np.maximum.accumulate([random_search(dataset, float(count)) for count in counts])
    if accuracy < expected[0]:
        return 0.0
    if accuracy > expected[-1]:
        return None
    return round(float(np.exp(np.interp(accuracy, expected, np.log(counts)))), 2)


# --- cards ------------------------------------------------------------------------------------------------


def fingerprint(name: str, settings: Settings, place: Path) -> str:
    """Changes with whatever changes the outcomes: settings, the method's source, the search, the libraries."""
    method = make(name, settings)
    found = {library: version for library, version in versions().items() if library in LIBRARIES}
    own = [inspect.getsource(supernets), inspect.getsource(cifar)]
    return mark(repr(method), repr(settings), place.name, *sources(type(method).__module__), *own, str(found))


def slug(name: str, size: str) -> str:
    """The name of a card's file."""
    return f"{name.lower()}{'' if size == 'reduced' else f'-{size}'}"


def written(architecture: Architecture) -> str:
    """As the benchmark writes a cell."""
    nodes = []
    for tensor in range(1, 4):
        edges = [f"{architecture[f'cell/{i}_{tensor}']}~{i}" for i in range(tensor)]
        nodes.append("|" + "|".join(edges) + "|")
    return "+".join(nodes)


def machine(device: str) -> str:
    """What it runs on."""
    gpu = f", {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else ""
    return f"{platform.machine()}, {os.cpu_count()} cores{gpu}"


def taus(scores: list[float], accuracies: list[float]) -> dict[str, float]:
    """Kendall's rank correlation with the table, over all and in the best by the table; 0 where all scores tie."""
    best = sorted(range(len(accuracies)), key=lambda i: -accuracies[i])[: round(TOP * len(accuracies))]
    told = {}
    for word, rows in (("all", list(range(len(accuracies)))), ("top", best)):
        found = kendalltau([scores[i] for i in rows], [accuracies[i] for i in rows]).statistic
        told[word] = 0.0 if np.isnan(found) else round(float(found), 4)
    return told


@cache
def known(settings: Settings) -> tuple[list[float], list[float]]:
    """Test accuracies and numbers of parameters of the cells that are ranked."""
    rows = [table("cifar10").row(cell) for cell in cells(settings)]
    test, parameters = ([column[row] for row in rows] for column in table("cifar10").columns("test", "parameters"))
    return test, parameters


def trust(outcome: dict[str, Any], settings: Settings) -> Trust:
    """The trust report of one run."""
    name, real = "minus the loss with shared weights", "test accuracy in the table"
    return examine(
        [-value for value in outcome["losses"]],
        *known(settings),
        top=TOP,
        title="One-shot",
        proxy_name=name,
        real_name=real,
    )


def judged(outcome: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """What is told of one run."""
    found, (test, _) = outcome["found"], known(settings)
    tests = {dataset: round(table(dataset).query(found, "test")["test"], 2) for dataset in DATASETS}
    kept = (
        "seed",
        "steps",
        "search_seconds",
        "choice_seconds",
        "ranking_seconds",
        "before_mib",
        "peak_mib",
        "second_phase",
    )
    return {name: outcome[name] for name in kept} | {
        "cell": written(found),
        "idle": sum(operation in ("none", "skip_connect") for operation in found.values()),
        "collapse": outcome["collapse"],
        "test": tests,
        "worth": {dataset: worth(dataset, value) for dataset, value in tests.items()},
        "found_accuracy": outcome["found_accuracy"],
        "mean_accuracy": round(statistics.fmean(outcome["accuracies"]), 2),
        "tau": taus(outcome["accuracies"], test),
        "tau_loss": taus([-value for value in outcome["losses"]], test),
        "trust": trust(outcome, settings).headline,
    }


def card(name: str, settings: Settings, size: str, outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is known so far of a method."""
    runs = [judged(outcome, settings) for outcome in outcomes]
    test, parameters = known(settings)
    tests = {dataset: figures([one["test"][dataset] for one in runs]) for dataset in DATASETS}
    return {
        "method": name,
        "settings": repr(make(name, settings)),
        "size": size,
        "protocol": dataclasses.asdict(settings),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {library: version for library, version in versions().items() if library in LIBRARIES},
        "machine": machine(settings.device),
        "test": {
            dataset: told | {"worth": worth(dataset, told["mean"])} for dataset, told in tests.items()
        },
        **{
            name: {region: figures([one[name][region] for one in runs]) for region in ("all", "top")}
            for name in ("tau", "tau_loss")
        },
        "parameters_tau": taus(parameters, test),
        "random_search": {
            dataset: {str(count): round(random_search(dataset, count), 2) for count in TRAININGS}
            for dataset in DATASETS
        },
        "runs": runs,
    }  # fmt: skip


def write(content: dict[str, Any]) -> None:
    """Put a card in place, whole or not at all."""
    CARDS.mkdir(parents=True, exist_ok=True)
    path = CARDS / f"{slug(content['method'], content['size'])}.json"
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def prove(names: list[str], seeds: int, settings: Settings, size: str, place: Path, processes: int) -> None:
    """Run what is missing, one seed of all methods after another, each run in a process of its own."""
    kept = {name: Kept(OUTCOMES / slug(name, size), fingerprint(name, settings, place)) for name in names}
    done = {name: {outcome["seed"] for outcome in kept[name].lines("runs")} for name in names}
    jobs = [(name, seed) for seed in range(seeds) for name in names if seed not in done[name]]
    print(f"{len(jobs)} runs: {settings}", flush=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, max_tasks_per_child=1) as pool:
        open_: dict[Future[dict[str, Any]], str] = {
            pool.submit(run, name, seed, settings, place): name for name, seed in jobs
        }
        while open_:
            for future in wait(open_, return_when=FIRST_COMPLETED).done:
                name, outcome = open_.pop(future), future.result()
                kept[name].append("runs", [outcome])
                told = card(name, settings, size, kept[name].lines("runs"))
                write(told)
                (mine,) = (one for one in told["runs"] if one["seed"] == outcome["seed"])
                print(f"{name}: {json.dumps(mine)}\n{trust(outcome, settings)}\n", flush=True)


def main() -> None:
    """Prove what the command line names."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("methods", nargs="*", metavar="method", help=f"default: all of {', '.join(methods())}")
    reader.add_argument("--seeds", type=int, default=3)
    reader.add_argument("--processes", type=int, default=2)
    reader.add_argument("--data", type=Path, default=cifar.SMALL, help="packed images (.npz), or cifar-10-batches-py")
    reader.add_argument("--size", choices=SIZES, default="reduced")
    reader.add_argument("--epochs", type=int, help="of every method; default: as set")
    reader.add_argument("--device", help="default: cpu, and cuda with --size full")
    given = reader.parse_args()
    unknown = set(given.methods) - set(methods())
    if unknown:
        reader.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(methods())}")
    if not given.data.exists():
        reader.error(f"there are no images at {given.data}; give --data")
    settings = SIZES[given.size]
    there = cifar.available(given.data) - settings.validation
    settings = dataclasses.replace(settings, images=min(settings.images, there))
    if given.epochs:
        settings = dataclasses.replace(settings, epochs=given.epochs)
    if given.device:
        settings = dataclasses.replace(settings, device=given.device)
    try:
        table(DATASETS[0]).columns("test")
    except BenchmarkError as error:
        reader.error(str(error))
    prove(given.methods or list(methods()), given.seeds, settings, given.size, given.data, given.processes)


if __name__ == "__main__":
    main()
