"""How zero-cost scores rank NAS-Bench-201: `python benchmarks/zerocost.py [score ...]`.

Our scores of real, untrained networks on real CIFAR-10 images, beside published scores of the same architectures and
their accuracy on CIFAR-10 (NAS-Bench-Suite-Zero, and the Zen-scores of NASLib; tables beside the checkout). Each figure
is Spearman's rank correlation of our score with accuracy; the details have the same of the published score, the
correlation of the two, and all of it inside the best 10 % by accuracy, where a search ends. A score without a finite
value ranks last.

Zen-scores of NASLib were computed with running variances in place of the batch's. With them ours are theirs (on 150
architectures, a rank correlation of .998 with theirs, and .398 to their .396 with accuracy); the paper's formula, which
is ours, ranks this space better.
"""

from __future__ import annotations

import ast
import math
import random
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from cifar import images
from figure import emit
from scipy.stats import spearmanr

from lanista.hub import NASBench201
from lanista.profile import NASWOT, GradNorm, Jacov, Measure, Snip, Zen, parameters, synflow

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
EDGES = ("0_1", "0_2", "0_3", "1_2", "1_3", "2_3")
"""In the order of the table."""
BATCH = 32
SAMPLE = 250
"""So many random architectures are measured with what takes about a second each; all 491 with the others."""
QUICK = ("parameters", "synflow")


def table() -> pd.DataFrame:
    """Published scores and accuracies on CIFAR-10 of the architectures that have them."""
    scores = pd.read_parquet(DATA / "tables" / "zerocost_scores.parquet")
    rows = scores[(scores.space == "nasbench201") & (scores.dataset == "cifar10")].reset_index(drop=True)
    rows["cell"] = [tuple(OPERATIONS[code] for code in ast.literal_eval(arch)) for arch in rows.arch]
    every = pd.read_parquet(DATA / "tables" / "nasbench201.parquet")
    ours = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    order = [0, 1, 3, 2, 4, 5]  # of edges: 0_1, 0_2, 1_2, 0_3, ... there
    codes = every[[f"op{edge}" for edge in order]].to_numpy()
    zens = {tuple(ours[code] for code in row): zen for row, zen in zip(codes, every.cifar10_zen, strict=True)}
    rows["zen"] = [zens[cell] for cell in rows.cell]
    return rows


def rank(one: pd.Series, other: pd.Series) -> float:
    """Spearman's rank correlation, ties by their mean rank, what has no value last."""
    return float(spearmanr(one.clip(-1e8), other.clip(-1e8)).statistic)


def main(wanted: list[str]) -> None:
    """Print the figures of the scores that are wanted."""
    rows, space = table(), NASBench201()
    x, y = images(BATCH)
    measures: dict[str, tuple[Measure, str | None]] = {
        "parameters": (parameters, "params"),
        "synflow": (synflow, "synflow"),
        "jacov": (Jacov(x), "jacov"),
        "naswot": (NASWOT(x), None),
        "snip": (Snip(x, y), "snip"),
        "grad_norm": (GradNorm(x, y), "grad_norm"),
        "zen": (Zen(repeats=1), "zen"),
    }
    order = random.Random(0).sample(range(len(rows)), len(rows))
    for name in wanted or measures:
        measure, published = measures[name]
        values: dict[int, float] = {}
        start = time.perf_counter()
        for index in order[: None if name in QUICK else SAMPLE]:
            torch.manual_seed(index)
            cell = dict(zip((f"cell/{edge}" for edge in EDGES), rows.cell[index], strict=True))
            values[index] = measure(space.build(cell), space.example_input).value
        each = (time.perf_counter() - start) / len(values)
        seen = rows.loc[list(values)].assign(ours=pd.Series(values))
        top = seen[seen.val_accuracy >= seen.val_accuracy.quantile(0.9)]
        details: dict[str, object] = {"top_tenth": rank(top.ours, top.val_accuracy)}
        bar = ""
        if published:
            theirs = rank(seen[published], seen.val_accuracy)
            bar = f"{theirs:.3f} ± .03 (published score)"
            details["published_top_tenth"] = rank(top[published], top.val_accuracy)
            details["ours_with_published"] = rank(seen.ours, seen[published])
        details["parameters"] = rank(seen.params, seen.val_accuracy)
        details["parameters_top_tenth"] = rank(top.params, top.val_accuracy)
        details["not_finite"] = sum(not math.isfinite(value) for value in values.values())
        emit(
            f"rank correlation of {name} with accuracy", rank(seen.ours, seen.val_accuracy), "", bar,
            architectures=len(seen), seconds_each=round(each, 2), **details,
        )  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
