"""The strategies that get a proof card, with the settings under which they are proven.

To add one: an entry in `CONTENDERS`, then `make proof STRATEGIES=its-name`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from lanista import strategy
from lanista.benchmark.protocol import BUDGETS
from lanista.strategy import Strategy

Protocol = Literal["A", "B", "hypervolume"]
DATASETS = tuple(BUDGETS)


@dataclass(frozen=True)
class Bar:
    """What a strategy is held to.

    Attributes:
        protocol: "A", "B", or "hypervolume".
        amount: evaluations; None in protocol A, whose budget depends on the data set.
        least: the least mean, for CIFAR-10, CIFAR-100 and ImageNet16-120.
        metric: "test", or the cost of a hypervolume.
        source: who demands it.
    """

    protocol: Protocol
    amount: int | None
    least: tuple[float, float, float]
    metric: str = "test"
    source: str = "the issue that asks for the strategy"


@dataclass(frozen=True)
class Contender:
    """A strategy under proof.

    Attributes:
        make: gives a fresh one.
        published: names of methods in `lanista.benchmark.published` that the figures are put beside.
        seeds: runs of each protocol and data set.
        evaluations: queries of each run of protocol B.
        protocols: what is run.
        bars: what it is held to, beside its published figures.
        observed: the price of proposing is measured up to so many observed trials.
        fast: seeds and queries of the quick check that runs with the tests, on one data set.
    """

    make: Callable[[], Strategy]
    published: Sequence[str] = ()
    seeds: int = 200
    evaluations: int = 300
    protocols: tuple[Protocol, ...] = ("A", "B")
    bars: Sequence[Bar] = ()
    observed: int = 10_000
    fast: tuple[int, int] = (10, 50)


CONTENDERS: dict[str, Contender] = {
    "random": Contender(
        lambda: strategy.Random(dedup=False),
        published=("RS",),
        seeds=500,
        evaluations=500,
        protocols=("A", "B", "hypervolume"),
        fast=(40, 100),
    ),
    "grid": Contender(lambda: strategy.GridSearch(shuffle=True), published=("RS",), fast=(20, 50)),
    "evolution": Contender(
        lambda: strategy.RegularizedEvolution(population_size=10, sample_size=3),
        published=("REA(10,3)",),
        seeds=500,
        evaluations=500,
        protocols=("A", "B", "hypervolume"),
        fast=(40, 100),
    ),
    "evolution-50": Contender(
        lambda: strategy.RegularizedEvolution(population_size=50, sample_size=10),
        published=("REA(50,10)",),
        seeds=500,
        evaluations=500,
        protocols=("A", "B"),
        fast=(40, 100),
    ),
    "local-search": Contender(
        strategy.LocalSearch,
        published=("local search",),
        seeds=500,
        evaluations=500,
        bars=(Bar("B", 150, (94.15, 72.7, 46.1)),),
        fast=(40, 100),
    ),
    "bananas": Contender(
        strategy.BANANAS,
        published=("linear-Gaussian predictor",),
        bars=(Bar("B", 150, (94.15, 72.7, 46.1)),),
        fast=(6, 40),
    ),
    "policy-gradient": Contender(
        strategy.PolicyBasedRL,
        published=("REINFORCE",),
        bars=(Bar("A", None, (93.85, 71.7, 45.2)),),
        fast=(15, 50),
    ),
    "tpe": Contender(
        strategy.TPE,
        bars=(Bar("B", 150, (93.86, 71.56, 45.47), source="random search of a second implementation"),),
        fast=(8, 30),
    ),
    "bayesian": Contender(
        strategy.BayesianOptimization, seeds=10, evaluations=150, protocols=("B",), observed=100, fast=(4, 20)
    ),
    "nsga2": Contender(
        strategy.NSGA2,
        published=("NSGA-II",),
        protocols=("A", "B", "hypervolume"),
        bars=(Bar("hypervolume", 200, (0.95, 0.90, 0.90), "latency"),),
        fast=(15, 50),
    ),
}
"""By the name of the card."""
