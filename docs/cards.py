"""The pages and pictures of the proof cards in docs/proof, made from their JSON files alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lanista.benchmark import published

Card = dict[str, Any]
FOLDER = Path(__file__).parent / "proof"

DATASETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}
BASELINE, FLOOR = "local-search", "random"
QUERIES = 150
"""Where every strategy is put beside local search."""
SEEDS, ALL_QUERIES = 200, 300
"""What a card is asked for at least, beside time budgets and the price of a proposal."""

ABOUT = f"""\
<!-- Made by `make docs` from docs/proof/*.json (`make proof`); do not edit. -->

# Proof cards

What each strategy finds on NAS-Bench-201, where the result of every network is known. Test accuracy of the incumbent
(the best one by what the search observed) in percent: mean and standard deviation over the seeds. The best networks
have 94.37, 73.51 and 47.31.

* **Protocol B, queries**: each query shows the validation accuracy of one 200-epoch training. Runs take the table's
  three training seeds in turn; what is asked twice is paid twice.
* **Protocol A, time budgets**, as in NATS-Bench: each training of 12 epochs shows its validation accuracy and costs
  its seconds, until 20,000 (CIFAR-10), 40,000 (CIFAR-100) or 120,000 (ImageNet16-120) are spent.
* **Hypervolume** of test error and cost, of the front by what was observed as in protocol B, divided by that of the
  true front; the reference point is the 95 % quantile of the error and the greatest cost.
* *Published* are the figures of [NATS-Bench](https://arxiv.org/abs/2009.00437) (table 3), and those of a second
  implementation that was written apart from lanista and run on the same table (500 runs; 40 to 200 for predictors and
  hypervolumes).

Below: {QUERIES} queries, time budgets, the processor time of a proposal, and the least number of seeds.
"""

# Light and dark: the one that a page is about, then the others in turn.
COLORS = (
    ("#c2410c", "#ffb37a"), ("#1d5fb4", "#86b7f5"), ("#2a7d46", "#7fd6a0"), ("#8a3ab9", "#d3a2f2"),
    ("#00797a", "#6fd8d8"), ("#b0307a", "#f59bcb"), ("#7a6a00", "#e6d35c"), ("#5d6776", "#9aa5b5"),
    ("#b3261e", "#ff9c94"), ("#3f4a5a", "#dde3ec"),
)  # fmt: skip


def cards() -> dict[str, Card]:
    """All cards by name, the floor and the baseline first."""
    named = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    return dict(sorted(named.items(), key=lambda item: (item[0] != FLOOR, item[0] != BASELINE, item[0])))


def pages() -> dict[str, Callable[[], str]]:
    """What is to be written, by its path below docs."""
    known = cards()
    made: dict[str, Callable[[], str]] = {"proof/index.md": lambda: index(known)}
    if known:
        made["proof/index.svg"] = lambda: picture("Regret of all strategies", known)
    for name in known:
        made[f"proof/{name}.md"] = lambda name=name: page(name, known)
        made[f"proof/{name}.svg"] = lambda name=name: picture(
            f"Regret of {name}", {one: known[one] for one in (name, FLOOR, BASELINE) if one in known}
        )
    return made


# --- text -------------------------------------------------------------------------------------------------


def results(card: Card, protocol: str, dataset: str) -> list[dict[str, Any]]:
    """The results of a protocol on a data set."""
    return [one for one in card["results"] if (one["protocol"], one["dataset"]) == (protocol, dataset)]


def at_queries(card: Card, dataset: str) -> dict[str, Any] | None:
    """What was reached where strategies are compared."""
    return next((one for one in results(card, "B", dataset) if one["evaluations"] == QUERIES), None)


def accuracy(result: dict[str, Any] | None) -> str:
    """Mean and deviation in percent."""
    return "-" if result is None else f"{result['mean']:.2f} ± {result['std']:.2f}"


def near(result: dict[str, Any], digits: int = 2) -> str:
    """Published figures, and where they are from."""
    told = []
    if result["published"] is not None:
        told.append(f"{result['published']:.{digits}f} ({origin(result['source'])})")
    if "measured" in result:
        told.append(f"{result['measured']:.{digits}f} ({origin(result['measured_source'])})")
    return ", ".join(told) or "-"


def origin(source: str) -> str:
    """A source in few words; the page says more below."""
    method, _, where = source.partition(": ")
    return f"{method}, {'NATS-Bench' if where == published.NATS else 'second implementation'}"


def against_baseline(name: str, known: dict[str, Card]) -> dict[str, tuple[str, str]]:
    """For each data set, a word and a sentence about this strategy and local search."""
    told = {}
    for dataset, title in DATASETS.items():
        mine = at_queries(known[name], dataset)
        theirs = at_queries(known[BASELINE], dataset) if BASELINE in known else None
        if mine is None or name == BASELINE:
            continue
        if theirs is None:
            (row,) = published.rows("local search", "B", dataset, amount=QUERIES)
            mean, error = row.mean, mine["standard_error"]
        else:
            mean, error = theirs["mean"], theirs["standard_error"]
        difference = mine["mean"] - mean
        errors = abs(difference) / math.hypot(mine["standard_error"], error)
        word = "the same" if errors <= 2 else "better" if difference > 0 else "worse"
        bold = f"**{word}**" if word == "worse" else word
        sentence = f"{title}: {mine['mean']:.2f}, local search {mean:.2f}: {bold} ({difference:+.2f}, "
        told[dataset] = word, sentence + f"{errors:.1f} standard errors)"
    return told


def page(name: str, known: dict[str, Card]) -> str:
    """The page of one strategy."""
    card = known[name]
    head = [
        f"<!-- Made by `make docs` from docs/proof/{name}.json (`make proof STRATEGIES={name}`); do not edit. -->\n",
        f"# Proof card: {name}\n",
        f"`{card['settings']}` on NAS-Bench-201 ({card['date']}, commit `{card['commit'][:12]}`, "
        + ", ".join(f"{library} {version}" for library, version in card["versions"].items())
        + f"; {card['machine']}). [All strategies and what the protocols are](index.md).\n",
        f"![Regret over evaluations, in percentage points of test accuracy]({name}.svg)\n",
    ]
    told = [*_lacking(card), *_against(name, known), *_bars(card), *_tables(card), *_shares(card), *_price(card)]
    return "\n".join([*head, *told, ""])


def _against(name: str, known: dict[str, Card]) -> list[str]:
    sentences = [sentence for _, sentence in against_baseline(name, known).values()]
    return [f"## Beside local search, at {QUERIES} queries\n", *[f"* {one}" for one in sentences], ""] * bool(sentences)


def _bars(card: Card) -> list[str]:
    if not card["bars"]:
        return []
    rows = []
    for bar in card["bars"]:
        what = {"A": "time budget", "B": f"{bar['evaluations']} queries"}.get(bar["protocol"])
        what = what or f"hypervolume with {bar['metric']} at {bar['evaluations']}"
        met = "yes" if bar["met"] else "**no**"
        rows.append(f"| {DATASETS[bar['dataset']]} | {what} | {bar['least']:g} | {bar['mean']:.4g} | {met} |")
    return ["## What it is held to\n", "| data set | | at least | reached | met |", "|---|---|---|---|---|", *rows, ""]


def lacking(card: Card) -> list[str]:
    """What a card was to measure and does not: seeds, queries, time budgets, the price of a proposal."""
    seeds = min(one["seeds"] for one in card["results"] + card["hypervolume"])
    queries = max((one["evaluations"] for one in card["results"] if one["protocol"] == "B"), default=0)
    unpriced = [f"{one['observed']:,}" for one in card["proposing"] if one["milliseconds"] is None]
    return [
        *([f"{seeds} seeds instead of {SEEDS}"] if seeds < SEEDS else []),
        *([f"{queries} queries instead of {ALL_QUERIES}"] if queries < ALL_QUERIES else []),
        *([] if any(one["protocol"] == "A" for one in card["results"]) else ["no time budgets (protocol A)"]),
        *([f"no price at {' and '.join(unpriced)} trials"] if unpriced else []),
    ]


def _lacking(card: Card) -> list[str]:
    short = lacking(card)
    return [f"**Measured less than was asked for**: {', '.join(short)}.", ""] * bool(short)


def _tables(card: Card) -> list[str]:
    lines = []
    for protocol, title in (("B", "Queries (protocol B)"), ("A", "Time budgets of NATS-Bench (protocol A)")):
        found = [one for dataset in DATASETS for one in results(card, protocol, dataset)]
        if not found:
            continue
        lines += [
            f"## {title}\n",
            "| data set | spent | test accuracy, % | standard error | seeds | published |",
            "|---|---|---|---|---|---|",
        ]
        for one in found:
            spent = f"{one['evaluations']} queries" if protocol == "B" else (
                f"{one['budget_seconds']:,.0f} s, {one['mean_evaluations']:.0f} trainings"
            )  # fmt: skip
            lines.append(
                f"| {DATASETS[one['dataset']]} | {spent} | {accuracy(one)} | {one['standard_error']:.3f} | "
                f"{one['seeds']} | {near(one)} |"
            )
            if "validation" in one:
                other = one["validation"]
                lines.append(
                    f"| | validation accuracy | {accuracy(other)} | {other['standard_error']:.3f} | {other['seeds']} | "
                    f"{near(other)} |"
                )
        lines.append("")
    return lines


def _shares(card: Card) -> list[str]:
    rows = [
        f"| {DATASETS[one['dataset']]} | {one['cost']} | {one['evaluations']} | {one['mean']:.3f} ± {one['std']:.3f} | "
        f"{one['standard_error']:.4f} | {one['seeds']} | {near(one, 3)} |"
        for one in card["hypervolume"]
    ]
    head = [
        "## Two objectives: error and cost\n",
        "| data set | cost | queries | hypervolume | standard error | seeds | published |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*head, *rows, ""] * bool(rows)


def milliseconds(price: dict[str, Any]) -> str:
    """The price of a proposal."""
    if price.get("failed"):
        return "**it fails**"
    if price["milliseconds"] is None:
        limit = price["limit_seconds"]
        return f"not finished in {limit:.0f} s" if limit else "not measured: too slow"
    return f"{price['milliseconds']:.3g} ms"


def _price(card: Card) -> list[str]:
    rows = [f"| {price['observed']:,} | {milliseconds(price)} |" for price in card["proposing"]]
    return [
        "## The price of a proposal\n",
        "Processor time of a proposal and its observation, on one thread.\n",
        "| observed trials | price |",
        "|---|---|",
        *rows,
    ]


def index(known: dict[str, Card]) -> str:
    """The overview."""
    rows, short, missed = [], [], []
    for name, card in known.items():
        words = against_baseline(name, known)
        tested = [accuracy(at_queries(card, dataset)) for dataset in DATASETS]
        budgets = [accuracy(next(iter(results(card, "A", dataset)), None)) for dataset in DATASETS]
        price = next((milliseconds(one) for one in card["proposing"] if one["observed"] == 1000), "-")
        seeds = min(one["seeds"] for one in card["results"] + card["hypervolume"])
        rows.append(f"| [{name}]({name}.md) | {' | '.join([*tested, *budgets])} | {price} | {seeds} |")
        short += [f"* [{name}]({name}.md), {sentence}" for word, sentence in words.values() if word == "worse"]
        missed += [
            f"* [{name}]({name}.md), {DATASETS[bar['dataset']]}, protocol {bar['protocol']}: {bar['mean']:.4g}, "
            f"and {bar['least']:g} was asked for"
            for bar in card["bars"]
            if not bar["met"]
        ]
        missed += [f"* [{name}]({name}.md): measured with {', '.join(lacking(card))}"] * bool(lacking(card))
    titles = " | ".join([f"{title}, {QUERIES} queries" for title in DATASETS.values()])
    budgets = " | ".join([f"{title}, time budget" for title in DATASETS.values()])
    return "\n".join(
        [
            ABOUT,
            *["One-shot methods have a [proof of their own](oneshot/index.md).\n"] * any(FOLDER.glob("oneshot/*.json")),
            f"| strategy | {titles} | {budgets} | price at 1,000 trials | seeds |",
            "|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            *["![Regret over evaluations, in percentage points of test accuracy](index.svg)\n"] * bool(known),
            f"## Worse than local search at {QUERIES} queries\n",
            "Local search is hard to beat on this benchmark. By more than two standard errors worse are:\n",
            *(short or ["* none"]),
            "\n## What was asked for and not reached\n",
            *(missed or ["* nothing"]),
            "",
        ]
    )


# --- pictures ---------------------------------------------------------------------------------------------

WIDE, HIGH, LEFT, TOP, GAP = 250.0, 210.0, 46.0, 34.0, 26.0
"""A panel, what is left of and above it, and between two; pixels."""


def picture(title: str, those: dict[str, Card]) -> str:
    """Mean regret over evaluations, both on a log scale: a panel for each data set, a line for each card."""
    drawn = {name: card["curves"] for name, card in those.items() if card["curves"]}
    last = max(curve["evaluations"][-1] for curves in drawn.values() for curve in curves.values())
    parts = []
    for number, (dataset, label) in enumerate(DATASETS.items()):
        curves = {name: one[dataset] for name, one in drawn.items() if dataset in one}
        parts += panel(LEFT + number * (WIDE + LEFT + GAP), label, curves, last, list(drawn))
    width = 3 * (WIDE + LEFT + GAP)
    below = TOP + HIGH + 44
    x = LEFT
    for position, name in enumerate(drawn):
        wanted = 30 + 7.5 * len(name)
        if x + wanted > width:
            x, below = LEFT, below + 18
        parts.append(
            f'<line class="c{position}" x1="{x:.1f}" y1="{below - 4:.1f}" x2="{x + 18:.1f}" y2="{below - 4:.1f}"/>'
        )
        parts.append(f'<text x="{x + 23:.1f}" y="{below:.1f}">{name}</text>')
        x += wanted + 12
    size = f"{width:.0f} {below + 14:.0f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<style>{style(len(drawn))}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            *parts,
            "</svg>\n",
        ]
    )


def style(count: int) -> str:
    """For light and dark pages."""

    def rules(dark: bool) -> str:
        page, ink, rule = ("#14171c", "#e6eaf0", "#343b47") if dark else ("#ffffff", "#1d2530", "#d8dce3")
        told = f".page{{fill:{page}}}text{{fill:{ink}}}.rule{{stroke:{rule}}}"
        for position in range(count):
            color = COLORS[position % len(COLORS)][dark]
            told += f".c{position}{{stroke:{color}}}.b{position}{{fill:{color}}}"
        return told

    fonts = 'text{font-family:system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12px}.end{text-anchor:end}'
    shapes = ".head{font-weight:600}.middle{text-anchor:middle}polyline,line{fill:none;stroke-width:1.8}"
    plain = "line.rule{stroke-width:1}polygon{opacity:.18}.c0{stroke-width:2.6}"
    return f"{fonts}{shapes}{plain}{rules(False)}@media (prefers-color-scheme:dark){{{rules(True)}}}"


def panel(left: float, label: str, curves: dict[str, Any], last: int, names: Sequence[str]) -> list[str]:
    """The curves of one data set; a band around each is two standard errors wide."""
    regrets = [value for curve in curves.values() for value in curve["regret"] if value > 0]
    low, high = min(regrets, default=0.1), max(regrets, default=10.0)
    floor, ceiling = math.log10(low) - 0.05, math.log10(high) + 0.05

    def x(evaluations: float) -> float:
        return left + WIDE * math.log10(evaluations) / math.log10(last)

    def y(regret: float) -> float:
        place = (math.log10(max(regret, low)) - floor) / (ceiling - floor)
        return TOP + HIGH * (1 - place)

    parts = [f'<text class="head" x="{left:.1f}" y="{TOP - 12:.1f}">{label}</text>']
    for tick in (t * 10.0**power for power in range(-3, 3) for t in (1, 2, 5)):
        if low <= tick <= high:
            parts.append(line("rule", left, y(tick), left + WIDE, y(tick)))
            parts.append(f'<text class="end" x="{left - 6:.1f}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    for tick in (1, 3, 10, 30, 100, 300):
        if tick <= last:
            parts.append(line("rule", x(tick), TOP, x(tick), TOP + HIGH))
            parts.append(f'<text class="middle" x="{x(tick):.1f}" y="{TOP + HIGH + 16:.1f}">{tick}</text>')
    for name, curve in reversed(curves.items()):
        at, means = curve["evaluations"], curve["regret"]
        errors = [std / math.sqrt(curve["seeds"]) for std in curve["regret_std"]]
        upper = [(x(n), y(mean + error)) for n, mean, error in zip(at, means, errors, strict=True)]
        lower = [(x(n), y(mean - error)) for n, mean, error in zip(at, means, errors, strict=True)]
        position = names.index(name)
        parts.append(f'<polygon class="b{position}" points="{joined([*upper, *reversed(lower)])}"/>')
        middle = [(x(n), y(mean)) for n, mean in zip(at, means, strict=True)]
        parts.append(f'<polyline class="c{position}" points="{joined(middle)}"/>')
    return parts


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """From one point to another."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def joined(points: Iterable[tuple[float, float]]) -> str:
    """Points as SVG has them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
