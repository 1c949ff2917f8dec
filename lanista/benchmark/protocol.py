"""How strategies are compared on tables: who may look at what, what it costs, and what is reported.

Protocol A is that of NATS-Bench (Dong, Liu, Musial and Gabrys, https://arxiv.org/abs/2009.00437): a budget of simulated
seconds, spent on short trainings. Protocol B counts queries, each of which shows one seed's long training. Both
report the test accuracy of the incumbent: the best one observed so far, by what was observed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lanista.benchmark.hypervolume import Region, front
from lanista.benchmark.table import Table
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial

BUDGETS = {"cifar10": 20_000.0, "cifar100": 40_000.0, "imagenet16-120": 120_000.0}
"""Seconds of NATS-Bench, by data set."""


@dataclass(frozen=True)
class Summary:
    """Mean and spread of a figure over seeds.

    Attributes:
        seeds: number of runs.
        mean: over them.
        std: standard deviation of one run; 0 for a single one.
        standard_error: of the mean.
    """

    seeds: int
    mean: float
    std: float
    standard_error: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Summary:
        """Of at least one value."""
        given = list(values)
        std = statistics.stdev(given) if len(given) > 1 else 0.0
        return cls(len(given), statistics.fmean(given), std, std / math.sqrt(len(given)))

    def distance(self, mean: float, standard_error: float) -> float:
        """How far another mean is away, in combined standard errors."""
        return abs(self.mean - mean) / (math.hypot(self.standard_error, standard_error) or math.ulp(1.0))


@dataclass(frozen=True)
class Search:
    """One run of a strategy on a table.

    Attributes:
        rows: what was proposed, as rows of the table, in order.
        incumbents: after each proposal, the row of the best one observed so far; the earlier one at a tie.
        seconds: what all of them cost, in simulated seconds; 0 in protocol B.
    """

    rows: list[int]
    incumbents: list[int]
    seconds: float = 0.0

    def curve(self, column: Sequence[float], evaluations: Sequence[int]) -> list[float]:
        """What the column says of the incumbent after so many evaluations each; a search that ended stays there."""
        return [column[self.incumbents[min(count, len(self.incumbents)) - 1]] for count in evaluations]


def budget(strategy: Strategy, table: Table, seed: int, seconds: float) -> Search:
    """Protocol A: observe `validation_12` and pay `seconds_12`, until so many `seconds` are spent.

    As in NATS-Bench, the training that oversteps the budget still counts, and so does a repeated one.

    Raises:
        BenchmarkError: the table has no short trainings.
    """
    observed, price = table.columns("validation_12", "seconds_12")
    spent = 0.0

    def score(row: int) -> tuple[float, ...]:
        nonlocal spent
        spent += price[row]
        return (observed[row],)

    rows, scores = _search(strategy, table, seed, score, lambda number: spent < seconds)
    return Search(rows, _incumbents(rows, scores), spent)


def queries(strategy: Strategy, table: Table, seed: int, count: int) -> Search:
    """Protocol B: each query observes `validation` of one and the same training seed; repeated queries are charged.

    Which of the table's seeds it is alternates over the seeds of the strategy: `seed % 3`.
    """
    observed = _noisy(table, seed)
    rows, scores = _search(strategy, table, seed, lambda row: (observed[row],), lambda n: n < count)
    return Search(rows, _incumbents(rows, scores))


def fronts(strategy: Strategy, table: Table, seed: int, cost: str, evaluations: Sequence[int]) -> list[float]:
    """Two objectives: the relative hypervolume of (test error, cost) after so many evaluations each.

    The strategy observes the validation accuracy of one training seed, as in protocol B, and the cost, which has no
    noise. What no other proposal dominates by that is its front; reported is the hypervolume of the front's test errors
    and costs, divided by that of all architectures. The reference point is the 95 % quantile of the errors and
    the greatest cost.

    Args:
        strategy: of several objectives.
        table: has `validation` by seed, `test` and the cost.
        seed: of the strategy.
        cost: a metric to be small, such as "parameters" or "latency".
        evaluations: how many proposals, increasing.
    """
    observed = _noisy(table, seed)
    test, price = table.columns("test", cost)
    rows, _ = _search(
        strategy, table, seed, lambda row: (observed[row], -price[row]), lambda number: number < evaluations[-1]
    )
    region = Region.of([(100 - test[row], price[row]) for row in range(len(table))])

    def share(seen: Sequence[int]) -> float:
        found = front((-observed[row], price[row]) for row in seen)
        return region.share((100 - test[seen[i]], price[seen[i]]) for i in found)

    return [share(rows[:count]) for count in evaluations]


def _noisy(table: Table, seed: int) -> Sequence[float]:
    """The validation accuracies of one training seed."""
    observed = table.columns(*table.seeds["validation"])
    return observed[seed % len(observed)]


def _search(
    strategy: Strategy,
    table: Table,
    seed: int,
    score: Callable[[int], tuple[float, ...]],
    goes_on: Callable[[int], bool],
) -> tuple[list[int], list[tuple[float, ...]]]:
    """Propose and observe, one after another; `score` gets the row of the table, `goes_on` the number of trials."""
    strategy.reset(table.space, seed)
    rows: list[int] = []
    scores: list[tuple[float, ...]] = []
    while goes_on(len(rows)):
        try:
            architecture = strategy.propose()
        except StopIteration:
            break
        rows.append(table.row(architecture))
        scores.append(score(rows[-1]))
        strategy.observe(
            Trial(number=len(rows) - 1, architecture=architecture, state=State.COMPLETED, scores=scores[-1])
        )
    return rows, scores


def _incumbents(rows: Sequence[int], scores: Sequence[tuple[float, ...]]) -> list[int]:
    """After each proposal, the row of the best score so far."""
    best, incumbents = -math.inf, []
    for row, (score,) in zip(rows, scores, strict=True):
        if score > best:
            best, incumbent = score, row
        incumbents.append(incumbent)
    return incumbents
