import pickle
from functools import partial

import pytest
import torch
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ProcessExecutor
from lanista.errors import EvaluatorError, OneShotError
from lanista.evaluator import Classification
from lanista.oneshot import SPOS, Inherited, Supernet
from lanista.oneshot.inherited import load, save
from lanista.strategy import GridSearch
from tests.oneshot.tiny import accuracy, loader, sgd, space


@pytest.fixture(scope="module")
def found():
    return SPOS().fit(
        space(),
        loader(),
        loader(seed=1),
        loss=nn.CrossEntropyLoss(),
        optimizer=sgd,
        epochs=8,
        metric=accuracy,
        evaluations=6,
    )


def classification():
    return Classification(loader, partial(loader, seed=1), max_epochs=1)


def search(evaluator, tmp_path, **options):
    experiment = Experiment(
        options.pop("space", space()),
        evaluator,
        GridSearch(),
        storage=tmp_path / "test.db",
        **{"objectives": {"val_accuracy": "maximize"}, **options},
    )
    experiment.run()
    return experiment


def test_any_strategy_searches_a_trained_supernet(found, tmp_path):
    experiment = search(Inherited(classification(), found.supernet), tmp_path)
    assert len(experiment.trials) == 6
    best = experiment.top(1)[0]
    assert best.metrics["val_accuracy"] == pytest.approx(found.scores[0], abs=0.05)
    inherited = found.supernet.inherit(best.architecture).state_dict()
    kept = experiment.build(best).state_dict()
    assert all(torch.equal(kept[name], value) for name, value in inherited.items() if "weight" in name)


def test_training_on_is_a_warm_start(found, tmp_path):
    cold = search(classification(), tmp_path / "cold")
    warm = search(Inherited(classification(), found.supernet, train=True), tmp_path / "warm")
    losses = [sum(trial.metrics["val_loss"] for trial in experiment.trials) for experiment in (cold, warm)]
    assert losses[1] < losses[0]


def test_a_function_gets_the_model_with_its_weights(found, tmp_path):
    def weight(model):
        return float(model.stem[0].weight.detach().sum())

    experiment = search(Inherited(FunctionalEvaluator(weight), found.supernet), tmp_path, objectives="maximize")
    expected = float(found.supernet.inherit(found.best).stem[0].weight.detach().sum())
    assert {trial.metrics["score"] for trial in experiment.trials} == {expected}


def test_it_works_in_other_processes(found, tmp_path):
    file = tmp_path / "weights.safetensors"
    save(found.supernet, file)
    made = space()
    evaluator = Inherited(classification(), partial(load, made, file))
    here = search(evaluator, tmp_path / "here", space=made)
    there = search(evaluator, tmp_path / "there", space=made, executor=ProcessExecutor(1))
    for one, other in zip(here.trials, there.trials, strict=True):
        assert one.metrics == pytest.approx(other.metrics, abs=1e-5)  # another number of threads


def test_a_supernet_travels(found):
    again = pickle.loads(pickle.dumps(found.supernet))
    x = torch.randn(4, 4)
    assert torch.equal(again.path(found.best)(x), found.supernet.path(found.best)(x))


def test_weights_of_another_space_are_refused(found, tmp_path):
    save(found.supernet, tmp_path / "weights.safetensors")
    other = Supernet(space())
    other.register_parameter("more", nn.Parameter(torch.zeros(1)))
    save(other, tmp_path / "other.safetensors")
    with pytest.raises(OneShotError, match="the weights of another supernet"):
        load(space(), tmp_path / "other.safetensors")
    assert isinstance(load(space(), tmp_path / "weights.safetensors"), Supernet)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"evaluator": classification}, "give an Evaluator"),
        ({"supernet": None}, "give a Supernet"),
        ({"recalibrate": -1}, "number of batches"),
    ],
)
def test_arguments_that_do_not_fit(found, arguments, words):
    with pytest.raises(EvaluatorError, match=words):
        Inherited(**{"evaluator": classification(), "supernet": found.supernet, **arguments})
