"""What an experiment optimises, and which trials are best by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from lanista.errors import MetricError
from lanista.trial import State, Trial

Direction = Literal["maximize", "minimize"]
DIRECTIONS = ("maximize", "minimize")

ONLY = ""
"""Name of an objective that is the only metric, whatever that is called."""


@dataclass(frozen=True)
class Objectives:
    """Metrics to maximise or minimise, in order of importance for tables.

    Attributes:
        directions: metric name -> direction; the name "" stands for the only metric that there is.
    """

    directions: dict[str, Direction]

    @classmethod
    def read(cls, given: str | Mapping[str, str]) -> Objectives:
        """From a direction (short for one metric) or from `{"accuracy": "maximize", "latency": "minimize"}`.

        Raises:
            MetricError: it is neither, there is none, or a direction is neither "maximize" nor "minimize".
        """
        if not isinstance(given, str | Mapping):
            raise MetricError(
                f"objectives is {given!r}; give a direction, or metric -> direction: {{'accuracy': 'maximize'}}"
            )
        named = {ONLY: given} if isinstance(given, str) else dict(given)
        if not named:
            raise MetricError("objectives is empty; name at least one metric: {'accuracy': 'maximize'}")
        for name, direction in named.items():
            if direction not in DIRECTIONS:
                what = f"of {name!r} " if name else ""
                raise MetricError(
                    f"the direction {what}is {direction!r}; it must be 'maximize' or 'minimize': "
                    "objectives='maximize' for the only metric, or objectives={'accuracy': 'maximize'}"
                )
        return cls(cast(dict[str, Direction], named))

    def names(self, metrics: Iterable[str]) -> list[str]:
        """The names of the objectives among the names of a trial's metrics.

        Raises:
            MetricError: an objective is not there, or "the only metric" is one of several.
        """
        there = list(metrics)
        if ONLY in self.directions:
            if len(there) != 1:
                raise MetricError(
                    f"the evaluator gave {len(there)} metrics ({', '.join(there)}), but objectives="
                    f"{self.directions[ONLY]!r} is short for a single one; name what counts: "
                    f"objectives={{{there[0]!r}: {self.directions[ONLY]!r}}}"
                )
            return there
        for name in self.directions:
            if name not in there:
                raise MetricError(
                    f"the objective {name!r} is not among the metrics that the evaluator gave: {', '.join(there)}"
                )
        return list(self.directions)

    def scores(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The objectives' values, signs turned so that greater is better. Raises MetricError as `names` does."""
        return tuple(
            metrics[name] if direction == "maximize" else -metrics[name]
            for name, direction in zip(self.names(metrics), self.directions.values(), strict=True)
        )

    def scores_first(self, metrics: Mapping[str, float]) -> float:
        """The first objective's value, sign turned so that greater is better; the other ones need not be there.

        Raises:
            MetricError: it is not there, or "the only metric" is one of several.
        """
        name, direction = next(iter(self.directions.items()))
        return Objectives({name: direction}).scores(metrics)[0]

    def __str__(self) -> str:
        return ", ".join(f"{direction} {name or 'the metric'}" for name, direction in self.directions.items())


def best(trials: Iterable[Trial], k: int | None = None) -> list[Trial]:
    """Completed trials, the best by the first objective first, the earlier one at a tie; at most `k`."""
    completed = [trial for trial in trials if trial.state is State.COMPLETED]
    return sorted(completed, key=lambda trial: (-trial.scores[0], trial.number))[:k]


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` is at least as good in all scores, and better in one."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def pareto(trials: Iterable[Trial]) -> list[Trial]:
    """Completed trials that no other dominates, the best by the first objective first."""
    front: list[Trial] = []
    # With ties settled by the other objectives, only earlier ones can dominate later ones.
    for trial in sorted(best(trials), key=lambda trial: trial.scores, reverse=True):
        if not any(dominates(other.scores, trial.scores) for other in front):
            front.append(trial)
    return front
