"""What others have published of searches on NAS-Bench-201, and what an independent implementation measured.

Accuracies in percent, by the protocols of `lanista.benchmark.protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lanista.benchmark.protocol import BUDGETS

NATS = "Dong, Liu, Musial and Gabrys: NATS-Bench, TPAMI 2021, table 3 (https://arxiv.org/abs/2009.00437)"
PAPER = "Dong and Yang: NAS-Bench-201, ICLR 2020, table 5 (https://arxiv.org/abs/2001.00326)"
MEASURED = "a second implementation on the same table, written apart from lanista"
DATASETS = tuple(BUDGETS)


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        method: as its source calls it; for evolution with population and tournament.
        protocol: "A" (a budget in seconds), "B" (a number of queries), "hypervolume" of two objectives, or "one-shot":
            a supernet was trained, and the table was only asked about what was found.
        dataset: "cifar10", "cifar100" or "imagenet16-120". In the paper of NAS-Bench-201, one-shot methods searched on
            CIFAR-10 for all three; in NATS-Bench, on each.
        amount: seconds, or number of evaluations; 0 for one-shot methods.
        metric: "test" or "validation" accuracy of the incumbent in percent; for a hypervolume the cost.
        mean: over the runs.
        std: standard deviation of one run, where it is known.
        seeds: number of runs, where it is known.
        source: where it is from.
    """

    method: str
    protocol: str
    dataset: str
    amount: float
    metric: str
    mean: float
    std: float | None
    seeds: int | None
    source: str


def rows(
    method: str | None = None,
    protocol: str | None = None,
    dataset: str | None = None,
    *,
    amount: float | None = None,
    metric: str | None = None,
    source: str | None = None,
) -> list[Row]:
    """The rows that agree with what is given, the published ones before those that a second implementation gave."""
    wanted: dict[str, object] = {"method": method, "protocol": protocol, "dataset": dataset, "amount": amount}
    wanted |= {"metric": metric, "source": source}
    given = {name: value for name, value in wanted.items() if value is not None}
    return [row for row in ROWS if all(getattr(row, name) == value for name, value in given.items())]


# Method, then (mean, standard deviation) of validation and of test for each data set.
_BUDGET = (
    (NATS, "RS", "91.07 .26 93.86 .23", "71.46 .97 71.55 .97", "45.03 .91 45.28 .97"),
    (NATS, "REA(10,3)", "91.25 .31 94.02 .31", "72.28 .95 72.23 .84", "45.71 .77 45.77 .80"),
    (NATS, "REINFORCE", "91.12 .25 93.90 .26", "71.80 .94 71.86 .89", "45.37 .74 45.64 .78"),
    (NATS, "BOHB", "91.17 .27 93.94 .28", "72.04 .93 72.00 .86", "45.55 .79 45.70 .86"),
    (MEASURED, "RS", "91.09 .25 93.87 .25", "71.44 .95 71.56 .93", "44.97 .92 45.23 1.03"),
    (MEASURED, "REA(10,3)", "91.32 .24 94.08 .27", "72.40 .89 72.38 .82", "45.79 .68 45.89 .72"),
)

# Queries, method, then mean and, where it is known, standard deviation of test for each data set.
_QUERIES = (
    (100, "RS", "93.79 .27", "71.36 .94", "45.29 .86"),
    (100, "REA(10,3)", "94.02 .28", "72.25 .93", "45.84 .77"),
    (100, "local search", "94.18 .26", "72.71 .79", "46.04 .71"),
    (100, "linear-Gaussian predictor", "94.01 .25", "72.71 .59", "46.06 .76"),
    (150, "RS", "93.86", "71.56", "45.47"),
    (150, "REA(10,3)", "94.11", "72.53", "46.05"),
    (150, "REA(50,10)", "94.18", "72.77", "46.18"),
    (150, "local search", "94.25", "72.95", "46.20"),
    (150, "linear-Gaussian predictor", "94.16 .21", "72.88 .56", "46.25 .60"),
    (300, "RS", "93.94", "72.01", "45.77"),
    (300, "REA(50,10)", "94.30", "73.06", "46.48"),
    (300, "local search", "94.34", "73.08", "46.41"),
    (500, "RS", "94.02", "72.27", "45.92"),
    (500, "REA(50,10)", "94.34", "73.00", "46.58"),
    (500, "local search", "94.37", "73.06", "46.50"),
)

