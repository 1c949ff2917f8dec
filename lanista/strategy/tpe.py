"""The tree-structured Parzen estimator.

Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011,
https://papers.nips.cc/paper/4443. For several objectives: Ozaki, Tanigaki, Watanabe and Onishi, "Multiobjective
Tree-Structured Parzen Estimator", https://doi.org/10.1613/jair.1.13188.
"""

from __future__ import annotations

from typing import final

from optuna.samplers import BaseSampler, TPESampler

from lanista import setting
from lanista.errors import ExperimentError
from lanista.strategy.study import StudyStrategy


@final
class TPE(StudyStrategy):
    """Draws from a density of the good architectures, and takes the draw that is the least common among the others.

    Optuna's sampler. The density l(x) is that of the best tenth of the trials (at most 25 of them), g(x) that of all
    others, to which pruned and running ones count; of `n_ei_candidates` draws from l the one with the greatest
    l(x) / g(x) is proposed. Failed trials count for nothing. Decisions of a branch are modelled where that branch was
    chosen. Architectures may be proposed again, and the search does not end: wrap it in `Deduplicated` to spend no
    trial twice.

    Args:
        n_startup_trials: random architectures until so many trials have completed or were pruned, at least 1.
        n_ei_candidates: draws from l(x), at least 1; on NAS-Bench-201, more than the 24 of Optuna make no difference.
        multivariate: one density over all decisions together. False: one for each, as in the paper.
        group: with `multivariate`, one density for each group of decisions that exist together. False: only decisions
            that every trial has are modelled together, all others one by one.
        constant_liar: trials that still run count as bad, so that parallel proposals differ.

    Raises:
        ExperimentError: a number is not an integer of at least 1, or `group` goes without `multivariate`.
    """

    def __init__(
        self,
        *,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        multivariate: bool = True,
        group: bool | None = None,
        constant_liar: bool = True,
    ) -> None:
        super().__init__(joint=False)
        self._n_startup_trials = setting.count("n_startup_trials", n_startup_trials)
        self._n_ei_candidates = setting.count("n_ei_candidates", n_ei_candidates)
        self._multivariate, self._constant_liar = multivariate, constant_liar
        self._group = multivariate if group is None else group
        if self._group and not multivariate:
            raise ExperimentError("group is True and multivariate is False; groups are of the multivariate density")

    def __repr__(self) -> str:
        return (
            f"TPE(n_startup_trials={self._n_startup_trials}, n_ei_candidates={self._n_ei_candidates}, "
            f"multivariate={self._multivariate}, group={self._group}, constant_liar={self._constant_liar})"
        )

    def _sampler(self, seed: int) -> BaseSampler:
        return TPESampler(
            n_startup_trials=self._n_startup_trials,
            n_ei_candidates=self._n_ei_candidates,
            multivariate=self._multivariate,
            group=self._group,
            constant_liar=self._constant_liar,
            seed=seed,
        )
