"""Verdicts on the measured tables, false alarms, and coverage of intervals: `python benchmarks/trust.py`.

Needs `shared/data/tables` beside the checkout (`zerocost_scores.parquet`, `nasbench201.parquet`) and pandas.
A false alarm is a good verdict on scores that were shuffled, so that they have nothing to do with the real ones.
A good verdict needs both regions; that shuffled scores look better than chance in one of the two is expected in up to
4.9 % of the cases (two looks at 2.5 % each), so that its measured rate lies about that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
from figure import emit
from numpy.typing import NDArray

from lanista.trust import Estimate, Verdict, assess, random_search

Array = NDArray[np.float64]

TABLES = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "tables"
SHUFFLES = 2000
SAMPLES = 500
SHARES = (0.1, 0.15, 0.2)


def numbers(frame: pandas.DataFrame, column: str) -> Array:
    """A column as floats."""
    return frame[column].to_numpy(float)


def verdicts(scores: pandas.DataFrame) -> None:
    """All proxies on all data sets."""
    for (space, dataset), rows in scores.groupby(["space", "dataset"]):
        found = defaultdict(list)
        real, parameters = numbers(rows, "val_accuracy"), numbers(rows, "params")
        for name in rows.columns[3:]:
            if name in ("params", "val_accuracy") or rows[name].isna().all():
                continue
            known = rows[name].notna().to_numpy()
            judged = [assess(numbers(rows, name)[known], real[known], parameters[known], top=share) for share in SHARES]
            headlines = [one.headline for one in judged]
            last = judged[-1]
            print(
                f"{space:20} {dataset:15} {name:10} all {last.overall.proxy.value:5.2f} "
                f"{vars(last.overall.difference)} top {last.top.proxy.value:5.2f} {' / '.join(headlines)}"
            )
            found[headlines[-1]].append(name + ("" if len(set(headlines)) == 1 else "*"))
        emit(
            f"verdicts, {space} {dataset}",
            len(found[str(Verdict.INFORMATIVE)]),
            "informative proxies",
            architectures=len(rows),
            top="20 % (*: otherwise at 10 or 15 %)",
            **{headline.replace(" ", "_"): names for headline, names in sorted(found.items())},
        )


Data = tuple[Array, Array, Array]


def shuffled(data: Data, random: np.random.Generator, n: int) -> Data:
    """n of the architectures, the proxy's scores in random order."""
    rows, others = (random.choice(len(data[1]), n, replace=False) for _ in range(2))
    return data[0][others], data[1][rows], data[2][rows]


def swapped(data: Data, random: np.random.Generator, n: int) -> Data:
    """n of the architectures, the ranks of proxy and parameters swapped at random: neither is better."""
    rows = random.choice(len(data[1]), n, replace=False)
    x, p = (np.argsort(np.argsort(values[rows] + random.random(n) * 1e-9)) * 1.0 for values in (data[0], data[2]))
    swap = random.random(n) < 0.5
    return np.where(swap, p, x), data[1][rows], np.where(swap, x, p)


def scrambled(data: Data, random: np.random.Generator, n: int) -> Data:
    """n of the architectures, the real scores in random order: parameters say nothing either."""
    rows, others = (random.choice(len(data[1]), n, replace=False) for _ in range(2))
    return data[0][rows], data[1][others], data[2][rows]


def alarms(name: str, data: Data, make: Callable[[Data, np.random.Generator, int], Data], n: int) -> None:
    """How often verdicts are given that are not deserved, in %."""
    random = np.random.default_rng(n)
    verdicts: dict[Verdict, float] = dict.fromkeys(Verdict, 0.0)
    regions = 0.0
    for seed in range(SHUFFLES):
        found = assess(*make(data, random, n), seed=seed)
        verdicts[found.verdict] += 100 / SHUFFLES
        regions += (found.overall.ranks or found.top.ranks) * 100 / SHUFFLES
    details = (
        {}
        if make is swapped
        else {
            "no_better_than_parameter_count": round(verdicts[Verdict.NO_BETTER], 3),
            "beyond_chance_over_all_or_in_the_top": round(regions, 3),
        }
    )
    informative = verdicts[Verdict.INFORMATIVE]
    emit(f"informative: {name}", informative, "% of cases", "<= 5", **details, architectures=n, repetitions=SHUFFLES)


