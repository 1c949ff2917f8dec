import pickle

import pytest
from torch import nn

from lanista import Experiment, ModelSpace, choice
from lanista.benchmark import Table
from lanista.errors import ArchitectureError, BenchmarkError, Pruned
from lanista.strategy import GridSearch, Random
from lanista.trial import Trial


class Small(nn.Identity):
    def __init__(self):
        super().__init__()
        choice([1, 2], label="a")
        choice(["x", "y", "z"], label="b")


def made(**changes):
    models = ModelSpace(Small)
    grid = list(models.decisions.grid())
    settings = {
        "columns": {
            "validation": range(6),
            "test": [5, 4, 3, 2, 1, 1],
            "validation_seed0": [value - 0.1 for value in range(6)],
            "validation_seed1": [value + 0.1 for value in range(6)],
        },
        "seeds": {"validation": ["validation_seed0", "validation_seed1"]},
        "missing": "nobody measured more",
    }
    return Table("small", models, grid, **settings | changes)


def test_a_query_answers_from_the_row_of_the_architecture_in_any_form():
    table = made()
    assert table.query({"a": 2, "b": "x"}) == {
        "validation": 3, "test": 2, "validation_seed0": 2.9, "validation_seed1": 3.1,
    }  # fmt: skip
    assert table.query({"b": 0, "a": 2}, "test") == {"test": 2}
    assert len(table) == 6
    assert repr(table) == "Table('small', 6 architectures, 4 metrics)"


def test_the_optimum_is_the_first_of_the_best():
    table = made()
    assert table.optimum("validation") == ({"a": 2, "b": "z"}, 5)
    assert table.optimum("test", minimize=True) == ({"a": 2, "b": "y"}, 1)


def test_what_it_does_not_have_is_an_error():
    table = made()
    with pytest.raises(BenchmarkError, match=r"small has no metric 'seconds'; it has 'validation', .*; nobody"):
        table.query({"a": 1, "b": "x"}, "seconds")
    with pytest.raises(ArchitectureError, match="'c'"):
        table.query({"a": 1, "c": "x"})
    with pytest.raises(BenchmarkError, match="small: 5 values of 'test' for 6 architectures"):
        made(columns={"test": range(5)})
    with pytest.raises(BenchmarkError, match="has no metric 'validation_seed7'"):
        made(seeds={"validation": ["validation_seed7"]})


def test_an_architecture_that_was_not_measured_is_an_error():
    models = ModelSpace(Small)
    table = Table("half", models, list(models.decisions.grid())[:3], {"validation": range(3)})
    with pytest.raises(BenchmarkError, match=r"half holds no results of \{'a': 2, 'b': 'x'\}"):
        table.query({"a": 2, "b": "x"})
    with pytest.raises(ArchitectureError, match=r"holds no results of \{'a': 2"):
        table.evaluator().evaluate(nn.Identity(), Trial(number=0, architecture={"a": 2, "b": "x"}))


def test_an_ordinary_experiment_runs_on_a_table():
    table = made()
    experiment = Experiment(table.models, table.evaluator(), GridSearch(), objectives="maximize", storage=":memory:")
    experiment.run()
    assert experiment.top(1)[0].metrics == {"validation": 5.0}
    assert [trial.metrics["validation"] for trial in experiment.trials] == list(range(6))


def test_several_metrics_are_several_objectives():
    table = made()
    evaluator = table.evaluator("test", "validation_seed0")
    directions = {"test": "maximize", "validation_seed0": "minimize"}
    experiment = Experiment(table.models, evaluator, Random(), objectives=directions, storage=":memory:")
    experiment.run()
    assert [trial.architecture for trial in experiment.pareto()] == [{"a": 1, "b": "x"}]


def test_intermediate_metrics_are_reported_under_the_name_of_the_first():
    table = made()
    seen = []
    trial = Trial(
        number=0, architecture={"a": 1, "b": "z", "another": 3}, reporter=lambda value, step: seen.append((step, value))
    )
    evaluator = table.evaluator("validation", "test", steps={20: "validation_seed1", 10: "validation_seed0"})
    assert evaluator.evaluate(nn.Identity(), trial) == {"validation": 2, "test": 3}
    assert seen == [(10, {"validation": 1.9}), (20, {"validation": 2.1})]


def test_a_scheduler_ends_a_trial_at_its_report():
    def stop(value, step):
        raise Pruned

    trial = Trial(number=0, architecture={"a": 1, "b": "z"}, reporter=stop)
    with pytest.raises(Pruned):
        made().evaluator(steps={1: "validation_seed0"}).evaluate(nn.Identity(), trial)


def test_an_evaluator_can_be_sent_to_workers():
    evaluator = pickle.loads(pickle.dumps(made().evaluator("test")))
    assert evaluator.evaluate(nn.Identity(), Trial(number=0, architecture={"a": 1, "b": "x"})) == {"test": 5}
    assert repr(evaluator) == "TableEvaluator('small, test')"
