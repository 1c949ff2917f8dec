"""Problems of a formula, whose best architectures are known: what a strategy must be able to solve.

Each is a `SearchSpace`, a function from architectures to scores (greater is better), and the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from lanista.errors import BenchmarkError
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical, Domain, Integer, Real
from lanista.space.search import SearchSpace

Score: TypeAlias = Callable[[Architecture], tuple[float, ...]]


@dataclass(frozen=True)
class Problem:
    """A search space and what its architectures are worth.

    Attributes:
        name: in a word.
        space: the decisions.
        score: one number for each objective, greater is better.
        optimum: the scores that no other architecture's dominate, the best by the first objective first: one entry
            where there is one objective.
    """

    name: str
    space: SearchSpace
    score: Score
    optimum: tuple[tuple[float, ...], ...]

    def __call__(self, architecture: Architecture) -> float:
        """The first score."""
        return self.score(architecture)[0]

    def regret(self, architecture: Architecture) -> float:
        """How much the best first score is better; at least 0."""
        return self.optimum[0][0] - self.score(architecture)[0]


def additive(decisions: int = 8, values: int = 5) -> Problem:
    """Each decision adds what its value is worth by itself: one best value each, and no interactions.

    Args:
        decisions: number of decisions, at least 1.
        values: number of values of each, at least 2; the best one differs from decision to decision.
    """
    space = _grid(decisions, values)
    best = {label: (3 * i + 1) % values for i, label in enumerate(space.labels)}

    def score(architecture: Architecture) -> tuple[float]:
        return (-float(sum(abs(architecture[label] - goal) for label, goal in best.items())),)

    return Problem("additive", space, score, ((0.0,),))


def deceptive(traps: int = 4, length: int = 3) -> Problem:
    """Traps of several bits: each is best with all ones, but for all others, a one less is better.

    Goldberg, "Simple Genetic Algorithms and the Minimal, Deceptive Problem", 1987. A climber of single changes ends in
    all zeros, with a score of `traps * (length - 1)`; the best has `traps * length`.

    Args:
        traps: number of traps, at least 1.
        length: bits of each, at least 2.
    """
    if traps < 1 or length < 2:
        raise BenchmarkError(f"{traps} traps of {length} bits are asked for; give at least 1, of at least 2")
    space = _grid(traps * length, 2)

    def score(architecture: Architecture) -> tuple[float]:
        bits = list(architecture.values())
        ones = [sum(bits[i : i + length]) for i in range(0, len(bits), length)]
        return (float(sum(length if count == length else length - 1 - count for count in ones)),)

    return Problem("deceptive", space, score, ((float(traps * length),),))


def chain(decisions: int = 8, values: int = 4) -> Problem:
    """Neighbours interact: a decision is worth something only if it is one more (in a circle) than the one before.

    Every start of the circle is equally good, so there are `values` best architectures, far from each other.

    Args:
        decisions: number of decisions, at least 2.
        values: number of values of each, at least 2.
    """
    space = _grid(decisions, values)

    def score(architecture: Architecture) -> tuple[float]:
        return (float(sum((a + 1) % values == b for a, b in pairwise(architecture.values()))),)

    return Problem("chain", space, score, ((float(decisions - 1),),))


def conditional() -> Problem:
    """A choice of branches, each with decisions of its own: integers, a logarithmic range, a nested branch.

    The best is the branch "conv" with 64 filters, a rate of 0.01 and the gate "squeeze" of ratio 4, which scores 10.
    The branch "pool" looks better at first: any answer in it scores 6 to 7, most in "conv" less.
    """
    domains: dict[str, Domain] = {
        "branch": Categorical(["conv", "pool"]),
        "filters": Integer(16, 128, 16),
        "rate": Real(1e-4, 1.0, log=True),
        "gate": Categorical(["none", "squeeze"]),
        "ratio": Integer(2, 16, 2),
        "window": Categorical([2, 3, 5]),
    }
    when = {
        "filters": ({"branch": ["conv"]},),
        "rate": ({"branch": ["conv"]},),
        "gate": ({"branch": ["conv"]},),
        "ratio": ({"gate": ["squeeze"]},),
        "window": ({"branch": ["pool"]},),
    }
    space = SearchSpace([Decision(label, domain, when.get(label, ())) for label, domain in domains.items()])

    def score(architecture: Architecture) -> tuple[float]:
        if architecture["branch"] == "pool":
            return (6.0 + (architecture["window"] == 3),)
        worth = (
            8.0 - 2 * abs(math.log2(architecture["filters"] / 64)) - 2 * abs(math.log10(architecture["rate"] / 0.01))
        )
        if architecture["gate"] == "squeeze":
            worth += 2.0 - abs(architecture["ratio"] - 4) / 2
        return (worth,)

    return Problem("conditional", space, score, ((10.0,),))


def biobjective(decisions: int = 6, values: int = 5) -> Problem:
    """Two objectives, size against accuracy, whose front is known: `decisions * (values - 1) + 1` points.

    Every decision makes the network larger by its value. The larger the better, with diminishing returns, if all sizes
    are balanced; imbalance costs.

    Args:
        decisions: number of decisions, at least 1.
        values: number of values of each, at least 2.
    """
    space = _grid(decisions, values)

    def gain(sizes: Sequence[int]) -> float:
        return math.sqrt(sum(sizes)) - 0.5 * max(0, max(sizes) - min(sizes) - 1)

    def score(architecture: Architecture) -> tuple[float, float]:
        sizes = list(architecture.values())
        return gain(sizes), -float(sum(sizes))

    total = decisions * (values - 1)
    front = tuple((math.sqrt(size), -float(size)) for size in range(total, -1, -1))
    return Problem("biobjective", space, score, front)


PROBLEMS: tuple[Callable[[], Problem], ...] = (additive, deceptive, chain, conditional, biobjective)
"""All of them; each is also a function of its own."""


def _grid(decisions: int, values: int) -> SearchSpace:
    if decisions < 1 or values < 2:
        raise BenchmarkError(f"{decisions} decisions of {values} values are asked for; give at least 1, of at least 2")
    return SearchSpace({f"d{i}": Categorical(range(values)) for i in range(decisions)})
