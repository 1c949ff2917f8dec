"""Makes proof cards: what the strategies of `contenders.py` reach on NAS-Bench-201, in docs/proof.

    python benchmarks/proof.py [strategy ...] [--seeds 500] [--minutes 60] [--processes 2]

Each seed's outcome is written to build/proof as soon as it is there, and a card after each few seeds: an interrupted
run goes on where it stopped, unless the strategy, its settings or a library have changed. The tables are looked for at
$LANISTA_BENCHMARKS, else at ../shared/data/tables.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import multiprocessing
import os
import platform
import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread for each process

from contenders import CONTENDERS, DATASETS, Bar, Contender
from outcomes import Kept, mark, sources

from lanista.benchmark import file, nasbench201, published
from lanista.benchmark.protocol import BUDGETS, Summary, budget, fronts, queries
from lanista.benchmark.table import Table
from lanista.errors import BenchmarkError
from lanista.trial import State, Trial

ROOT = Path(__file__).parent.parent
CARDS, OUTCOMES = ROOT / "docs" / "proof", ROOT / "build" / "proof"

CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 120, 150, 200, 250, 300, 400, 500)
"""Evaluations at which the incumbent is looked at."""
TOLD = (50, 100, 150, 300, 500)
"""Those of them that a card's results have."""
COSTS = ("parameters", "latency")
FRONTS = (100, 200, 500)

OBSERVED = (100, 1_000, 10_000)
PROPOSALS, PATIENCE = 20, 300.0
"""The price of proposing: after so many observed trials, of at most so many proposals, within so many seconds."""
OWN = 100.0
"""Seconds for which the observed trials are the strategy's own proposals; the rest are random architectures."""

CHUNK = 5
"""Seeds of one job."""
LIBRARIES = ("torch", "numpy", "optuna", "scipy", "cmaes")

Key = tuple[str, str, str]
"""Protocol, data set, and the cost of a hypervolume (else empty)."""


# --- outcomes of single seeds -----------------------------------------------------------------------------


@cache
def table(dataset: str) -> Table:
    """The table with test accuracies."""
    beside = next((path for up in ROOT.parents if (path := up / "shared" / "data" / "tables").is_dir()), None)
    return nasbench201(dataset, file.folder(None) or beside)


def run(name: str, key: Key, seeds: list[int]) -> list[dict[str, Any]]:
    """What some seeds reach; called in a worker process."""
    contender, (protocol, dataset, cost) = CONTENDERS[name], key
    known = table(dataset)
    outcomes = []
    for seed in seeds:
        strategy = contender.make()
        if protocol == "hypervolume":
            outcomes.append({"seed": seed, "share": fronts(strategy, known, seed, cost, FRONTS)})
            continue
        if protocol == "A":
            search, at = budget(strategy, known, seed, BUDGETS[dataset]), (10**9,)
        else:
            search, at = queries(strategy, known, seed, contender.evaluations), curve(contender)
        metrics = ("test", "validation")
        columns = zip(metrics, known.columns(*metrics), strict=True)
        outcomes.append(
            {"seed": seed, "evaluations": len(search.rows)}
            | {metric: [round(value, 4) for value in search.curve(column, at)] for metric, column in columns}
        )
    return outcomes


def curve(contender: Contender) -> tuple[int, ...]:
    """The evaluations at which its incumbents are looked at."""
    return tuple(count for count in CURVE if count <= contender.evaluations)


class Outcomes(Kept):
    """The outcomes of one contender, kept in a file for each protocol and data set."""

    def __init__(self, name: str) -> None:
        super().__init__(OUTCOMES / name, fingerprint(name))

    def read(self, key: Key) -> list[dict[str, Any]]:
        """In the order of the seeds."""
        return self.lines(_name(key))

    def add(self, key: Key, outcomes: list[dict[str, Any]]) -> None:
        """Write down what some seeds reached."""
        self.append(_name(key), outcomes)

    def prices(self, name: str) -> list[dict[str, Any]]:
        """The price of proposing; measured once."""
        path = self.folder / "price.json"
        if not path.exists():
            path.write_text(json.dumps(prices(name)))
        told: list[dict[str, Any]] = json.loads(path.read_text())
        return told


def _name(key: Key) -> str:
    return "-".join(filter(None, key))


def fingerprint(name: str) -> str:
    """Changes with whatever changes the outcomes: settings, the strategy's source, its libraries."""
    contender = CONTENDERS[name]
    strategy = contender.make()
    return mark(repr(strategy), *sources(type(strategy).__module__), str(versions()), str(curve(contender)))


# --- the price of proposing -------------------------------------------------------------------------------


