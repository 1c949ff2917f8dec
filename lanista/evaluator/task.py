"""`Task`: everything that a worker needs in order to turn a trial into metrics."""

from __future__ import annotations

import inspect
import os
import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_model
from torch import nn

from lanista.errors import ExperimentError
from lanista.evaluator.base import Evaluator, EvaluatorSource
from lanista.model import ModelSpace
from lanista.space.context import Fixed, Trace, answering
from lanista.space.domain import Architecture, Value
from lanista.space.probe import probe
from lanista.space.search import SearchSpace
from lanista.trial import Trial, checked_metrics

PREFIX = "evaluator/"
"""Put before the automatic labels of questions that an evaluator asks."""

REHEARSAL = -1
"""Number of the trial that stands for a rehearsal of the evaluator; an experiment counts from 0."""


@dataclass(frozen=True)
class Task:
    """Builds a trial's model and evaluates it.

    Attributes:
        space: builds the models.
        source: the evaluator, or what builds it.
        weights: folder for the weights of evaluated models; they are called `<trial number>.safetensors`.
            Beside it, in `trials`, each trial has its folder.
    """

    space: ModelSpace
    source: EvaluatorSource
    weights: Path

    def __call__(self, trial: Trial) -> dict[str, float]:
        """Evaluate `trial` and return its final metrics. Seeds `random`, NumPy and torch with the trial's seed."""
        return self.evaluate(self.model(trial), trial)

    def evaluate(self, model: nn.Module, trial: Trial) -> dict[str, float]:
        """The same for a model that is built already, by `self.model(trial)`; it is trained in place."""
        evaluator = self._evaluator(trial.architecture)
        trial = replace(trial, folder=self.folder(trial))
        if trial.number == REHEARSAL:
            evaluator.rehearse(model, trial)
            shutil.rmtree(self.folder(trial), ignore_errors=True)
            return {"rehearsed": 1.0}
        metrics = checked_metrics(evaluator.evaluate(model, trial), "the evaluator")
        if evaluator.keep_weights:
            self.save(model, trial.number)
        return metrics

    def save(self, model: nn.Module, number: int) -> None:
        """Keep the weights of a trial's model."""
        self.weights.mkdir(parents=True, exist_ok=True)
        file = self.weights / f"{number}.safetensors"
        aside = file.with_suffix(f".tmp{os.getpid()}")  # a worker may outlive its run by a second
        save_model(model, str(aside))
        aside.replace(file)

    def folder(self, trial: Trial) -> Path:
        """The trial's own folder, which may not exist."""
        return self.weights.parent / "trials" / str(trial.number)

    @property
    def rehearses(self) -> bool:
        """Whether the evaluator can find out before a search whether it works."""
        source = self.source
        if not isinstance(source, Evaluator):
            with answering(Trace({}, {}, PREFIX)):
                source = source()
        return type(source).rehearse is not Evaluator.rehearse

    def model(self, trial: Trial) -> nn.Module:
        """The trial's model as it is before evaluation: same architecture, same initial weights."""
        seed_all(trial.seed)
        with self.space.answers(trial.architecture):
            return self.space.create()

    def _evaluator(self, architecture: Architecture) -> Evaluator:
        if isinstance(self.source, Evaluator):
            return self.source
        context = Fixed(architecture, {}, PREFIX)
        with answering(context):
            evaluator = self.source()
        context.finish(label for label in architecture if label not in self.space.decisions)
        return evaluator


def questions(source: EvaluatorSource) -> SearchSpace:
    """The decisions that an evaluator brings with it; none if it is an evaluator already.

    Raises:
        ExperimentError: `source` is neither an evaluator nor a callable that builds one.
        SpaceError: a question appears only with some answers to another.
    """
    if isinstance(source, Evaluator):
        return SearchSpace()
    advice = "give an Evaluator, such as FunctionalEvaluator(function), or a callable without arguments that builds one"
    if not callable(source):
        raise ExperimentError(f"evaluator is {source!r} ({type(source).__name__}); {advice}")
    needed = [
        p.name
        for p in inspect.signature(source).parameters.values()
        if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    if needed:
        raise ExperimentError(f"the evaluator callable {source!r} needs the arguments {', '.join(needed)}; {advice}")

    def asked(answers: Mapping[str, Value]) -> Trace:
        context = Trace(answers, {}, PREFIX)
        with answering(context):
            evaluator = source()
        if not isinstance(evaluator, Evaluator):
            raise ExperimentError(f"the evaluator callable {source!r} returned {evaluator!r}; {advice}")
        return context

    traced = asked({})
    probe(traced, asked)
    return traced.space()


def seed_all(seed: int) -> None:
    """Seed the global generators that training code draws from: `random`, NumPy (where it is loaded) and torch."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)
    torch.manual_seed(seed)
