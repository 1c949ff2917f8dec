"""Every sampler of Optuna as a strategy."""

from __future__ import annotations

from typing import Protocol, final

from optuna.samplers import BaseSampler

from lanista import setting
from lanista.errors import ExperimentError
from lanista.strategy.study import StudyStrategy


class SamplerMaker(Protocol):
    """Makes a new sampler: a sampler's class, or a function with the argument `seed`."""

    def __call__(self, *, seed: int) -> BaseSampler:
        """A sampler whose random numbers follow from `seed`, which is in [0, 2**31)."""


@final
class OptunaStrategy(StudyStrategy):
    """Any sampler of Optuna, of OptunaHub, or of one's own that keeps Optuna's contract.

    `OptunaStrategy(lambda seed: CmaEsSampler(seed=seed, popsize=8), joint=True)`, or just
    `OptunaStrategy(QMCSampler, joint=True)`. `TPE`, `NSGA2` and `BayesianOptimization` are ready made.

    Not every sampler can do everything: CMA-ES learns nothing about categories, nor from trials that it did not
    propose, and raises ValueError if there are several objectives.

    Args:
        sampler: makes a new sampler for each search; called with the argument `seed`, from 0 to 2**31 - 1.
        joint: ask the sampler for all decisions each time, also for those that do not exist in the architecture; these
            count as having their default. For samplers that model only the parameters that every trial has, and draw
            the others at random: Gaussian process, CMA-ES, QMC, NSGA-II and -III, TPE with `multivariate` unless with
            `group`.

    Raises:
        ExperimentError: `sampler` cannot be called, or (at the beginning of a search) does not return a sampler.
    """

    def __init__(self, sampler: SamplerMaker, *, joint: bool = False) -> None:
        super().__init__(joint=joint)
        given: object = sampler
        if not callable(given):
            made = type(sampler).__name__ if isinstance(sampler, BaseSampler) else "TPESampler"
            raise ExperimentError(
                f"sampler is {sampler!r}; each search needs a new sampler with a seed of its own, so give a function "
                f"that makes it, such as lambda seed: {made}(seed=seed)"
            )
        self._make = sampler

    def __repr__(self) -> str:
        return f"OptunaStrategy({setting.name(self._make)}, joint={self._joint})"

    def _sampler(self, seed: int) -> BaseSampler:
        made = self._make(seed=seed)
        if not isinstance(made, BaseSampler):
            raise ExperimentError(
                f"{setting.name(self._make)} returned {made!r}; it must return an optuna.samplers.BaseSampler, as "
                "lambda seed: TPESampler(seed=seed) does"
            )
        return made