def misses(estimate: Estimate | None, true: float) -> tuple[bool, bool]:
    """Whether an interval lies above, or below, what is true."""
    assert estimate is not None
    return estimate.low > true, estimate.high < true


def coverage(table: pandas.DataFrame) -> None:
    """How often 95 % intervals of samples miss what holds for all of NAS-Bench-201."""
    worst: dict[str, float] = defaultdict(float)
    for dataset in ("cifar10", "imagenet16"):
        for column in ("val_12", "zen"):
            data = tuple(numbers(table, f"{dataset}_{name}") for name in (column, "val_200", "params"))
            whole = truth(data)
            for n in (20, 50, 100, 491):
                random = np.random.default_rng(n)
                missed = defaultdict(int)
                for seed in range(SAMPLES):
                    rows = random.choice(len(table), n, replace=False)
                    found = assess(*(values[rows] for values in data), seed=seed)
                    for region, part in (("over all", found.overall), ("in the top", found.top)):
                        for what in ("proxy", "difference"):
                            if not part.enough:
                                continue
                            above, below = misses(getattr(part, what), whole[region, what])
                            missed[region, what, "above"] += above
                            missed[region, what, "below"] += below
                for (region, what, side), times in missed.items():
                    name = f"95 % interval of the {what} {region} lies {side}"
                    worst[name] = max(worst[name], 100 * times / SAMPLES)
    for name, most in worst.items():
        emit(name, most, "%", samples=SAMPLES, worst_of="12 epochs and zen, 2 data sets, 20 to 491 architectures")


def truth(data: tuple[Array, ...]) -> dict[tuple[str, str], float]:
    """The rank correlations of a whole table and of its best 20 %, and their differences to parameters."""
    known = {}
    border = np.sort(data[1])[-round(0.2 * len(data[1])) :][0]
    for region, rows in (("over all", np.full(len(data[1]), True)), ("in the top", data[1] >= border)):
        ranked = pandas.DataFrame({str(index): values[rows] for index, values in enumerate(data)}).corr("spearman")
        known[region, "proxy"] = ranked.loc["0", "1"]
        known[region, "difference"] = ranked.loc["0", "1"] - ranked.loc["2", "1"]
    return known


def best_of(table: pandas.DataFrame) -> None:
    """How often the interval of the expected best misses it."""
    worst = {"above": (0.0, ""), "below": (0.0, "")}
    for dataset in ("cifar10", "imagenet16"):
        scores = np.sort(numbers(table, f"{dataset}_val_200"))
        chance = np.arange(len(scores) + 1) / len(scores)
        for n, evaluations in ((20, 3), (20, 10), (20, 20), (50, 5), (50, 25), (50, 100), (200, 20), (200, 100)):
            true = float(scores @ np.diff(chance**evaluations))
            random = np.random.default_rng(n)
            missed = np.zeros(2)
            for seed in range(SAMPLES):
                sample = scores[random.integers(0, len(scores), n)]
                found = random_search(sample, each=1.0, spent=evaluations, chosen=true, seed=seed)
                missed += misses(found.expected, true)
            for side, times in zip(("above", "below"), missed, strict=True):
                worst[side] = max(worst[side], (100 * times / SAMPLES, f"{evaluations} of {n}, {dataset}"))
    for side, (most, where) in worst.items():
        emit(f"95 % interval of the expected best lies {side}", most, "%", samples=SAMPLES, worst=where)


if __name__ == "__main__":
    scores = pandas.read_parquet(TABLES / "zerocost_scores.parquet")
    verdicts(scores)
    rows = scores[(scores.space == "nasbench201") & (scores.dataset == "ImageNet16-120")]
    data = tuple(numbers(rows, name) for name in ("synflow", "val_accuracy", "params"))
    coarse = (data[2], np.round(data[1] / 5), np.round(data[2], 1))
    binary = tuple(1.0 * (values > np.quantile(values, 0.9)) for values in data)
    for n in (20, 50, 100, 491):
        alarms("shuffled synflow", data, shuffled, n)
        alarms("shuffled real scores", data, scrambled, n)
        alarms("shuffled, many ties", coarse, shuffled, n)
        alarms("shuffled, two values", binary, shuffled, n)
        alarms("as good as parameters", data, swapped, n)
    table = pandas.read_parquet(TABLES / "nasbench201.parquet")
    coverage(table)
    best_of(table)
