"""`retrain`: the final training of one architecture, by the code that a trial runs through."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_model, save_model
from torch import nn

from lanista.errors import EvaluatorError
from lanista.evaluator.base import EvaluatorSource
from lanista.evaluator.task import Task, questions
from lanista.model import ModelSpace
from lanista.trial import Trial

logger = logging.getLogger("lanista")

START, END, WEIGHTS, WORK = "retraining.json", "result.json", "weights.safetensors", "work"


@dataclass(frozen=True)
class Retrained:
    """What a final training gave.

    Attributes:
        model: with the weights that it ended with.
        metrics: final metrics by name.
        curve: what was reported: step -> metrics by name.
    """

    model: nn.Module
    metrics: dict[str, float]
    curve: dict[int, dict[str, float]]

    def __repr__(self) -> str:
        return f"Retrained({type(self.model).__name__}, metrics={self.metrics}, {len(self.curve)} reports)"


def retrain(
    space: ModelSpace,
    architecture: Mapping[str, object],
    evaluator: EvaluatorSource,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Retrained:
    """Build and train one architecture as a trial of an experiment would.

    Each report is logged to the logger `lanista` as it is made.

    Args:
        space: the models.
        architecture: an answer to each decision of the space and of the evaluator; `trial.architecture` has them.
        evaluator: scores a model, training it in place; or a callable that builds the evaluator.
        seed: of the weights and of the training.
        folder: where the training is kept. When it is called again with the same arguments, a training that was
            interrupted goes on (from its last epoch, with the evaluators on Lightning), and a finished one is read.
            Evaluators are not compared: give another folder for other epochs or data.

    Raises:
        ArchitectureError: `architecture` is not one of this space.
        EvaluatorError: the folder has another training.
    """
    known = space.decisions | questions(evaluator)
    canonical = known.validate(architecture)
    identity = {"space": known.fingerprint, "architecture": canonical, "seed": seed}
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory()) if folder is None else folder)
        home.mkdir(parents=True, exist_ok=True)
        _claim(home / START, identity)
        task = Task(space, evaluator, home / WORK / "weights")
        trial = Trial(number=0, architecture=canonical, seed=seed)
        model = task.model(trial)
        if (home / END).exists():
            load_model(model, home / WEIGHTS)
            result = json.loads((home / END).read_text("utf-8"))
            return Retrained(model, result["metrics"], {int(step): entry for step, entry in result["curve"].items()})
        curve: dict[int, dict[str, float]] = {}

        def report(metrics: dict[str, float], step: int | None) -> None:
            position = max(curve, default=-1) + 1 if step is None else step
            curve[position] = metrics
            logger.info("step %d: %s", position, ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

        metrics = task.evaluate(model, replace(trial, reporter=report))
        if folder is not None:
            _write(home, model, {**identity, "metrics": metrics, "curve": curve})
        return Retrained(model, metrics, curve)


def _claim(file: Path, identity: dict[str, Any]) -> None:
    """Write down what is trained in the folder, or see that it is the same."""
    if not file.exists():
        _replace(file, identity)
    elif (found := json.loads(file.read_text("utf-8"))) != json.loads(json.dumps(identity)):
        differing = [
            f"{name} {found.get(name)!r}, not {value!r}" for name, value in identity.items() if value != found.get(name)
        ]
        raise EvaluatorError(f"{file.parent} has another training, of {'; '.join(differing)}; give another folder")


def _write(home: Path, model: nn.Module, result: dict[str, Any]) -> None:
    aside = home / f"{WEIGHTS}.tmp"
    save_model(model, str(aside))
    aside.replace(home / WEIGHTS)
    _replace(home / END, result)
    shutil.rmtree(home / WORK, ignore_errors=True)


def _replace(file: Path, content: dict[str, Any]) -> None:
    aside = file.with_suffix(".tmp")
    aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    aside.replace(file)
