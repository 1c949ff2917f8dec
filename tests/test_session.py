"""An experiment while it is run: what a scheduler and bad metrics do to it, and the loop of a user's own."""

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, ProcessExecutor, choice, integer
from lanista.errors import ExperimentError, MetricError, Pruned
from lanista.scheduler import ASHA, MedianStop
from lanista.strategy import GridSearch, RegularizedEvolution
from lanista.strategy import Random as RandomSearch
from lanista.trial import State


def network():
    return nn.Linear(integer(1, 30, label="inputs"), choice([1, 2], label="outputs"))


def learn(model, trial):
    """Nine epochs; the more inputs, the better."""
    for epoch in range(9):
        trial.report({"accuracy": model.in_features * (1 - 0.5 ** (epoch + 1)), "epoch": epoch}, step=epoch)
    return {"accuracy": model.in_features, "loss": -model.in_features}


def make(storage=":memory:", function=learn, **options):
    settings = {"objectives": {"accuracy": "maximize"}, "name": "test", "storage": storage, "scheduler": ASHA()}
    strategy = options.pop("strategy", RandomSearch())
    return Experiment(ModelSpace(network), FunctionalEvaluator(function), strategy, **settings | options)


def told(experiment):
    return [(t.number, t.architecture, t.state, t.metrics, experiment.curve(t)) for t in experiment.trials]


# --- schedulers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy", [RandomSearch(), GridSearch(shuffle=True), RegularizedEvolution(population_size=5)]
)
def test_a_scheduler_stops_trials_that_keep_their_curve(strategy):
    experiment = make(strategy=strategy, scheduler=ASHA(reduction_factor=3))
    experiment.run(max_trials=40)
    pruned = [trial for trial in experiment.trials if trial.state is State.PRUNED]
    assert 15 < len(pruned) < 40
    for trial in pruned:
        curve = experiment.curve(trial)
        assert len(curve) in (1, 3, 9)
        assert trial.metrics == curve[-1][1]
        assert [step for step, _ in curve] == list(range(len(curve)))
    assert experiment.top(1)[0].architecture["inputs"] == max(t.architecture["inputs"] for t in experiment.trials)


def test_a_minimised_objective_is_judged_by_its_direction():
    def loss(model, trial):
        for epoch in range(9):
            trial.report(1 / model.in_features + 0.5**epoch)
        return 1 / model.in_features

    experiment = make(function=loss, objectives="minimize")
    experiment.run(max_trials=40)
    best = max(trial.architecture["inputs"] for trial in experiment.trials)
    assert experiment.top(1)[0].architecture["inputs"] == best
    assert sum(trial.state is State.PRUNED for trial in experiment.trials) > 15


def test_worker_processes_are_stopped_at_the_same_reports():
    inline, processes = make(), make(executor=ProcessExecutor(1, devices=["cpu"]))
    for experiment in (inline, processes):
        experiment.run(max_trials=15)
    assert told(processes) == told(inline)
    assert any(trial.state is State.PRUNED for trial in inline.trials)


@pytest.mark.parametrize("scheduler", [ASHA(), MedianStop(startup=3)], ids=repr)
def test_a_run_in_pieces_stops_the_same_trials(scheduler, tmp_path):
    whole = make(scheduler=scheduler)
    whole.run(max_trials=30)
    for cut in (1, 7, 8, 30):
        make(tmp_path / "test.db", scheduler=scheduler).run(max_trials=cut)
    assert told(make(tmp_path / "test.db")) == told(whole)


def test_a_scheduler_that_is_told_nothing_is_an_error_and_the_trial_is_kept():
    experiment = make(function=lambda model: {"accuracy": 1.0})
    with pytest.raises(MetricError, match=r"trial 0 completed without a report, so the scheduler ASHA\(.*trial.report"):
        experiment.run(max_trials=5)
    assert [trial.state for trial in experiment.trials] == [State.COMPLETED]


def test_a_report_without_the_objective_is_an_error_that_names_both():
    def wrong(model, trial):
        trial.report({"val_loss": 1.0})
        return {"accuracy": 1.0}

    experiment = make(function=wrong)
    with pytest.raises(MetricError, match=r"cannot judge what is reported: the objective 'accuracy' is not .*val_loss"):
        experiment.run(max_trials=5)
    assert [trial.state for trial in experiment.trials] == [State.FAILED]
    assert "the objective 'accuracy'" in experiment.trials[0].error


def test_what_is_no_scheduler_is_refused():
    with pytest.raises(ExperimentError, match=r"scheduler is 'asha' \(str\); give a Scheduler instance"):
        make(scheduler="asha")


# --- metrics --------------------------------------------------------------------------------------------------


