"""The median stopping rule.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017,
https://doi.org/10.1145/3097983.3098043, section 3.2; by Optuna's `MedianPruner`.
"""

from __future__ import annotations

from typing import final

from optuna.pruners import BasePruner, MedianPruner

from lanista.scheduler.study import PrunerScheduler
from lanista.setting import count


@final
class MedianStop(PrunerScheduler):
    """Stops a trial whose best report so far is worse than the median of the completed trials at the same report.

    Args:
        startup: trials that complete before any is stopped, at least 0.
        warmup: reports that each trial may make before it is judged, at least 0.

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(self, *, startup: int = 5, warmup: int = 0) -> None:
        self._startup, self._warmup = count("startup", startup, 0), count("warmup", warmup, 0)

    def __repr__(self) -> str:
        return f"MedianStop(startup={self._startup}, warmup={self._warmup})"

    def pruner(self) -> BasePruner:
        return MedianPruner(n_startup_trials=self._startup, n_warmup_steps=self._warmup + 1)
