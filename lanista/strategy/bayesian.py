"""Bayesian optimisation with a Gaussian process.

Snoek, Larochelle and Adams, "Practical Bayesian Optimization of Machine Learning Algorithms",
https://arxiv.org/abs/1206.2944; the acquisition function is that of Ament, Daulton, Eriksson, Balandat and Bakshy,
"Unexpected Improvements to Expected Improvement for Bayesian Optimization", https://arxiv.org/abs/2310.20708.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import final

from optuna.samplers import BaseSampler, GPSampler

from lanista import setting
from lanista.errors import ExperimentError
from lanista.strategy.study import StudyStrategy


@final
class BayesianOptimization(StudyStrategy):
    """Fits a Gaussian process to the scores, and proposes what promises the greatest improvement.

    Optuna's sampler: a Matérn kernel with a length scale for each decision (categories are equal or not), and the
    expected improvement's logarithm, or that of the hypervolume if there are several objectives. Parallel proposals
    take those that still run into account. Failed and pruned trials count as the worst so far. A proposal costs a tenth
    of a second after 50 trials and half a second after 300: for searches of up to some hundred trials, each of minutes.
    Architectures may be proposed again, and the search does not end: wrap it in `Deduplicated` to spend no trial twice.

    Decisions that do not exist in an architecture count as having their default.

    Args:
        n_startup_trials: random architectures until so many trials have completed, at least 1.

    Raises:
        ExperimentError: the number is none, or scipy is not installed.
    """

    def __init__(self, *, n_startup_trials: int = 10) -> None:
        super().__init__(joint=True, worst=True)
        self._n_startup_trials = setting.count("n_startup_trials", n_startup_trials)
        if find_spec("scipy") is None:
            raise ExperimentError("BayesianOptimization needs scipy: pip install 'lanista[samplers]'")

    def __repr__(self) -> str:
        return f"BayesianOptimization(n_startup_trials={self._n_startup_trials})"

    def _sampler(self, seed: int) -> BaseSampler:
        return GPSampler(n_startup_trials=self._n_startup_trials, seed=seed)