def test_a_metric_that_changes_its_name_ends_the_search():
    def fickle(model, trial):
        return {"accuracy" if trial.number < 2 else "acc": 1.0}

    experiment = make(function=fickle, objectives="maximize", scheduler=None)
    with pytest.raises(MetricError, match=r"trial 2 gave the metric 'acc', and earlier trials gave 'accuracy'"):
        experiment.run(max_trials=5)
    assert [trial.state for trial in experiment.trials] == [State.COMPLETED, State.COMPLETED, State.FAILED]


def test_the_name_is_remembered_when_the_search_goes_on(tmp_path):
    file = tmp_path / "test.db"
    make(file, lambda model: {"accuracy": 1.0}, objectives="maximize", scheduler=None).run(max_trials=1)
    again = make(file, lambda model: {"acc": 1.0}, objectives="maximize", scheduler=None)
    with pytest.raises(MetricError, match="trial 1 gave the metric 'acc'"):
        again.run(max_trials=2)


def test_a_report_that_is_no_number_fails_its_trial_and_says_so():
    def broken(model, trial):
        trial.report(float("nan"))

    experiment = make(function=broken, scheduler=None)
    experiment.run(max_trials=2)
    assert [trial.state for trial in experiment.trials] == [State.FAILED] * 2
    assert "trial.report gave nan for metric 'score'; give a finite number" in experiment.trials[0].error


# --- folders --------------------------------------------------------------------------------------------------


def test_a_trials_folder_outlives_its_worker_and_not_the_trial(tmp_path):
    def stubborn(model, trial):
        trial.folder.mkdir(parents=True, exist_ok=True)
        marks = sorted(path.name for path in trial.folder.iterdir())
        (trial.folder / f"attempt{trial.attempts}").touch()
        if trial.attempts == 1:
            import os

            os._exit(1)
        return {"accuracy": len(marks)}

    executor = ProcessExecutor(1, devices=["cpu"])
    experiment = make(tmp_path / "test.db", stubborn, scheduler=None, executor=executor)
    experiment.run(max_trials=2)
    assert [trial.metrics for trial in experiment.trials] == [{"accuracy": 1.0}] * 2
    assert not list((tmp_path / "test.artifacts" / "test" / "trials").iterdir())


KILLED = """
    import os, pathlib, sys
    from torch import nn
    from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
    from lanista.strategy import GridSearch

    def evaluate(model, trial):
        trial.folder.mkdir(parents=True, exist_ok=True)
        mark = trial.folder / "mark"
        if trial.number == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return float(mark.exists())

    space = ModelSpace(lambda: nn.Linear(1, choice([1, 2], label="width")))
    experiment = Experiment(space, FunctionalEvaluator(evaluate), GridSearch(), objectives="maximize", storage="k.db")
    experiment.run()
    print([trial.metrics["score"] for trial in experiment.trials])
"""


