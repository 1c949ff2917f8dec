import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lanista import FunctionalEvaluator, ModelSpace, Trial, choice, real
from lanista.errors import ArchitectureError, ExperimentError, MetricError, SpaceError
from lanista.evaluator.task import Task, questions
from lanista.nn import LayerChoice


def network():
    return nn.Linear(2, choice([1, 2, 3], label="width"))


def evaluator():
    lr, momentum = real(0.1, 0.3, label="lr"), choice([0.0, 0.9])
    return FunctionalEvaluator(lambda model: {"lr": lr, "momentum": momentum, "width": model.out_features})


def task(source, folder):
    return Task(ModelSpace(network), source, folder)


def test_an_evaluator_s_own_decisions_have_labels_of_their_own():
    assert questions(evaluator).labels == ("lr", "evaluator/choice1")
    assert questions(FunctionalEvaluator(len)).labels == ()


def test_model_and_evaluator_get_the_same_trial_s_answers(tmp_path):
    architecture = {"width": 3, "lr": 0.2, "evaluator/choice1": 0.9}
    metrics = task(evaluator, tmp_path)(Trial(number=0, architecture=architecture))
    assert metrics == {"lr": 0.2, "momentum": 0.9, "width": 3.0}


def test_an_evaluator_that_does_not_ask_what_it_asked_before_is_found_out(tmp_path):
    made = []

    def fickle():
        made.append(real(0.0, 1.0, label="lr") if not made else None)
        return FunctionalEvaluator(lambda model: 1.0)

    fickle()
    with pytest.raises(ArchitectureError, match="'lr' was not asked for"):
        task(fickle, tmp_path)(Trial(number=0, architecture={"width": 1, "lr": 0.5}))


def test_all_generators_are_seeded_with_the_trial_s_seed(tmp_path):
    def draws(model):
        weight = next(model.parameters())[0, 0].item()
        return {
            "random": random.random(),
            "numpy": np.random.rand(),
            "torch": torch.rand(()).item(),
            "weight": weight,
        }

    def run(seed):
        trial = Trial(number=0, architecture={"width": 1}, seed=seed)
        return task(FunctionalEvaluator(draws), tmp_path)(trial)

    assert run(7) == run(7)
    assert all(run(7)[name] != run(8)[name] for name in run(7))


def test_kept_weights_are_those_after_training(tmp_path):
    def train(model):
        nn.init.constant_(model.weight, 5.0)
        return 1.0

    run = task(FunctionalEvaluator(train, keep_weights=True), tmp_path / "weights")
    run(Trial(number=4, architecture={"width": 2}))
    assert load_file(tmp_path / "weights" / "4.safetensors")["weight"].tolist() == [[5.0, 5.0]] * 2
    assert [file.name for file in (tmp_path / "weights").iterdir()] == ["4.safetensors"]


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (float("nan"), "nan for metric 'score'"),
        ({"loss": float("inf")}, "inf for metric 'loss'"),
        ("0.9", "'0.9' .str. for metric 'score'"),
        ({"loss": "low"}, "'low' .str. for metric 'loss'"),
        (None, "None .NoneType."),
        (True, "True .bool."),
        ({}, "no metric"),
        ({3: 1.0}, "a metric named 3"),
        (torch.ones(2), "for metric 'score'"),
    ],
)
def test_what_is_not_a_finite_number_is_no_metric(tmp_path, result, words):
    with pytest.raises(MetricError, match=words):
        task(FunctionalEvaluator(lambda model: result), tmp_path)(Trial(number=0, architecture={"width": 1}))


@pytest.mark.parametrize("result", [1, 0.5, np.float32(0.5), np.int64(2), torch.tensor(0.5), torch.tensor([2])])
def test_numbers_of_all_libraries_are_metrics(tmp_path, result):
    metrics = task(FunctionalEvaluator(lambda model: result), tmp_path)(Trial(number=0, architecture={"width": 1}))
    assert metrics == {"score": float(result)}
    assert type(metrics["score"]) is float


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (0.9, "0.9 .float.*FunctionalEvaluator"),
        (lambda model: 1.0, "needs the arguments model.*FunctionalEvaluator"),
        (lambda: 1.0, "returned 1.0.*FunctionalEvaluator"),
    ],
)
def test_what_is_no_evaluator_is_refused_with_the_way_out(source, words):
    with pytest.raises(ExperimentError, match=words):
        questions(source)


def test_errors_inside_of_an_evaluator_callable_are_the_user_s_own():
    def broken():
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        questions(broken)


def test_a_question_of_an_evaluator_behind_an_if_is_found_at_once():
    def evaluator():
        if choice(["adam", "sgd"], label="optimizer") == "sgd":
            real(0.0, 1.0, label="momentum")
        return FunctionalEvaluator(lambda model: 1.0)

    with pytest.raises(SpaceError, match=r"'momentum', asked at .* appears only with some answers to 'optimizer'"):
        questions(evaluator)


def test_a_label_that_the_evaluator_always_asks_and_the_model_sometimes(tmp_path):
    def network():
        return LayerChoice(
            {"plain": nn.Identity, "wide": lambda: nn.Linear(choice([1, 2], label="shared"), 1)}, label="kind"
        )

    def evaluator():
        shared = choice([1, 2], label="shared")
        return FunctionalEvaluator(lambda model: shared)

    run = Task(ModelSpace(network), evaluator, tmp_path)
    decisions = run.space.decisions | questions(evaluator)
    for architecture in decisions.grid():
        assert run(Trial(number=0, architecture=architecture)) == {"score": architecture["shared"]}
