import copy
import functools
import warnings
from importlib import import_module

import pytest
import torch
from torch import nn

from lanista.errors import EvaluatorError
from lanista.evaluator import LightningEvaluator
from tests.evaluator.tiny import Own, Recorder, loader, network, trial


def evaluator(module=Own, **arguments):
    return LightningEvaluator(module, loader(), loader(), **{"max_epochs": 2, **arguments})


def test_a_module_of_the_user_s_trains_the_trial_s_model():
    recorder, model = Recorder(), network()
    before = copy.deepcopy(model.state_dict())
    judge = evaluator(functools.partial(Own, lr=0.1), monitor="val_loss", mode="min")
    metrics = judge.evaluate(model, trial(recorder))
    assert recorder.steps == [1, 2]
    assert metrics["val_loss"] < recorder.reports[0][1]["val_loss"]
    assert not torch.equal(before["0.weight"], model[0].weight)
    x, y = loader().dataset.tensors
    assert nn.functional.cross_entropy(model(x), y).item() == pytest.approx(metrics["val_loss"], rel=1e-5)
    assert judge.keep_weights


def test_a_module_s_own_loaders_are_used_where_none_are_given():
    class Loaded(Own):
        def train_dataloader(self):
            return loader()

        def val_dataloader(self):
            return loader()

    recorder = Recorder()
    LightningEvaluator(Loaded, max_epochs=2).evaluate(network(), trial(recorder))
    assert recorder.steps == [1, 2]


class Ignoring(Own):
    def __init__(self, model):
        super().__init__(copy.deepcopy(model))


class Headless(Own):
    def __init__(self, model):
        super().__init__(model[:2])


def foreign(model):
    """A module of the package that lightning installs beside itself, and whose classes are others."""
    with warnings.catch_warnings(action="ignore"):
        return type("Foreign", (import_module("pytorch_lightning").LightningModule,), {})()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Ignoring, "Ignoring ignores the model: 4 of the model's 4 parameters are not in it; .*self.model = model"),
        (Headless, "Headless ignores the model: 2 of the model's 4 parameters are not in it"),
        (foreign, "gave tests.evaluator.test_module.Foreign; derive .* instead: import lightning.pytorch as pl"),
        (lambda model: model, "gave torch.nn.modules.container.Sequential; it must return a LightningModule"),
        (lambda model: None, "gave builtins.NoneType; it must return"),
    ],
)
def test_a_module_that_does_not_train_the_model_is_an_error(module, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluator(module).evaluate(network(), trial())
    with pytest.raises(EvaluatorError, match=message):
        evaluator(module).rehearse(network(), trial())


def test_a_model_without_parameters_must_be_held_too():
    judge = LightningEvaluator(Own, val_dataloaders=loader())
    assert judge.evaluate(nn.Flatten(), trial()).keys() == {"val_loss"}
    with pytest.raises(EvaluatorError, match="Ignoring ignores the model: 0 of the model's 0"):
        LightningEvaluator(Ignoring, val_dataloaders=loader()).evaluate(nn.Flatten(), trial())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"module": Own(network())}, "module is an object of Own; give a callable that takes the model of a trial"),
        ({"module": None}, "module is an object of NoneType"),
        ({"module": dict}, "module is the class dict, which is no LightningModule"),
        ({"monitor": "val_loss"}, "monitor is 'val_loss' and mode None; give .*mode='min'"),
        ({"max_epochs": None}, "give max_epochs"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(arguments, message):
    with pytest.raises(EvaluatorError, match=message):
        evaluator(**arguments)


def test_the_settings_are_in_the_representation():
    assert repr(evaluator(functools.partial(Own, lr=0.1))) == (
        "LightningEvaluator(module=partial(Own, lr=0.1), train_dataloaders=DataLoader(TensorDataset, batch_size=16), "
        "val_dataloaders=DataLoader(TensorDataset, batch_size=16), keep_weights=True, max_epochs=2)"
    )
