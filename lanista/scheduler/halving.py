"""Asynchronous successive halving.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", https://arxiv.org/abs/1810.05934, in the variant
that stops trials instead of pausing them; by Optuna's `SuccessiveHalvingPruner`.
"""

from __future__ import annotations

from typing import final

from optuna.pruners import BasePruner, SuccessiveHalvingPruner

from lanista.scheduler.study import PrunerScheduler
from lanista.setting import count


@final
class ASHA(PrunerScheduler):
    """Lets a trial pass each rung only if it is among the best of those that reached it so far.

    Rung k is at `min_resource * reduction_factor ** k` reports, for k = 0, 1, ...; one in `reduction_factor` passes,
    and the best one always.

    Args:
        max_resource: reports of a trial that runs to its end, at least `min_resource`: a trial that gets so far
            completes. None: not known; then a rung may stop a trial at its very last report.
        min_resource: reports of the first rung, the paper's r, at least 1.
        reduction_factor: the paper's eta, at least 2.
        bootstrap: trials that must have reached a rung before any may pass it, at least 0.

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(
        self,
        max_resource: int | None = None,
        *,
        min_resource: int = 1,
        reduction_factor: int = 4,
        bootstrap: int = 0,
    ) -> None:
        self._min_resource = count("min_resource", min_resource, 1)
        self._reduction_factor = count("reduction_factor", reduction_factor, 2)
        self._bootstrap = count("bootstrap", bootstrap, 0)
        self.last = None if max_resource is None else count("max_resource", max_resource, min_resource)

    def __repr__(self) -> str:
        return (
            f"ASHA({self.last}, min_resource={self._min_resource}, reduction_factor={self._reduction_factor}, "
            f"bootstrap={self._bootstrap})"
        )

    def pruner(self) -> BasePruner:
        return SuccessiveHalvingPruner(
            min_resource=self._min_resource,
            reduction_factor=self._reduction_factor,
            bootstrap_count=self._bootstrap,
        )