# Data set, cost, then the relative hypervolume of random search and NSGA-II after 100, 200 and 500 evaluations.
_HYPERVOLUMES = (
    ("cifar10", "parameters", ".962 .965 .972 .976 .980 .982"),
    ("cifar10", "latency", ".869 .915 .903 .951 .936 .973"),
    ("cifar100", "parameters", ".931 .936 .945 .955 .961 .973"),
    ("cifar100", "latency", ".839 .857 .870 .904 .908 .944"),
    ("imagenet16-120", "parameters", ".927 .930 .941 .952 .954 .970"),
    ("imagenet16-120", "latency", ".841 .867 .871 .908 .904 .944"),
)

# As `_BUDGET`, of one-shot methods.
_SHARED = (
    (PAPER, "RSPS", "84.16 1.69 87.66 1.69", "59.00 4.60 58.33 4.34", "31.56 3.28 31.14 3.88"),
    (PAPER, "DARTS-V1", "39.77 0 54.30 0", "15.03 0 15.61 0", "16.43 0 16.32 0"),
    (PAPER, "DARTS-V2", "39.77 0 54.30 0", "15.03 0 15.61 0", "16.43 0 16.32 0"),
    (PAPER, "GDAS", "90.00 .21 93.51 .13", "71.14 .27 70.61 .26", "41.70 1.26 41.84 .90"),
    (PAPER, "SETN", "82.25 5.17 86.19 4.63", "56.86 7.59 56.87 7.77", "32.54 3.63 31.90 4.07"),
    (PAPER, "ENAS", "39.77 0 54.30 0", "15.03 0 15.61 0", "16.43 0 16.32 0"),
    (NATS, "RSPS", "87.60 .61 91.05 .66", "68.27 .72 68.26 .96", "39.73 .34 40.69 .36"),
    (NATS, "DARTS (1st)", "49.27 13.44 59.84 7.84", "61.08 4.37 61.26 4.43", "38.07 2.90 37.88 2.91"),
    (NATS, "DARTS (2nd)", "58.78 13.44 65.38 7.84", "59.48 5.13 60.49 4.95", "37.56 7.10 36.79 7.59"),
    (NATS, "GDAS", "89.68 .72 93.23 .58", "68.35 2.71 68.17 2.50", "39.55 0 39.40 0"),
    (NATS, "SETN", "90.00 .97 92.72 .73", "69.19 1.42 69.36 1.72", "39.77 .33 39.51 .33"),
    (NATS, "ENAS", "90.20 0 93.76 0", "70.21 .71 70.67 .62", "40.78 0 41.44 0"),
)


def _read() -> Iterator[Row]:
    for source, method, *cells in _BUDGET:
        for dataset, cell in zip(DATASETS, cells, strict=True):
            for metric, (mean, std) in zip(("validation", "test"), _pairs(cell), strict=True):
                yield Row(method, "A", dataset, BUDGETS[dataset], metric, mean, std, 500, source)
    for source, method, *cells in _SHARED:
        for dataset, cell in zip(DATASETS, cells, strict=True):
            for metric, (mean, std) in zip(("validation", "test"), _pairs(cell), strict=True):
                yield Row(method, "one-shot", dataset, 0, metric, mean, std, 3 if source == PAPER else None, source)
    for queries, method, *cells in _QUERIES:
        for dataset, cell in zip(DATASETS, cells, strict=True):
            mean, *spread = map(float, cell.split())
            seeds = None if "predictor" in method else 500
            yield Row(method, "B", dataset, queries, "test", mean, spread[0] if spread else None, seeds, MEASURED)
    for dataset, cost, cell in _HYPERVOLUMES:
        for evaluations, values in zip((100, 200, 500), _pairs(cell), strict=True):
            for method, mean in zip(("RS", "NSGA-II"), values, strict=True):
                yield Row(method, "hypervolume", dataset, evaluations, cost, mean, None, None, MEASURED)


def _pairs(cell: str) -> Iterable[tuple[float, float]]:
    numbers = iter(map(float, cell.split()))
    return zip(numbers, numbers, strict=True)


ROWS = tuple(_read())
"""All of them."""
