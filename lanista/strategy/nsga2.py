"""NSGA-II, for several objectives.

Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
https://doi.org/10.1109/4235.996017.
"""

from __future__ import annotations

from typing import final

from optuna.samplers import BaseSampler, NSGAIISampler

from lanista import setting
from lanista.errors import ExperimentError
from lanista.strategy.study import StudyStrategy


@final
class NSGA2(StudyStrategy):
    """Keeps a population near the Pareto front, spread out along it, and crosses and mutates its members.

    Optuna's sampler. The first generation is random. Each later one consists of `population_size` completed trials;
    their parents are the best of the generation before and of its parents: first the fronts that fewer others dominate,
    then those with the most room around them. Failed and pruned trials never become parents, and completed trials of
    others join the generation of their day. With one objective it is a genetic algorithm with elitism. Architectures
    may be proposed again, and the search does not end: wrap it in `Deduplicated` to spend no trial twice.

    A child has a value for each decision, also for those that do not exist in it (their default), so that parents of
    different branches can be crossed.

    Args:
        population_size: the paper's N, at least 2. Small ones suit the budgets of architecture search, of some hundred
            trials: ten to twenty generations should fit in.
        mutation_probability: each decision is drawn anew with this probability, in (0, 1]. None: one over the number of
            decisions.
        crossover_probability: with it a child has two parents, else one; in (0, 1], or False for never.
        swapping_probability: with it a decision comes from the second parent, in (0, 1].

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(
        self,
        *,
        population_size: int = 10,
        mutation_probability: float | None = 0.25,
        crossover_probability: float = 0.9,
        swapping_probability: float = 0.5,
    ) -> None:
        super().__init__(joint=True)
        if setting.count("population_size", population_size) < 2:
            raise ExperimentError(f"population_size is {population_size}; two parents are crossed, so give at least 2")
        self._population_size = population_size
        self._mutation_probability = mutation_probability
        if mutation_probability is not None:
            setting.probability("mutation_probability", mutation_probability, "None for one decision on average")
        self._crossover_probability = crossover_probability
        if crossover_probability is not False:
            setting.probability("crossover_probability", crossover_probability, "False for none")
        self._swapping_probability = setting.probability(
            "swapping_probability", swapping_probability, "crossover_probability=False for no crossover"
        )

    def __repr__(self) -> str:
        return (
            f"NSGA2(population_size={self._population_size}, mutation_probability={self._mutation_probability}, "
            f"crossover_probability={self._crossover_probability}, swapping_probability={self._swapping_probability})"
        )

    def _sampler(self, seed: int) -> BaseSampler:
        return NSGAIISampler(
            population_size=self._population_size,
            mutation_prob=self._mutation_probability,
            crossover_prob=float(self._crossover_probability),
            swapping_prob=self._swapping_probability,
            seed=seed,
        )
