"""The page and the picture of the one-shot proof in docs/proof/oneshot, made from its JSON files alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cards import DATASETS, line, style

from lanista import oneshot
from lanista.benchmark import published

Card = dict[str, Any]
FOLDER = Path(__file__).parent / "proof" / "oneshot"

CHANCE = 0.133
"""Of 100 cells in random order, 2.5 % have a greater tau."""

BESIDE = {
    "DARTS": ("DARTS-V1", "DARTS (1st)"),
    "DARTS-2": ("DARTS-V2", "DARTS (2nd)"),
    "ENAS": ("ENAS",),
    "GDAS": ("GDAS",),
    "RandomSharing": ("RSPS",),
}
"""What a method of ours is called in published tables."""

ABOUT = """\
<!-- Made by `make docs` from docs/proof/oneshot/*.json (`make proof-oneshot`); do not edit. -->

# One-shot proof

What each one-shot method finds on NAS-Bench-201 when it trains a real supernet on real images, and whether its shared
weights say which cells are good. The cell that a search ends with is **not trained: its test accuracy is looked up in
the table** of the benchmark, where every cell was trained alone, in full size, for 200 epochs. Means and standard
deviations over the seeds.

* **Worth**: how many full trainings of random cells expect the same test accuracy on CIFAR-10, when the best one by
  validation is taken; exact, from the table. A search that is worth less than 1 is worse than a cell drawn at random.
* **tau**: Kendall's rank correlation of the accuracy with shared weights (on validation images, with each cell's own
  statistics of batch normalisation) and the test accuracy in the table, over the same 100 random cells for all, and
  over the best 20 of them by the table; **by loss**: the same of minus the validation loss, which is finer than the
  accuracy on few images. 0 is chance. Counting parameters costs nothing, and is the baseline.
* **Idle**: edges of the cell, of six, that are `none` or `skip_connect`; 2.4 on average in a random cell.
* Methods that learn how strong options are end with their strongest cell (ENAS: the likeliest; its paper draws some
  and compares them). They train the weights on one half of the images, and the architecture on the other.
* Methods that only train paths (`*`) train on all images, and have a second phase: evolution (random search for
  RandomSharing) over the trained supernet, by the loss on the validation images, so that the shared accuracy of what
  they find is optimistic. SPOS and RandomSharing train the same paths: their rank correlations are one measurement.
* The candidates have batch normalisation with scale and shift, as the networks of the table have; searches of the
  papers leave scale and shift out.
* PC-DARTS (`†`) trains a part of the channels: its weights are not meant to compare architectures (`ranks`), and its
  rank correlations say only that they do not.
* **Memory** is the most that the process had while it searched (on a GPU: of its memory), and in brackets what of it
  was there before: libraries, data, the supernet.
"""

BLIND = "†"
"""Marks methods whose shared weights are not meant to compare architectures."""

SIZES = {
    "reduced": "This is **not** the setting of the papers. It is a supernet and a data set that two CPU cores can "
    "afford, and a few minutes of training where papers spend GPU hours. The numbers of steps are set so that searches "
    "cost about the same; what they took, without the second phase, is in the table. So the results show that the "
    "methods run and what they are worth here, and are no judgement of them at their own scale.",
    "long": "The reduced setting, trained eight times as long: whether shared weights rank better for it, and whether "
    "what is found is better.",
    "full": "A supernet of the benchmark's own size, on a GPU, with few images: the papers train on 25,000 or 50,000, "
    "and an epoch has as many steps as there are images for it. One seed shows that the methods run at this size; it "
    "is no measurement of what they find. ProxylessNAS had no warm-up yet.",
}


def cards() -> list[Card]:
    """All cards, the reduced ones first."""
    known = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return sorted(known, key=lambda card: (list(SIZES).index(card["size"]), card["method"].lower()))


def pages() -> dict[str, Callable[[], str]]:
    """What is to be written, by its path below docs; nothing where nothing was proven."""
    known = cards()
    if not known:
        return {}
    made: dict[str, Callable[[], str]] = {"proof/oneshot/index.md": lambda: page(known)}
    for size in SIZES:
        those = [card for card in known if card["size"] == size]
        if those:
            made[f"proof/oneshot/{size}.svg"] = lambda those=those: picture(those)
    return made


# --- text -------------------------------------------------------------------------------------------------


def page(known: list[Card]) -> str:
    """The page."""
    parts = [ABOUT]
    for size, about in SIZES.items():
        those = [card for card in known if card["size"] == size]
        if those:
            parts += [*_setting(size, about, those), *_table(those), *_faults(those), *_runs(those)]
    return "\n".join([*parts, *_published(), ""])


def _setting(size: str, about: str, those: list[Card]) -> list[str]:
    groups: dict[str, list[Card]] = {}
    for card in those:
        told = ", ".join(f"{name} {value}" for name, value in card["protocol"].items())
        versions = ", ".join(f"{library} {version}" for library, version in card["versions"].items())
        text = f"{told}. {versions}; {card['machine']} ({card['date']}, commit `{card['commit'][:12]}`)."
        groups.setdefault(text, []).append(card)
    lines = [
        f"* {', '.join(card['method'] for card in group)}: {text}" if len(groups) > 1 else f"* {text}"
        for text, group in groups.items()
    ]
    return [
        f"## The {size} size\n",
        f"{about}\n",
        "Settings:\n",
        *lines,
        "* " + "; ".join(f"`{card['settings']}`" for card in those),
        "",
        f"![Test accuracy of what was found, and rank correlations]({size}.svg)\n",
    ]


def spread(told: dict[str, Any], digits: int = 2) -> str:
    """Mean and standard deviation; one run has none."""
    return f"{told['mean']:.{digits}f}" + (f" ± {told['std']:.{digits}f}" if told["seeds"] > 1 else "")


def trainings(worth: float | None) -> str:
    """A number of random trainings in words."""
    if worth is None:
        return "over 10,000"
    return "**under 1**" if not worth else f"{worth:,.0f}" if worth >= 20 else f"{worth:.1f}"


def mean(card: Card, name: str) -> float:
    """Over the runs of a card."""
    values: list[float] = [run[name] for run in card["runs"]]
    return sum(values) / len(values)


def ranks(card: Card) -> bool:
    """Whether the method's shared weights are meant to compare architectures."""
    method: type[oneshot.Method] = getattr(oneshot, card["method"].partition("-")[0])
    return method.ranks


def _table(those: list[Card]) -> list[str]:
    titles = " | ".join(f"{title}, %" for title in DATASETS.values())
    lines = [
        f"| method | {titles} | worth | tau | best 20 | by loss | best 20 | idle | steps | search, s | memory, MiB | "
        "seeds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for card in those:
        tests = " | ".join(spread(card["test"][dataset]) for dataset in DATASETS)
        mark = " \\*" if card["runs"][0]["second_phase"] else "" if ranks(card) else f" {BLIND}"
        lines.append(
            f"| {card['method']}{mark} | {tests} | {trainings(card['test']['cifar10']['worth'])} | "
            f"{spread(card['tau']['all'])} | {spread(card['tau']['top'])} | {spread(card['tau_loss']['all'])} | "
            f"{spread(card['tau_loss']['top'])} | {mean(card, 'idle'):.1f} | "
            f"{card['runs'][0]['steps']:,} | {mean(card, 'search_seconds'):,.0f} | {mean(card, 'peak_mib'):,.0f} "
            f"({mean(card, 'before_mib'):,.0f}) | {len(card['runs'])} |"
        )
    first = those[0]
    for count in ("1", "10", "50"):
        tests = " | ".join(f"{first['random_search'][dataset][count]:.2f}" for dataset in DATASETS)
        plural = "s" if count != "1" else ""
        lines.append(f"| *{count} random training{plural}* | {tests} | {count} | | | | | | | | | |")
    taus = first["parameters_tau"]
    lines.append(f"| *number of parameters* | | | | | {taus['all']:.2f} | {taus['top']:.2f} | | | | | | | |")
    return [*lines, ""]


def _faults(those: list[Card]) -> list[str]:
    worse, blind, collapsed = [], [], []
    for card in those:
        told = card["test"]["cifar10"]
        if told["worth"] == 0:
            floor = card["random_search"]["cifar10"]["1"]
            worse.append(f"* {card['method']}: {told['mean']:.2f} on CIFAR-10, and a random cell has {floor:.2f}")
        taus, parameters = card["tau_loss"]["all"], card["parameters_tau"]["all"]
        if taus["mean"] <= parameters and ranks(card):
            words = "no better than chance" if taus["mean"] <= CHANCE else "better than chance"
            blind.append(f"* {card['method']}: tau by loss {taus['mean']:.2f}, {words}; parameters {parameters:.2f}")
        for run in card["runs"]:
            if run["collapse"]:
                collapsed.append(f"* {card['method']}, seed {run['seed']}: {'; '.join(run['collapse'])}")
    return [
        "### Worse than one random training\n", *(worse or ["* none"]), "",
        "### Shared weights rank no better than the number of parameters\n", *(blind or ["* none"]), "",
        "### Signs of a collapse\n", *(collapsed or ["* none"]), "",
    ]  # fmt: skip


def _runs(those: list[Card]) -> list[str]:
    rows = [
        f"| {card['method']} | {run['seed']} | `{run['cell'].replace('|', '¦')}` | {run['test']['cifar10']:.2f} | "
        f"{trainings(run['worth']['cifar10'])} | {run['found_accuracy']:.1f} ({run['mean_accuracy']:.1f}) | "
        f"{run['tau']['all']:.2f} | {run['tau_loss']['all']:.2f} | {run['trust']} |"
        for card in those
        for run in card["runs"]
    ]
    return [
        "### Every run\n",
        "Cells as the benchmark writes them, with ¦ for its bar. Accuracy with shared weights, and in brackets the",
        "mean over the 100 random cells. The verdict is that of the trust report (`lanista.trust`), printed with each",
        "run.\n",
        "| method | seed | cell | CIFAR-10, % | worth | shared, % | tau | by loss | verdict |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _published() -> list[str]:
    names = {theirs: ours for ours, all_ in BESIDE.items() for theirs in all_}
    lines = [
        "## Published one-shot results on this benchmark\n",
        "At full size, on a GPU; validation / test accuracy in percent.\n",
        f"| source | method | here | {' | '.join(DATASETS.values())} |",
        "|---|---|---|---|---|---|",
    ]
    for first in published.rows(protocol="one-shot", dataset="cifar10", metric="test"):
        cells = []
        for dataset in DATASETS:
            found = {
                row.metric: f"{row.mean:.2f} ± {row.std:.2f}"
                for row in published.rows(first.method, "one-shot", dataset, source=first.source)
            }
            cells.append(f"{found['validation']} / {found['test']}")
        short = "NAS-Bench-201" if first.source == published.PAPER else "NATS-Bench"
        lines.append(f"| {short} | {first.method} | {names.get(first.method, '')} | {' | '.join(cells)} |")
    return [*lines, "", f"* NAS-Bench-201: {published.PAPER}", f"* NATS-Bench: {published.NATS}"]


# --- picture ----------------------------------------------------------------------------------------------

WIDE, LEFT, TOP, ROW = 300.0, 170.0, 50.0, 20.0
"""A panel, what is left of and above it, and the height of a method; pixels."""


def picture(those: list[Card]) -> str:
    """A row for each method: the test errors of its runs on a log scale, and the rank correlations."""
    height = TOP + ROW * len(those)
    first = those[0]
    second = LEFT + WIDE + 40

    def error(accuracy: float) -> float:
        low, high = math.log10(5.5), math.log10(92)
        return LEFT + WIDE * (1 - (math.log10(100 - accuracy) - low) / (high - low))

    def tau(value: float) -> float:
        return second + WIDE * (value + 0.4) / 1.4

    parts = [
        f'<text class="head" x="{LEFT}" y="16">Test accuracy, %; n×: of random trainings</text>',
        f'<text class="head" x="{second}" y="16">Kendall tau, by accuracy ○, by loss ●</text>',
    ]
    for accuracy in (10, 50, 80, 90, 94):
        parts.append(f'<text class="middle" x="{error(accuracy):.1f}" y="{height + 16:.1f}">{accuracy}</text>')
    for count, anchor in (("1", "middle"), ("10", "end"), ("100", "start")):
        x = error(first["random_search"]["cifar10"][count])
        parts.append(line("rule", x, TOP - 8, x, height))
        parts.append(f'<text class="{anchor}" x="{x:.1f}" y="{TOP - 12:.1f}">{count}×</text>')
    for value in (0.0, 0.5, 1.0):
        parts.append(line("rule", tau(value), TOP - 8, tau(value), height))
        parts.append(f'<text class="middle" x="{tau(value):.1f}" y="{height + 16:.1f}">{value:g}</text>')
    x = tau(first["parameters_tau"]["all"])
    parts.append(line("c1", x, TOP - 8, x, height))
    parts.append(f'<text class="middle" x="{x:.1f}" y="{TOP - 12:.1f}">parameters</text>')
    for number, card in enumerate(those):
        y = TOP + ROW * (number + 0.5)
        parts.append(f'<text class="end" x="{LEFT - 12}" y="{y + 4:.1f}">{card["method"]}</text>')
        for run in card["runs"]:
            parts.append(f'<circle class="b0" cx="{error(run["test"]["cifar10"]):.1f}" cy="{y:.1f}" r="4"/>')
            parts.append(f'<circle class="b0" cx="{tau(run["tau_loss"]["all"]):.1f}" cy="{y:.1f}" r="4"/>')
            parts.append(f'<circle class="c0 open" cx="{tau(run["tau"]["all"]):.1f}" cy="{y:.1f}" r="4"/>')
    title = "Test accuracy of what was found, and rank correlations of shared weights"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {second + WIDE + 20:.0f} {height + 28:.0f}" '
            f'role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<style>{style(2)}.open{{fill:none;stroke-width:1.4}}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            *parts,
            "</svg>\n",
        ]
    )
