"""Hyperband: successive halving with several first rungs side by side.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", https://arxiv.org/abs/1603.06560;
by Optuna's `HyperbandPruner`.
"""

from __future__ import annotations

from typing import final

from optuna.pruners import BasePruner, HyperbandPruner

from lanista.errors import ExperimentError
from lanista.scheduler.study import PrunerScheduler
from lanista.setting import count


@final
class Hyperband(PrunerScheduler):
    """Deals trials out to brackets by their numbers, each an ASHA with a first rung of its own.

    Args:
        max_resource: reports of a trial that runs to its end, the paper's R; at least `min_resource`.
        min_resource: reports of the earliest first rung, at least 1.
        reduction_factor: the paper's eta, at least 2.

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(self, max_resource: int, *, min_resource: int = 1, reduction_factor: int = 3) -> None:
        self._min_resource = count("min_resource", min_resource, 1)
        self._max_resource = self.last = count("max_resource", max_resource, 1)
        self._reduction_factor = count("reduction_factor", reduction_factor, 2)
        if max_resource < min_resource:
            raise ExperimentError(f"max_resource is {max_resource}; it must be at least min_resource, {min_resource}")

    def __repr__(self) -> str:
        return (
            f"Hyperband({self._max_resource}, min_resource={self._min_resource}, "
            f"reduction_factor={self._reduction_factor})"
        )

    def pruner(self) -> BasePruner:
        return HyperbandPruner(
            min_resource=self._min_resource,
            max_resource=self._max_resource,
            reduction_factor=self._reduction_factor,
        )