def price(name: str, observed: int, found: Any) -> None:
    """Milliseconds of processor time for a proposal and its observation; puts them on the queue `found`."""
    known, rng = table("cifar10"), random.Random(0)
    scores = known.columns("validation_seed0")[0]
    strategy = CONTENDERS[name].make()
    strategy.reset(known.space, 0)

    def observe(number: int, architecture: dict[str, Any]) -> None:
        scored = (scores[known.row(architecture)],)
        strategy.observe(Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=scored))

    began, own = time.monotonic(), 0
    while own < observed and time.monotonic() < began + OWN:
        observe(own, strategy.propose())
        own += 1
    for number in range(own, observed):
        observe(number, known.space.sample(rng))
    spent, count, deadline = 0.0, 0, time.monotonic() + PATIENCE / 4
    while count < PROPOSALS and time.monotonic() < deadline:
        start = time.process_time()
        observe(observed + count, strategy.propose())
        spent += time.process_time() - start
        count += 1
    found.put({"milliseconds": round(1000 * spent / count, 3), "proposals": count, "own": own})


def prices(name: str) -> list[dict[str, Any]]:
    """For each number of observed trials; None where it takes longer than anyone waits, or fails."""
    told = []
    for observed in OBSERVED:
        if observed > CONTENDERS[name].observed:
            told.append({"observed": observed, "milliseconds": None, "limit_seconds": 0.0})
            continue
        found = multiprocessing.SimpleQueue()
        process = multiprocessing.Process(target=price, args=(name, observed, found))
        process.start()
        process.join(PATIENCE)
        if process.exitcode:
            figure: dict[str, Any] = {"milliseconds": None, "failed": True}  # its traceback was printed
        else:
            figure = {"milliseconds": None, "limit_seconds": PATIENCE} if found.empty() else found.get()
        process.kill()
        process.join()
        told.append({"observed": observed, **figure})
    return told


# --- cards ------------------------------------------------------------------------------------------------


def keys(contender: Contender) -> Iterator[Key]:
    """What is to be run."""
    for protocol in contender.protocols:
        for dataset in DATASETS:
            for cost in COSTS if protocol == "hypervolume" else ("",):
                yield protocol, dataset, cost


def figures(values: list[float]) -> dict[str, Any]:
    """Mean and spread."""
    summary = Summary.of(values)
    return {
        "seeds": summary.seeds,
        "mean": round(summary.mean, 4),
        "std": round(summary.std, 4),
        "standard_error": round(summary.standard_error, 5),
    }


def beside(contender: Contender, protocol: str, dataset: str, amount: float, metric: str) -> dict[str, Any]:
    """The published figure, and that of a second implementation where there is one too."""
    rows = [
        row
        for method in contender.published
        for row in published.rows(method, protocol, dataset, amount=amount, metric=metric)
    ]
    first, last = (rows[0], rows[-1]) if rows else (None, None)
    told: dict[str, Any] = {"published": first and first.mean, "source": first and f"{first.method}: {first.source}"}
    if first is not None and last is not None and last is not first:
        told |= {"measured": last.mean, "measured_source": f"{last.method}: {last.source}"}
    return told


