"""`Recipe`: supervised training as data; `Supervised`: the `LightningModule` that follows it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lanista.errors import EvaluatorError
from lanista.evaluator.framework import pl, torchmetrics

LOSS = "val_loss"
"""The name under which the validation loss is logged; a metric `accuracy` is `val_accuracy`."""

MetricSource = Any
"""A torchmetrics `Metric`, its class, or a callable that returns one; a class may take `num_classes`."""

Check = Callable[["Recipe", Tensor, Tensor, bool], Tensor]
"""Takes outputs and targets of a batch, and whether it is an epoch's first; returns the targets as the loss takes them.

Raises EvaluatorError where they do not fit. Looking at values waits for the device: on a GPU in first batches only.
"""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained on batches `(inputs, targets)`.

    Attributes:
        kind: name of the evaluator, for messages.
        loss: a class, a module, or a function of outputs and targets that returns a scalar.
        optimizer: a class or callable: `optimizer(parameters)`, with `lr` and `weight_decay` where these are given.
        learning_rate: default: the optimizer's own.
        weight_decay: default: the optimizer's own.
        scheduler: a callable, `scheduler(optimizer)`, that returns a scheduler of `torch.optim.lr_scheduler`.
        interval: whether the scheduler makes a step after each "epoch" or each "step" of the optimizer.
        metrics: name -> metric, updated with outputs and targets of each validation batch.
        check: see `Check`.
    """

    kind: str
    loss: Any
    optimizer: Any
    learning_rate: float | None
    weight_decay: float | None
    scheduler: Any
    interval: Literal["epoch", "step"]
    metrics: Mapping[str, MetricSource]
    check: Check

    def __post_init__(self) -> None:
        for name, given, advice in (
            ("loss", self.loss, "a class, module or function of outputs and targets, such as torch.nn.MSELoss"),
            ("optimizer", self.optimizer, "a class or a callable of the parameters, such as torch.optim.Adam"),
        ):
            if not callable(given):
                raise EvaluatorError(f"{name} is {given!r}; give {advice}")
        if self.scheduler is not None and not callable(self.scheduler):
            raise EvaluatorError(
                f"scheduler is {self.scheduler!r}; give a callable of the optimizer, such as "
                "functools.partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=10)"
            )
        if self.interval not in ("epoch", "step"):
            raise EvaluatorError(f"scheduler_interval is {self.interval!r}; give 'epoch' or 'step'")
        for name, least in (("learning_rate", self.learning_rate), ("weight_decay", self.weight_decay)):
            if least is not None and not (isinstance(least, int | float) and 0 <= least < float("inf")):
                raise EvaluatorError(f"{name} is {least!r}; give a finite number of at least 0")

    @property
    def settings(self) -> dict[str, Any]:
        """As the evaluators' arguments."""
        return {
            "loss": self.loss,
            "optimizer": self.optimizer,
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "scheduler": self.scheduler,
            "scheduler_interval": None if self.scheduler is None else self.interval,
            "metrics": self.metrics,
        }

    def best(self, monitor: str | None, mode: str | None, default: str) -> tuple[str, str]:
        """The metric by which a validation is best, and "max" or "min", where the metric says which.

        Raises:
            EvaluatorError: there is no such metric, or it does not say.
        """
        names = [LOSS, *(f"val_{name}" for name in self.metrics)]
        monitor = default if monitor is None else monitor
        if monitor not in names:
            raise EvaluatorError(f"monitor is {monitor!r}, but {self.kind} logs {', '.join(map(repr, names))}")
        if mode is None:
            higher = False if monitor == LOSS else self.metrics[monitor.removeprefix("val_")].higher_is_better
            if higher is None:
                raise EvaluatorError(f"{monitor} does not say whether more of it is better; give mode='max' or 'min'")
            mode = "max" if higher else "min"
        return monitor, mode


