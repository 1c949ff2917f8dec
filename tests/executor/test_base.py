import pytest

from lanista import Trial
from lanista.errors import MetricError, Pruned
from lanista.executor import Reported, perform
from lanista.trial import State

TRIAL = Trial(number=3, architecture={})


def performed(work):
    reports = []
    return perform(work, TRIAL, reports.append), reports


def test_metrics_come_back():
    outcome, reports = performed(lambda trial: {"score": 1.0})
    assert (outcome.state, outcome.metrics, outcome.error, reports) == (State.COMPLETED, {"score": 1.0}, None, [])


def test_steps_count_on_from_the_last_one():
    def work(trial):
        for step in (None, None, 7, None):
            trial.report(0.5, step)
        return {"score": 1.0}

    assert performed(work)[1] == [Reported(3, step, {"score": 0.5}) for step in (0, 1, 7, 8)]


def test_a_pruned_trial_keeps_its_last_report():
    def work(trial):
        trial.report({"loss": 2.0})
        trial.report({"loss": 1.0})
        raise Pruned

    outcome, _ = performed(work)
    assert (outcome.state, outcome.metrics) == (State.PRUNED, {"loss": 1.0})


@pytest.mark.parametrize("error", [ValueError("no luck"), SystemExit("no luck"), RecursionError("no luck")])
def test_what_is_raised_becomes_an_error_with_its_traceback(error):
    def work(trial):
        raise error

    outcome, _ = performed(work)
    assert outcome.state is State.FAILED
    assert type(error).__name__ in outcome.error
    assert "no luck" in outcome.error
    assert "in work" in outcome.error


def test_ctrl_c_passes():
    def work(trial):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        performed(work)


def test_a_bad_report_is_the_evaluation_s_fault():
    outcome, _ = performed(lambda trial: trial.report("high"))
    assert outcome.state is State.FAILED
    assert MetricError.__name__ in outcome.error
