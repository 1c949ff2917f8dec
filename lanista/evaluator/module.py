"""`LightningEvaluator`: trains with a `LightningModule` of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from lanista.errors import EvaluatorError
from lanista.evaluator.data import Data
from lanista.evaluator.trained import Trained
from lanista.evaluator.training import Training, described


class LightningEvaluator(Trained):
    """Trains a model by what `module(model)` returns, and gives the metrics that this logs in validation.

    `module` is called once for each trial, with the trial's model, which it must keep as it is, in an attribute:

        class Net(pl.LightningModule):
            def __init__(self, model, lr=0.1):
                super().__init__()
                self.model, self.lr = model, lr
            def training_step(self, batch, batch_idx):
                ...
            def validation_step(self, batch, batch_idx):
                self.log("val_loss", ...)
            def configure_optimizers(self):
                return torch.optim.SGD(self.model.parameters(), self.lr)

        LightningEvaluator(Net, train_loader, val_loader, monitor="val_loss", mode="min", max_epochs=3)

    Each validation is reported, numbered from 1, with the metrics that were logged in it; where there is no
    validation, each training epoch is, with what was logged in it. All else is as with `Classification`.

    Where a one-shot method trains a supernet by it, `model` stands for many models: its modules and parameters are
    those of all options, for optimizers and initial weights, and what is called of it are parts of the model that runs.
    `training_step` is called for each pass that the method makes, and once more with a validation batch, where it
    learns the architecture by that: then nothing is logged, but what the step counts or keeps itself, such as metrics
    of torchmetrics, sees that batch too. Give the module a method `architecture_loss(self, batch)` that returns the
    loss, and it is called instead.

    Args:
        module: a class or callable that takes the model and returns a `LightningModule` of `lightning.pytorch`; give
            other arguments with `functools.partial`.
        train_dataloaders: a loader, or what else Lightning takes, or a callable without arguments that returns it.
            Without any data the module's own loaders are used; without data to train on, the model is only validated.
        val_dataloaders: the same, for validation.
        datamodule: a `LightningDataModule` of `lightning.pytorch` instead of both, or a callable that returns one.
        monitor: the metric by which a validation is best; default: the last validation counts.
        mode: "max" or "min"; needed with `monitor`.
        keep_weights: at the end the model has the weights, and the trial the metrics, of the best validation; else of
            the last one.
        trainer: any argument of `lightning.pytorch.Trainer`.

    Attributes:
        module: as given.
        training: data, monitor and Trainer arguments.

    Raises:
        EvaluatorError: arguments do not fit together.
    """

    def __init__(
        self,
        module: Callable[[nn.Module], Any],
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        *,
        datamodule: Any = None,
        monitor: str | None = None,
        mode: str | None = None,
        keep_weights: bool = True,
        **trainer: Any,
    ) -> None:
        if isinstance(module, nn.Module) or not callable(module):
            raise EvaluatorError(
                f"module is an object of {type(module).__qualname__}; give a callable that takes the model of a trial "
                "and returns the LightningModule that trains it, such as its class"
            )
        if inspect.isclass(module) and not issubclass(module, nn.Module):
            raise EvaluatorError(f"module is the class {module.__qualname__}, which is no LightningModule")
        self.module = module
        data = Data(train_dataloaders, val_dataloaders, datamodule)
        self.training = Training(module, data, monitor, mode, keep_weights, trainer)

    def __repr__(self) -> str:
        return described(self, {"module": self.module, **self.training.settings})
