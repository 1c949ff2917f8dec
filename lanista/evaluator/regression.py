"""`Regression`: trains a model that predicts numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lanista.errors import EvaluatorError
from lanista.evaluator.data import Data
from lanista.evaluator.framework import torchmetrics
from lanista.evaluator.supervision import LOSS, Recipe, Supervised
from lanista.evaluator.supervision import metrics as read_metrics
from lanista.evaluator.trained import Trained
from lanista.evaluator.training import Training, described

METRICS: Mapping[str, Callable[..., Any]] = {
    "mse": torchmetrics.MeanSquaredError,
    "rmse": functools.partial(torchmetrics.MeanSquaredError, squared=False),
    "mae": torchmetrics.MeanAbsoluteError,
    "r2": torchmetrics.R2Score,
}
"""Metrics that have names."""


class Regression(Trained):
    """Trains on batches `(inputs, targets)` and gives `val_loss` and `val_<metric>`, by default `val_mse`, `val_mae`.

    Outputs and targets are floating-point numbers of one shape, (N) or (N, ...).

    All else is as with `Classification`.

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
        metrics: names (mse, rmse, mae, r2), metrics of torchmetrics or their classes: one, a list, or a mapping
            name -> metric.
        monitor: the metric by which a validation is best; default: the loss.
        mode: "max" or "min"; default: what the metric says.
        keep_weights: at the end the model has the weights, and the trial the metrics, of the best validation; else of
            the last one.
        trainer: any argument of `lightning.pytorch.Trainer`.

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
        loss: Any = nn.MSELoss,
        optimizer: Any = torch.optim.Adam,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        scheduler: Any = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        metrics: Any = ("mse", "mae"),
        monitor: str | None = None,
        mode: str | None = None,
        keep_weights: bool = True,
        **trainer: Any,
    ) -> None:
        if val_dataloaders is None and datamodule is None:
            raise EvaluatorError("Regression has nothing to validate on; give val_dataloaders, or a datamodule")
        measured = read_metrics("Regression", metrics, METRICS, {})
        self.recipe = Recipe(
            "Regression", loss, optimizer, learning_rate, weight_decay, scheduler, scheduler_interval, measured, check
        )
        monitor, mode = self.recipe.best(monitor, mode, LOSS)
        data = Data(train_dataloaders, val_dataloaders, datamodule)
        build = functools.partial(Supervised, self.recipe, monitor)
        self.training = Training(build, data, monitor, mode, keep_weights, trainer)

    def __repr__(self) -> str:
        return described(self, {**self.recipe.settings, **self.training.settings})


def check(recipe: Recipe, outputs: Tensor, targets: Tensor, first: bool) -> Tensor:
    """Targets as the loss takes them: in single precision where they come in double precision and outputs do not.

    Raises:
        EvaluatorError: targets are integers, or of another shape than outputs: torch would broadcast them.
    """
    if targets.shape != outputs.shape or not targets.is_floating_point():
        raise EvaluatorError(
            "Regression expects outputs and targets of floating-point numbers in one shape, but outputs have "
            f"{str(outputs.dtype).removeprefix('torch.')} {tuple(outputs.shape)} and targets "
            f"{str(targets.dtype).removeprefix('torch.')} {tuple(targets.shape)}; use targets.float() for integers, "
            "and targets[:, None] or outputs.squeeze(-1) where a dimension of size 1 is missing or too much"
        )
    return targets.float() if targets.dtype is torch.float64 and outputs.dtype is not torch.float64 else targets
