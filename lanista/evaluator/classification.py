"""`Classification`: trains a model that tells classes apart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lanista.errors import EvaluatorError
from lanista.evaluator.data import Data
from lanista.evaluator.framework import torchmetrics
from lanista.evaluator.supervision import Recipe, Supervised
from lanista.evaluator.supervision import metrics as read_metrics
from lanista.evaluator.trained import Trained
from lanista.evaluator.training import Training, described

METRICS: Mapping[str, Callable[..., Any]] = {
    "accuracy": functools.partial(torchmetrics.classification.MulticlassAccuracy, average="micro"),
    "top5": functools.partial(torchmetrics.classification.MulticlassAccuracy, average="micro", top_k=5),
    "f1": torchmetrics.classification.MulticlassF1Score,
    "precision": torchmetrics.classification.MulticlassPrecision,
    "recall": torchmetrics.classification.MulticlassRecall,
    "auroc": torchmetrics.classification.MulticlassAUROC,
}
"""Metrics that have names. All but accuracy need `num_classes`; all but accuracy and top5 are means over classes."""


class Classification(Trained):
    """Trains on batches `(inputs, targets)` and gives `val_loss` and `val_<metric>`, by default `val_accuracy`.

    The model maps inputs to scores of shape (N, C) or (N, C, ...) for C classes. Targets are integers from 0 to C - 1,
    of shape (N) or (N, ...), or the classes' probabilities, of the outputs' shape. (With other losses than
    `CrossEntropyLoss` and `NLLLoss`, outputs and targets are what that loss and the metrics take.)

    Each validation is reported, numbered from 1, so that a scheduler can stop the trial. At the end the model has the
    weights of the best validation, and the final metrics are that one's.

    Data are loaded once in each process, not for each trial: give loaders, or callables that return them and are
    called once. Trainings that were interrupted in an experiment go on from their last epoch.

    Args:
        train_dataloaders: a loader, or what else Lightning takes, or a callable without arguments that returns it;
            None: the model is only validated.
        val_dataloaders: the same, for validation.
        datamodule: a `LightningDataModule` of `lightning.pytorch` instead of both, or a callable that returns one.
        loss: a class, a module, or a function of outputs and targets.
        optimizer: a class, or a callable such as `functools.partial(torch.optim.SGD, momentum=0.9)`.
        learning_rate: default: the optimizer's own.
        weight_decay: default: the optimizer's own.
        scheduler: a callable of the optimizer that returns a scheduler of `torch.optim.lr_scheduler`.
        scheduler_interval: "epoch" or "step": after what the scheduler makes a step.
        metrics: names (accuracy, top5, f1, precision, recall, auroc), metrics of torchmetrics or their classes: one,
            a list, or a mapping name -> metric.
        num_classes: C, for metrics that need it.
        monitor: the metric by which a validation is best; default: the first of `metrics`.
        mode: "max" or "min"; default: what the metric says.
        keep_weights: at the end the model has the weights, and the trial the metrics, of the best validation; else of
            the last one.
        trainer: any argument of `lightning.pytorch.Trainer`, such as `max_epochs`, `precision`, `gradient_clip_val`,
            `callbacks`. One device unless you say otherwise; no logger, progress bar or files unless you ask.

    Attributes:
        recipe: loss, optimizer, scheduler and metrics.
        training: data, monitor and Trainer arguments.

    Raises:
        EvaluatorError: arguments do not fit together.
    """

    def __init__(  # noqa: PLR0913, all but two by name
        self,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        *,
        datamodule: Any = None,
        loss: Any = nn.CrossEntropyLoss,
        optimizer: Any = torch.optim.Adam,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        scheduler: Any = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        metrics: Any = "accuracy",
        num_classes: int | None = None,
        monitor: str | None = None,
        mode: str | None = None,
        keep_weights: bool = True,
        **trainer: Any,
    ) -> None:
        if val_dataloaders is None and datamodule is None:
            raise EvaluatorError("Classification has nothing to validate on; give val_dataloaders, or a datamodule")
        measured = read_metrics("Classification", metrics, METRICS, {"num_classes": num_classes})
        self.recipe = Recipe(
            "Classification",
            loss,
            optimizer,
            learning_rate,
            weight_decay,
            scheduler,
            scheduler_interval,
            measured,
            check,
        )
        first = next((f"val_{name}" for name in measured), "val_loss")
        monitor, mode = self.recipe.best(monitor, mode, first)
        data = Data(train_dataloaders, val_dataloaders, datamodule)
        build = functools.partial(Supervised, self.recipe, monitor)
        self.training = Training(build, data, monitor, mode, keep_weights, trainer)

    def __repr__(self) -> str:
        return described(self, {**self.recipe.settings, **self.training.settings})


def check(recipe: Recipe, outputs: Tensor, targets: Tensor, first: bool) -> Tensor:
    """Targets as cross-entropy takes them; see `Classification`.

    Raises:
        EvaluatorError: shapes or types do not fit, or there is a class that the model has no score for.
    """
    loss = recipe.loss if isinstance(recipe.loss, type) else type(recipe.loss)
    if not issubclass(loss, nn.CrossEntropyLoss | nn.NLLLoss):
        return targets
    shapes = f"outputs have {_text(outputs)} and targets {_text(targets)}"
    expected = "outputs of shape (N, C, ...) and targets of integers from 0 to C - 1 of shape (N, ...)"
    if outputs.dim() < 2:
        raise EvaluatorError(f"Classification expects {expected}, but {shapes}; give the model one output per class")
    if targets.is_floating_point():
        if targets.shape != outputs.shape:
            raise EvaluatorError(
                f"Classification expects {expected}, but {shapes}; make class numbers integers: targets.long()"
            )
        return targets
    if targets.shape != outputs.shape[:1] + outputs.shape[2:]:
        raise EvaluatorError(f"Classification expects {expected}, but {shapes}")
    ignored = getattr(recipe.loss, "ignore_index", -100)
    classes = outputs.shape[1]
    wrong = (targets != ignored) & ((targets < 0) | (targets >= classes))
    if (first or targets.device.type == "cpu") and wrong.any():
        raise EvaluatorError(
            f"a target is class {int(targets[wrong][0])}, but the model has {classes} outputs, for classes 0 to "
            f"{classes - 1}; give the model one output per class"
        )
    return targets.long()


def _text(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