def test_a_trials_folder_outlives_the_search(tmp_path):
    (tmp_path / "search.py").write_text(textwrap.dedent(KILLED))
    command = [sys.executable, "search.py"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == -9
    again = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert again.stdout.strip() == "[0.0, 1.0]"


# --- ask and tell ---------------------------------------------------------------------------------------------


def test_a_loop_of_ones_own_is_the_search_that_run_does():
    own, run = make(scheduler=None), make(scheduler=None)
    run.run(max_trials=12)
    with own:
        for _ in range(12):
            trial = own.ask()
            model = own.build(trial)
            for epoch in range(9):
                trial.report({"accuracy": model.in_features * (1 - 0.5 ** (epoch + 1)), "epoch": epoch}, step=epoch)
            ended = own.tell(trial, {"accuracy": model.in_features, "loss": -model.in_features})
            assert ended.state is State.COMPLETED
            assert ended.scores == (model.in_features,)
    assert told(own) == told(run)


def test_a_scheduler_stops_an_asked_trial_and_it_counts_as_pruned():
    experiment = make()
    states = []
    for _ in range(20):
        trial = experiment.ask()
        try:
            for epoch in range(9):
                trial.report({"accuracy": trial.architecture["inputs"]}, epoch)
        except Pruned:
            states.append(experiment.tell(trial).state)
        else:
            states.append(experiment.tell(trial, {"accuracy": trial.architecture["inputs"]}).state)
    experiment.close()
    assert {State.PRUNED, State.COMPLETED} == set(states)
    assert [trial.state for trial in experiment.trials] == states


def test_open_trials_are_given_again_after_a_break(tmp_path):
    file = tmp_path / "test.db"
    with make(file, scheduler=None) as first:
        asked = [first.ask() for _ in range(3)]
        first.tell(asked[1], {"accuracy": 0.5})
    with make(file, scheduler=None) as second:
        again = [second.ask() for _ in range(3)]
        assert [trial.number for trial in again] == [0, 2, 3]
        assert again[0].architecture == asked[0].architecture
        for trial in again:
            second.tell(trial.number, {"accuracy": 1.0})
    make(file, scheduler=None).run(max_trials=6)
    assert len(make(file).trials) == 6


def test_a_failure_is_told_with_its_error():
    with make(scheduler=None) as experiment:
        ended = experiment.tell(experiment.ask(), error="out of paper")
        assert (ended.state, ended.error) == (State.FAILED, "out of paper")


def test_weights_of_a_told_model_are_kept_and_exported(tmp_path):
    with make(tmp_path / "test.db", scheduler=None) as experiment:
        trial = experiment.ask()
        model = experiment.build(trial)
        nn.init.constant_(model.weight, 0.25)
        experiment.tell(trial, {"accuracy": 1.0}, model=model)
    assert torch.equal(make(tmp_path / "test.db").build(0).weight, model.weight)


def test_bad_news_is_refused_and_nothing_is_lost():
    with make(scheduler=None, objectives="maximize") as experiment:
        trial = experiment.ask()
        with pytest.raises(MetricError, match="tell gave nan"):
            experiment.tell(trial, float("nan"))
        with pytest.raises(MetricError, match="gave 2 metrics"):
            experiment.tell(trial, {"a": 1.0, "b": 2.0})
        with pytest.raises(ExperimentError, match=r"trial 7 is not open; open trials are \[0\]"):
            experiment.tell(7, 1.0)
        with pytest.raises(ExperimentError, match=r"is open for ask and tell; close\(\) it before run"):
            experiment.run(max_trials=2)
        experiment.tell(trial, 1.0)
        with pytest.raises(ExperimentError, match=r"trial 0 is not open; open trials are \[\]"):
            experiment.tell(trial, 1.0)
        with pytest.raises(ExperimentError, match="trial 0 has ended"):
            trial.report(1.0)
    with pytest.raises(ExperimentError, match="ask"):
        experiment.tell(trial, 1.0)


def test_an_open_experiment_is_locked_until_it_is_closed(tmp_path):
    file = tmp_path / "test.db"
    first = make(file, scheduler=None)
    first.tell(first.ask(), {"accuracy": 1.0})
    with pytest.raises(ExperimentError, match="is being run by"):
        make(file, scheduler=None).ask()
    first.close()
    first.close()
    make(file, scheduler=None).run(max_trials=2)
    first.tell(first.ask(), {"accuracy": 2.0})  # and it opens again
    first.close()


def test_asking_ends_with_the_strategy():
    with make(scheduler=None, strategy=GridSearch()) as experiment:
        with pytest.raises(StopIteration):
            for _ in range(61):
                experiment.tell(experiment.ask(), {"accuracy": 1.0})
        assert len(experiment.trials) == 60


def test_a_mended_evaluator_goes_on_after_a_report_that_could_not_be_judged(tmp_path):
    def wrong(model, trial):
        trial.report({"val_loss": 1.0})

    with pytest.raises(MetricError):
        make(tmp_path / "test.db", wrong).run(max_trials=3)
    mended = make(tmp_path / "test.db")
    mended.run(max_trials=3)
    assert mended.trials[0].state is State.FAILED
    assert len(mended.trials) == 3


def test_one_trials_bad_report_is_its_own():
    with make(scheduler=ASHA(9, bootstrap=9)) as experiment:
        good, bad = experiment.ask(), experiment.ask()
        with pytest.raises(Pruned):
            good.report({"accuracy": 1.0})
        with pytest.raises(Pruned):
            bad.report({"typo": 1.0})
        assert experiment.tell(good).state is State.PRUNED
        with pytest.raises(MetricError, match="the objective 'accuracy' is not among the metrics"):
            experiment.tell(bad)
        assert [trial.state for trial in experiment.trials] == [State.PRUNED, State.FAILED]


def test_telling_without_a_report_to_the_scheduler_stores_nothing():
    with make() as experiment:
        trial = experiment.ask()
        with pytest.raises(MetricError, match="trial 0 completed without a report"):
            experiment.tell(trial, {"accuracy": 1.0})
        trial.report({"accuracy": 1.0})
        experiment.tell(trial, {"accuracy": 1.0})


def test_a_trial_of_before_may_be_told_without_being_asked_for(tmp_path):
    with make(tmp_path / "test.db", scheduler=None) as first:
        first.ask(), first.ask()
    with make(tmp_path / "test.db", scheduler=None) as second:
        ended = second.tell(second.ask(), {"accuracy": 0.0})
        assert ended.duration is not None
        second.tell(1, {"accuracy": 2.0})
        assert second.ask().number == 2
