"""`Journal`: follows a run of Lightning: reports validations, keeps the best weights, writes checkpoints."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor, nn

from lanista.errors import EvaluatorError, MetricError, Pruned
from lanista.evaluator.data import Draws
from lanista.evaluator.task import seed_all

Report = Callable[[dict[str, float], int], None]
"""Called with the metrics of a validation and its number, from 1."""


class Journal(Checkpoint):
    """The callback by which a trial sees its training.

    Each validation is reported with its number, from 1, and with what was logged in it; if there is no validation,
    each training epoch with what was logged in it.

    At the end of each epoch a checkpoint is written: what Lightning's have, and the reports, the best weights, the
    states of the random generators, and whether a callback asked to stop. A run that starts from it goes on as the
    interrupted one would have, and reports again what that one reported.

    Args:
        model: whose weights are kept: all of the module's that the user searches.
        report: takes the metrics; what it raises ends the run.
        draws: the random generators of the data loaders.
        monitor: the metric by which a validation is best; None: the last one is.
        mode: "max" or "min".
        keep_weights: whether `finish` puts the best weights into the model.
        file: the checkpoint; None: none is written.
        seed: of the trial; the other processes of a run draw from seeds counted up from it.
    """

    def __init__(
        self,
        model: nn.Module,
        report: Report,
        draws: Draws,
        *,
        monitor: str | None,
        mode: str | None,
        keep_weights: bool,
        file: Path | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.history: list[tuple[int, dict[str, float]]] = []
        self._model, self._report, self._draws, self._seed = model, report, draws, seed
        self._monitor, self._mode, self._keep_weights, self._file = monitor, mode, keep_weights, file
        self._best: dict[str, float] = {}
        self._weights: dict[str, Tensor] = {}
        self._earlier: dict[str, Tensor] = {}
        self._batches = {"train": 0, "val": 0}
        self._resumed: dict[str, Any] = {}
        self._random: list[dict[str, Any]] = []
        self._logged: dict[str, float] = {}
        self._stopped = False
        self._max_steps = -1

    def finish(self) -> dict[str, float]:
        """The final metrics, after the run; the model gets the weights that they belong to, if weights are kept.

        Raises:
            EvaluatorError: there was no validation at all.
        """
        if not self.history:
            raise EvaluatorError(
                "training ended before the first validation; lower check_val_every_n_epoch or val_check_interval, or "
                "train for longer"
            )
        if not self._best:
            return self.history[-1][1]
        self._model.load_state_dict(self._weights)
        return self._best

    # --- hooks --------------------------------------------------------------------------------------------------

    @property
    def state_key(self) -> str:
        return "lanista.Journal"

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": self.history,
            "best": self._best,
            "weights": self._weights,
            "random": self._random,
            "draws": self._draws.state(),
            "logged": self._logged,
            "stopped": self._stopped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._resumed = state_dict
        self.history, self._best, self._weights = (state_dict[name] for name in ("history", "best", "weights"))
        self._draws.states = state_dict["draws"]

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self._resumed:
            for step, metrics in self.history:
                self._tell(trainer, metrics, step)
            trainer.should_stop = self._resumed["stopped"]
            # With max_steps, Lightning 2.6.6 would end the checkpoint's epoch once more, whatever its state.
            self._max_steps, trainer.fit_loop.epoch_loop.max_steps = trainer.max_steps, -1
            _restore(self._resumed["random"][trainer.global_rank])
        elif trainer.world_size > 1:
            seed_all((self._seed + trainer.global_rank) % 2**32)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not self._resumed:
            return
        trainer.fit_loop.epoch_loop.max_steps = self._max_steps
        # Lightning 2.6.6 updates these schedulers after the hook in which checkpoints are written.
        for config in trainer.lr_scheduler_configs:
            if config.reduce_on_plateau and config.interval == "epoch" and not trainer.current_epoch % config.frequency:
                pl_module.lr_scheduler_step(config.scheduler, self._resumed["logged"].get(config.monitor))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._batches["train"] += 1

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._earlier = dict(trainer.callback_metrics)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._batches["val"] += 1

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            self._batches["val"] = 0
            return
        self._count("val", "val_dataloaders")
        now = dict(trainer.callback_metrics)
        # What was logged before keeps its tensor: a value of the training, which may be of the epoch before.
        self._record(trainer, {name: value for name, value in now.items() if value is not self._earlier.get(name)})

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._count("train", "train_dataloaders")
        if not trainer.enable_validation:
            self._record(trainer, dict(trainer.callback_metrics))
        if self._file is not None:
            self._save(trainer, self._file)

    # --- inside -------------------------------------------------------------------------------------------------

    def _count(self, kind: str, loaders: str) -> None:
        if not self._batches[kind]:
            raise EvaluatorError(f"{loaders} gave no batch; give at least one in each epoch")
        self._batches[kind] = 0

    def _record(self, trainer: Any, logged: dict[str, Tensor]) -> None:
        metrics = {name: float(value) for name, value in logged.items()}
        step = len(self.history) + 1
        if not metrics:
            raise EvaluatorError(
                f"{type(trainer.lightning_module).__name__} logged no metric in validation {step}; log at least one "
                "for the whole validation: self.log('val_loss', loss) in validation_step"
            )
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise MetricError(
                    f"validation {step} gave {value} for metric {name!r}; either training diverged (try a lower "
                    "learning rate, or gradient_clip_val=1.0), or the metric is not defined on these data"
                )
        if self._monitor is not None:
            if self._monitor not in metrics:
                raise EvaluatorError(
                    f"monitor is {self._monitor!r}, but validation {step} gave {', '.join(map(repr, metrics))}; "
                    "name one of these"
                )
            sign = 1 if self._mode == "max" else -1
            if not self._best or sign * metrics[self._monitor] > sign * self._best[self._monitor]:
                self._keep(metrics)
        self.history.append((step, metrics))
        self._tell(trainer, metrics, step)

    def _tell(self, trainer: Any, metrics: dict[str, float], step: int) -> None:
        """Report; where that ends the run, it ends in all of its processes."""
        if trainer.world_size == 1:
            self._report(metrics, step)
            return
        stopped: Pruned | None = None
        try:
            self._report(metrics, step)
        except Pruned as pruned:
            stopped = pruned
        if trainer.strategy.broadcast(stopped is not None):
            raise stopped or Pruned("the first process of this run was told to stop")

    def _keep(self, metrics: dict[str, float]) -> None:
        if self._keep_weights:
            self._best = metrics
            weights = self._model.state_dict()
            self._weights = {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}

    def _save(self, trainer: Any, file: Path) -> None:
        """Write the checkpoint; all processes of a run call this together."""
        self._random = [_random()]
        if trainer.world_size > 1:
            self._random = [{}] * trainer.world_size
            torch.distributed.all_gather_object(self._random, _random())
        self._logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._stopped = trainer.should_stop
        aside = file.with_suffix(".tmp")
        file.parent.mkdir(parents=True, exist_ok=True)
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            aside.replace(file)


def _random() -> dict[str, Any]:
    """The states of the random generators of this process."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return {
        "python": random.getstate(),
        "numpy": numpy.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def _restore(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    numpy.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
