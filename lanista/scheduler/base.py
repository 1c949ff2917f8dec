"""The contract between an experiment and what stops its trials early."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lanista.trial import Trial


class Scheduler(ABC):
    """Decides at each report of a trial whether it goes on.

    An experiment calls `reset` once, then `report` for each report of each running trial, in the order in which they
    arrive, and `end` for each trial that ends, reported or not. All calls come from one thread.

    The state must follow from the reports alone, whatever their order among trials: an experiment is resumed by
    showing a fresh scheduler the stored curves of all ended trials. A trial whose worker died may report the same
    steps once more.
    """

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    @abstractmethod
    def report(self, number: int, step: int, score: float) -> bool:
        """Take note of a report, and say whether the trial is to stop.

        Args:
            number: of the trial, from 0.
            step: as the evaluation reported it, at least 0.
            score: the first objective, sign turned so that greater is better.
        """

    @abstractmethod
    def end(self, trial: Trial) -> None:
        """Take note of an ended trial: completed (with `scores`), pruned or failed."""