class Supervised(pl.LightningModule):
    """Trains `model` by a recipe.

    It logs `train_loss`, and for each validation `val_loss` (the mean over samples) and `val_<name>` for each metric.
    """

    def __init__(self, recipe: Recipe, monitor: str, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.recipe, self.monitor = recipe, monitor
        self.loss: Any = recipe.loss() if inspect.isclass(recipe.loss) else copy.deepcopy(recipe.loss)
        self.metrics = nn.ModuleDict({name: made.clone() for name, made in recipe.metrics.items()})
        # Not MeanMetric: torchmetrics 1.9.0 leaves NaN out of it, or, told not to, forgets the weights.
        self.total = torchmetrics.SumMetric(nan_strategy="disable")
        self.count = torchmetrics.SumMetric(nan_strategy="disable")

    def forward(self, inputs: Any) -> Any:
        return self.model(inputs)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, _, _ = self._loss(batch, batch_idx)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        loss, outputs, targets = self._loss(batch, batch_idx)
        self.total.update(loss * len(outputs))
        self.count.update(len(outputs))
        for metric in self._measured.values():
            metric.update(outputs, targets)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.world_size == 1 and not self.total.update_called:
            return  # there was no batch, which the trial says
        values = {LOSS: self.total.compute() / self.count.compute()}
        values |= {f"val_{name}": metric.compute() for name, metric in self._measured.items()}
        for metric in (self.total, self.count, *self._measured.values()):
            metric.reset()
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.numel() != 1:
                raise EvaluatorError(f"{name} is {value!r}; give metrics with one value, such as average='macro'")
        self.log_dict(values)

    @property
    def _measured(self) -> dict[str, torchmetrics.Metric]:
        return {name: metric for name, metric in self.metrics.items() if isinstance(metric, torchmetrics.Metric)}

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        given = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        optimizer = recipe.optimizer(
            self.model.parameters(), **{name: value for name, value in given.items() if value is not None}
        )
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise EvaluatorError(
                f"optimizer {recipe.optimizer!r} made {optimizer!r}, which is no torch.optim.Optimizer"
            )
        if recipe.scheduler is None:
            return optimizer
        scheduler = recipe.scheduler(optimizer)
        if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
            raise EvaluatorError(
                f"scheduler {recipe.scheduler!r} made {scheduler!r}, which is no torch.optim.lr_scheduler.LRScheduler"
            )
        settings = {"scheduler": scheduler, "interval": recipe.interval, "monitor": self.monitor}
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def _loss(self, batch: Any, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of a batch, and its outputs in full precision, and its targets."""
        kind = self.recipe.kind
        if not isinstance(batch, list | tuple) or len(batch) != 2 or not isinstance(batch[1], Tensor):
            raise EvaluatorError(
                f"{kind} expects batches (inputs, targets) with a tensor of targets, and got {_shapes(batch)}; "
                "for others use LightningEvaluator"
            )
        inputs, targets = batch
        outputs = self.model(inputs)
        if not isinstance(outputs, Tensor):
            raise EvaluatorError(
                f"{kind} expects a model that returns a tensor, and this one returned {_shapes(outputs)}; "
                "for others use LightningEvaluator"
            )
        targets = self.recipe.check(self.recipe, outputs, targets, batch_idx == 0)
        loss = self.loss(outputs, targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise EvaluatorError(f"the loss is {_shapes(loss)}; it must return one value for the batch")
        return loss, outputs.detach().float(), targets


def metrics(
    kind: str, given: Any, known: Mapping[str, Callable[[], Any]], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Name -> new metric, from what a user gave.

    Args:
        kind: name of the evaluator, for messages.
        given: a name of `known` or a metric, or a list or mapping (name -> name or metric) of such.
        known: name -> metric class.
        arguments: what metric classes get that take it, such as `num_classes`.

    Raises:
        EvaluatorError: a name is unknown, or something is no metric.
    """
    if isinstance(given, Mapping):
        named = dict(given)
    else:
        entries = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        named = {entry if isinstance(entry, str) else _name(entry): entry for entry in entries}
    return {name: _metric(kind, name, entry, known, arguments) for name, entry in named.items()}


def _name(metric: Any) -> str:
    made: str = getattr(metric, "__name__", type(metric).__name__)
    return made.lower()


def _metric(
    kind: str, name: str, given: Any, known: Mapping[str, Callable[[], Any]], arguments: Mapping[str, Any]
) -> Any:
    if isinstance(given, str):
        if given not in known:
            raise EvaluatorError(
                f"metric {given!r} is unknown; {kind} knows {', '.join(known)}, and takes objects of torchmetrics"
            )
        return _metric(kind, name, known[given], known, arguments)
    if isinstance(given, torchmetrics.Metric):
        return given.clone()
    wrong = inspect.isclass(given) and not issubclass(given, torchmetrics.Metric)
    if wrong or not callable(given):
        raise EvaluatorError(f"metric {name!r} is {given!r}; give a name, or a Metric of torchmetrics, or its class")
    taken = inspect.signature(given).parameters
    missing = [
        parameter
        for parameter, entry in taken.items()
        if parameter in arguments and entry.default is entry.empty and arguments[parameter] is None
    ]
    if missing:
        raise EvaluatorError(f"metric {name!r} needs {', '.join(missing)}; give {missing[0]} to {kind}")
    factory: Callable[..., Any] = given
    try:
        made = factory(**{key: value for key, value in arguments.items() if key in taken and value is not None})
    except (TypeError, ValueError) as error:
        lacking = [key for key, value in arguments.items() if key in taken and value is None]
        advice = f"; it may need {', '.join(lacking)}, which {kind} was not given" if lacking else ""
        raise EvaluatorError(f"metric {name!r} cannot be made: {error}{advice}") from error
    if not isinstance(made, torchmetrics.Metric):
        raise EvaluatorError(f"metric {name!r} is {made!r}, which is no Metric of torchmetrics")
    return made


def _shapes(value: Any) -> str:
    """A value in words: tensors by type and shape."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_shapes(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_shapes, value))})"
    return type(value).__name__
