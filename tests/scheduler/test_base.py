"""The contract suite: every scheduler keeps it, and it finds what is wrong."""

import optuna
import pytest

from lanista.scheduler import ASHA, Hyperband, MedianStop, OptunaScheduler, Scheduler
from lanista.testing import schedulers
from lanista.testing.schedulers import SCHEDULER_LAWS

MAKERS = {
    "ASHA": lambda: ASHA(reduction_factor=3),
    "ASHA, with an end": lambda: ASHA(9, reduction_factor=3),
    "ASHA, late": lambda: ASHA(min_resource=2, reduction_factor=2),
    "Hyperband": lambda: Hyperband(9),
    "MedianStop": lambda: MedianStop(startup=3),
    "MedianStop, late": lambda: MedianStop(warmup=2),
    "percentile": lambda: OptunaScheduler(optuna.pruners.PercentilePruner(25.0)),
}


@pytest.mark.parametrize("law", SCHEDULER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_scheduler_keeps_the_laws(make, law):
    law(make)


class Never(Scheduler):
    def reset(self):
        self.seen = 0

    def report(self, number, step, score):
        self.seen += 1
        return False

    def end(self, trial):
        pass


class Upside(Never):
    """Takes small scores for good ones."""

    def report(self, number, step, score):
        return score > 0.4


class CountsReports(Never):
    """Holds a repeated attempt for new reports."""

    def report(self, number, step, score):
        super().report(number, step, score)
        return self.seen % 7 == 6 and score < 0.4


class Clock(Never):
    """Goes by how often it was asked in this process, in whatever order and of whichever trial."""

    asked = 0

    def report(self, number, step, score):
        Clock.asked += 1
        return Clock.asked % 11 == 0


class NeedsReports(Never):
    def reset(self):
        self.last = {}

    def report(self, number, step, score):
        self.last[number] = score
        return score < 0.2

    def end(self, trial):
        del self.last[trial.number]


@pytest.mark.parametrize(
    ("faulty", "law", "error"),
    [
        (Never, "the_worst_are_stopped_and_the_best_complete", AssertionError),
        (Upside, "the_worst_are_stopped_and_the_best_complete", AssertionError),
        (CountsReports, "an_attempt_may_be_repeated", AssertionError),
        (Clock, "what_was_stored_is_all_that_counts", AssertionError),
        (NeedsReports, "failures_are_survived", KeyError),
    ],
)
def test_a_faulty_scheduler_breaks_the_law(faulty, law, error):
    with pytest.raises(error):
        getattr(schedulers, law)(faulty)
