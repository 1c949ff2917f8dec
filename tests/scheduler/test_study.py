"""Optuna's pruners see the trials as they are."""

import optuna
import pytest

from lanista.errors import ExperimentError
from lanista.scheduler import OptunaScheduler
from lanista.testing.schedulers import curve, drive, qualities


class Witness(optuna.pruners.BasePruner):
    """Stops nothing, and remembers what it saw."""

    seen: list = []  # noqa: RUF012 (a copy of the pruner is used)

    def prune(self, study, trial):
        self.seen.append((trial.number, dict(trial.intermediate_values)))
        return trial.number == 1 and trial.last_step == 2


def test_a_pruner_sees_numbers_of_reports_and_a_direction_that_is_up():
    scheduler = OptunaScheduler(Witness())
    scheduler.reset()
    Witness.seen.clear()
    assert not scheduler.report(0, 10, 0.5)
    assert not scheduler.report(0, 20, 0.75)
    assert not scheduler.report(1, 7, 0.1)
    assert scheduler.report(1, 9, 0.2)
    assert Witness.seen == [(0, {1: 0.5}), (0, {1: 0.5, 2: 0.75}), (1, {1: 0.1}), (1, {1: 0.1, 2: 0.2})]


def test_the_threshold_of_a_pruner_of_optuna_holds():
    scheduler = OptunaScheduler(optuna.pruners.ThresholdPruner(lower=0.3, n_warmup_steps=2))
    scheduler.reset()
    lengths = drive(scheduler, [curve(quality) for quality in qualities(0)])
    expected = [2 if curve(quality)[1] < 0.3 else None for quality in qualities(0)]
    assert [length for length, stop in zip(lengths, expected, strict=True) if stop] == [2] * sum(map(bool, expected))


def test_a_scheduler_leaves_optunas_logging_and_its_pruner_alone(capsys):
    verbosity = optuna.logging.get_verbosity()
    pruner = optuna.pruners.HyperbandPruner(max_resource=9)
    scheduler = OptunaScheduler(pruner)
    scheduler.reset()
    drive(scheduler, [curve(quality) for quality in qualities(1)])
    assert optuna.logging.get_verbosity() == verbosity
    assert pruner._pruners == []
    assert capsys.readouterr() == ("", "")


def test_what_is_no_pruner_is_refused():
    with pytest.raises(ExperimentError, match=r"pruner is 'median'; give one of optuna.pruners"):
        OptunaScheduler("median")