def card(name: str, outcomes: Outcomes, proposing: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is known so far."""
    contender = CONTENDERS[name]
    results, shares, curves = [], [], {}
    for protocol, dataset, cost in keys(contender):
        seeds = outcomes.read((protocol, dataset, cost))
        if not seeds:
            continue
        head = {"protocol": protocol, "dataset": dataset}
        if protocol == "hypervolume":
            for position, amount in enumerate(FRONTS):
                told = figures([outcome["share"][position] for outcome in seeds])
                near = beside(contender, protocol, dataset, amount, cost)
                shares.append({**head, "cost": cost, "evaluations": amount, **told, **near})
        elif protocol == "A":
            amount = BUDGETS[dataset]
            spent = sum(outcome["evaluations"] for outcome in seeds) / len(seeds)
            both = [
                figures([outcome[metric][-1] for outcome in seeds])
                | beside(contender, protocol, dataset, amount, metric)
                for metric in ("test", "validation")
            ]
            about = {"metric": "test", "budget_seconds": amount, "mean_evaluations": round(spent, 1)}
            results.append({**head, **about, **both[0], "validation": both[1]})
        else:
            at = curve(contender)
            for amount in TOLD:
                if amount in at:
                    told = figures([outcome["test"][at.index(amount)] for outcome in seeds])
                    near = beside(contender, protocol, dataset, amount, "test")
                    results.append({**head, "metric": "test", "evaluations": amount, **told, **near})
            curves[dataset] = drawn(table(dataset), at, seeds)
    return {
        "strategy": name,
        "settings": repr(contender.make()),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "results": results,
        "bars": [bar for given in contender.bars for bar in held(given, results, shares)],
        "hypervolume": shares,
        "proposing": proposing,
        "curves": curves,
    }


def drawn(known: Table, at: tuple[int, ...], seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean regret of test accuracy, and mean validation accuracy, of the incumbent after so many evaluations."""
    best = known.optimum("test")[1]
    told: dict[str, Any] = {"seeds": len(seeds), "evaluations": list(at)}
    for word, metric in (("regret", "test"), ("validation", "validation")):
        each = [Summary.of(outcome[metric][position] for outcome in seeds) for position in range(len(at))]
        told[word] = [round(best - one.mean if word == "regret" else one.mean, 4) for one in each]
        told[f"{word}_std"] = [round(one.std, 4) for one in each]
    return told


def held(bar: Bar, results: list[dict[str, Any]], shares: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Whether a bar is reached, for each data set that was run."""
    for dataset, least in zip(DATASETS, bar.least, strict=True):
        for result in shares if bar.protocol == "hypervolume" else results:
            same = (result["protocol"], result["dataset"], result.get("cost", result.get("metric")))
            if same == (bar.protocol, dataset, bar.metric) and result.get("evaluations") == bar.amount:
                mean = result["mean"]
                yield {
                    "protocol": bar.protocol, "dataset": dataset, "metric": bar.metric, "evaluations": bar.amount,
                    "least": least, "mean": mean, "met": mean >= least, "source": bar.source,
                }  # fmt: skip


@cache
def commit() -> str:
    """The commit of the code, marked where files of the package or of benchmarks differ from it."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    asked = ["git", "status", "--porcelain", "--", "lanista", "benchmarks"]
    changed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return head.strip() + ("-changed" if changed else "")


@cache
def versions() -> dict[str, str]:
    """Of Python and of the libraries that strategies use."""
    found = {"python": platform.python_version(), "lanista": importlib.metadata.version("lanista")}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write(name: str, content: dict[str, Any]) -> None:
    """Put a card in place, whole or not at all."""
    CARDS.mkdir(parents=True, exist_ok=True)
    partial = CARDS / f".{name}.tmp"
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(CARDS / f"{name}.json")


def prove(name: str, count: int | None, minutes: float, processes: int) -> None:
    """Run what is missing of one contender, and write its card again and again."""
    contender, outcomes = CONTENDERS[name], Outcomes(name)
    jobs: list[tuple[Key, list[int]]] = []
    for first in range(0, count or contender.seeds, CHUNK):
        for key in keys(contender):
            done = {outcome["seed"] for outcome in outcomes.read(key)}
            missing = [seed for seed in range(first, min(first + CHUNK, count or contender.seeds)) if seed not in done]
            if missing:
                jobs.append((key, missing))
    print(f"{name}: {contender.make()!r}, {len(jobs)} jobs", flush=True)
    proposing = outcomes.prices(name)
    print(f"  price: {proposing}", flush=True)
    deadline = time.monotonic() + 60 * minutes
    open_: dict[Future[list[dict[str, Any]]], Key] = {}
    waiting = iter(jobs)
    written = 0.0
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        while True:
            while len(open_) < 2 * processes and time.monotonic() < deadline and (job := next(waiting, None)):
                key, seeds = job
                open_[pool.submit(run, name, key, seeds)] = key
            if not open_:
                break
            for future in wait(open_, return_when=FIRST_COMPLETED).done:
                outcomes.add(open_.pop(future), future.result())
            if time.monotonic() - written > 15:
                write(name, card(name, outcomes, proposing))
                written = time.monotonic()
    told = card(name, outcomes, proposing)
    write(name, told)
    for result in told["results"] + told["hypervolume"]:
        amount = result.get("evaluations") or f"{result['budget_seconds']:,.0f} s"
        what = result.get("cost", result.get("metric"))
        spread = f"{result['mean']:.4f} ± {result['std']:.3f} ({result['standard_error']:.3f}) of {result['seeds']}"
        print(f"  {result['protocol']} {result['dataset']} {what} {amount}: {spread}; {result['published']}")


def main() -> None:
    """Prove what the command line names."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("strategies", nargs="*", metavar="strategy", help=f"default: all of {', '.join(CONTENDERS)}")
    reader.add_argument("--seeds", type=int, help="runs of each protocol and data set; default: as registered")
    reader.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no further seeds after so long, each"
    )
    reader.add_argument("--processes", type=int, default=2)
    given = reader.parse_args()
    unknown = set(given.strategies) - set(CONTENDERS)
    if unknown:
        reader.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}")
    try:
        table(DATASETS[0]).columns("test", "validation_12")
    except BenchmarkError as error:
        reader.error(str(error))
    for name in given.strategies or CONTENDERS:
        prove(name, given.seeds, given.minutes, given.processes)


if __name__ == "__main__":
    main()
