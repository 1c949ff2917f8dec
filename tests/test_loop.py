"""Before the first trial: the evaluator's rehearsal."""

import pytest
from torch import nn

from lanista import Experiment, ModelSpace, ProcessExecutor, choice, real
from lanista.errors import ExperimentError
from lanista.evaluator import Evaluator
from lanista.strategy import GridSearch
from lanista.trial import State


class Rehearsing(Evaluator):
    """Fails in rehearsals of wide models."""

    def __init__(self, width=100):
        self.width, self.rehearsals = width, []

    def rehearse(self, model, trial):
        trial.report(1.0)
        trial.folder.mkdir(parents=True)
        self.rehearsals.append(dict(trial.architecture))
        if model.out_features >= self.width:
            raise ValueError(f"the target has {self.width} classes")

    def evaluate(self, model, trial):
        return model.out_features


def make(evaluator, storage=":memory:", **options):
    space = ModelSpace(lambda: nn.Linear(1, choice([5, 6, 7], label="width")))
    return Experiment(space, evaluator, GridSearch(), objectives="maximize", name="test", storage=storage, **options)


def test_a_rehearsal_comes_first_with_the_default_architecture_and_leaves_nothing(tmp_path):
    evaluator = Rehearsing()
    make(evaluator, tmp_path / "test.db").run(max_trials=1)
    assert evaluator.rehearsals == [{"width": 5}]
    experiment = make(evaluator, tmp_path / "test.db")
    experiment.run()
    assert len(evaluator.rehearsals) == 1, "what has worked is not rehearsed again"
    assert [trial.number for trial in experiment.trials] == [0, 1, 2]
    assert not list((tmp_path / "test.artifacts").rglob("trials/*"))


@pytest.mark.parametrize("executor", [None, ProcessExecutor(1, devices=["cpu"])], ids=["inline", "processes"])
def test_a_broken_evaluator_is_found_before_a_trial_is_spent(executor):
    experiment = make(Rehearsing(width=5), executor=executor)
    message = r"rehearsal, before the first trial, failed with ValueError: the target has 5 classes\n.*\{'width': 5\}"
    with pytest.raises(ExperimentError, match=message):
        experiment.run(max_trials=2)
    assert experiment.trials == []


def test_an_evaluator_with_decisions_is_rehearsed_with_its_defaults():
    made = []

    def build():
        made.append(real(0.0, 1.0, label="rate"))
        return Rehearsing()

    experiment = make(build)
    experiment.strategy = GridSearch(granularity=2)
    experiment.run(max_trials=2)
    assert [trial.state for trial in experiment.trials] == [State.COMPLETED] * 2
    assert 0.5 in made
