"""Regularised (aging) evolution.

Real, Aggarwal, Huang and Le, "Regularized Evolution for Image Classifier Architecture Search",
https://arxiv.org/abs/1802.01548, algorithm 1.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Literal, final

from lanista import setting
from lanista.errors import SpaceError
from lanista.objective import dominates
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial


@final
class RegularizedEvolution(Strategy):
    """Mutates the winner of a tournament; the oldest individual dies, however good it is.

    The population are the last `population_size` completed trials, in the order in which they ended; random
    architectures are proposed until there are so many. What fails or is pruned never enters it. Architectures
    may be proposed again, as in the paper, and the search does not end: wrap it in `Deduplicated` to spend no
    trial twice.

    With several objectives, the winner is a random one of those in the tournament that no other one
    dominates.

    Args:
        population_size: the paper's P, at least 1.
        sample_size: the paper's S, at least 1: individuals in a tournament, drawn with replacement.
        mutation_probability: None: exactly one decision changes, as in the paper. A number in (0, 1]: each
            changes with this probability, and at least one does.
        crossover: False, as in the paper. A number in (0, 1]: with this probability, what is mutated is a
            cross of the winners of two tournaments.

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(
        self,
        *,
        population_size: int = 100,
        sample_size: int = 25,
        mutation_probability: float | None = None,
        crossover: float | Literal[False] = False,
    ) -> None:
        self._population_size = setting.count("population_size", population_size)
        self._sample_size = setting.count("sample_size", sample_size)
        self._mutation_probability = mutation_probability
        if mutation_probability is not None:
            setting.probability("mutation_probability", mutation_probability, "None to change exactly one decision")
        self._crossover = crossover
        if crossover is not False:
            setting.probability("crossover", crossover, "False for none")

    def __repr__(self) -> str:
        return (
            f"RegularizedEvolution(population_size={self._population_size}, sample_size={self._sample_size}, "
            f"mutation_probability={self._mutation_probability}, crossover={self._crossover})"
        )

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, with an empty population."""
        self._space, self._rng = space, random.Random(seed)
        self._population: deque[Trial] = deque(maxlen=self._population_size)

    def propose(self) -> Architecture:
        """A random architecture, or the mutated winner of a tournament."""
        if len(self._population) < self._population_size:
            return self._space.sample(self._rng)
        parent = self._tournament()
        if self._crossover and self._rng.random() < self._crossover:
            parent = self._space.crossover(parent, self._tournament(), self._rng)
        try:
            return self._space.mutate(parent, self._rng, probability=self._mutation_probability)
        except SpaceError:  # the space has one architecture
            return dict(parent)

    def observe(self, trial: Trial) -> None:
        """Let a completed trial into the population; the oldest one makes room."""
        if trial.state is State.COMPLETED:
            self._population.append(trial)

    def _tournament(self) -> Architecture:
        sample = self._rng.choices(self._population, k=self._sample_size)
        scores = {candidate.scores for candidate in sample}
        best = {score for score in scores if not any(dominates(other, score) for other in scores)}
        return self._rng.choice([candidate for candidate in sample if candidate.scores in best]).architecture
