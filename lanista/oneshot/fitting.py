"""What a training loop of a supernet needs beside the method: batches, checkpoints, scores with shared weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from lanista import setting
from lanista.errors import OneShotError
from lanista.evaluator.cycle import cycle
from lanista.evaluator.recalibration import recalibrating
from lanista.evaluator.task import seed_all

Criterion: TypeAlias = Callable[[Any, Any], Tensor]
"""Takes a model's outputs and the targets; returns the loss."""

Metric: TypeAlias = Callable[[Any, Any], "float | Tensor"]
"""Takes a model's outputs and the targets of a batch; returns a number, greater is better."""

CHECKPOINT = "search.pt"


@dataclass
class Fitting:
    """How a supernet is trained on batches (inputs, targets).

    Attributes:
        weights: the supernet.
        train: gives the training batches of an epoch; it has a length.
        valid: gives validation batches.
        loss: of outputs and targets.
        metric: of outputs and targets; None: minus the loss.
        optimizer: of the weights.
        scheduler: makes a step after each epoch, if there is one.
        device: where batches are taken to.
        seed: of the order of the batches, and of what models draw.
        recalibrated: by how many training batches the statistics of batch normalisation are computed for a score.
    """

    weights: nn.Module
    train: Iterable[Any]
    valid: Iterable[Any] | None
    loss: Criterion
    metric: Metric | None
    optimizer: torch.optim.Optimizer
    scheduler: Any
    device: torch.device
    seed: int
    recalibrated: int

    @property
    def steps(self) -> int:
        """Number of training batches in an epoch."""
        if not isinstance(self.train, Sized) or not len(self.train):
            raise OneShotError(
                f"the training data are {self.train!r}, without a length or a batch; give a DataLoader, or a list of "
                "batches; for other data make the steps in a loop of your own: method.step(...)"
            )
        return len(self.train)

    def batch_loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of a model on a batch."""
        inputs, targets = _pair(batch)
        return self.loss(model(inputs), targets)

    def batch_metric(self, model: nn.Module, batch: Any) -> float:
        """The metric of a model on a batch; or minus its loss, where there is no metric."""
        inputs, targets = _pair(batch)
        outputs = model(inputs)
        return float(-self.loss(outputs, targets) if self.metric is None else self.metric(outputs, targets))

    def batches(self, epoch: int, *, learns: bool) -> Iterator[tuple[Any, Any]]:
        """The training batches of an epoch, each with a validation batch if a method learns by it, and else None."""
        self._reseed(epoch)
        valid: Iterator[Any] = itertools.repeat(None)
        if learns and self.valid is not None:
            valid = cycle(self.valid, epoch * self.steps, self.seed)
        for train, other in zip(self.train, valid, strict=False):
            yield self._moved(train), None if other is None else self._moved(other)

    def score(self, model: nn.Module) -> float:
        """The mean of the metric over the validation data, with statistics of batch normalisation of this model.

        Raises:
            OneShotError: there are no validation data.
        """
        if self.valid is None:
            raise OneShotError("architectures are compared by validation data; give valid")
        self.prepare(model)
        total, count = 0.0, 0
        model.eval()
        with torch.no_grad():
            for batch in self.valid:
                moved = self._moved(batch)
                targets = _pair(moved)[1]
                size = len(targets) if isinstance(targets, Sized) else 1
                total, count = total + self.batch_metric(model, moved) * size, count + size
        return total / max(1, count)

    def prepare(self, model: nn.Module) -> None:
        """Compute the statistics of batch normalisation for this model's part of the weights."""
        if not self.recalibrated:
            return
        with recalibrating(model) as needed:
            for inputs in self._calibration if needed else ():
                model(inputs)

    @cached_property
    def _calibration(self) -> list[Any]:
        """The inputs of the first training batches of an epoch that nothing was drawn in before."""
        self._reseed(0)
        return [_pair(self._moved(batch))[0] for batch in itertools.islice(self.train, self.recalibrated)]

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """In this block, models may be prepared and scored; the supernet's own statistics are as before afterwards."""
        kept = [(buffer, buffer.clone()) for buffer in self.weights.buffers()]
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in kept:
                    buffer.copy_(value)

    @property
    def identity(self) -> dict[str, str]:
        """What must be the same in a search that goes on."""
        groups = [{n: v for n, v in group.items() if n != "params"} for group in self.optimizer.param_groups]
        return {
            "batches": str(self.steps),
            "loss": _described(self.loss),
            "optimizer": f"{type(self.optimizer).__name__} {groups}",
            "scheduler": type(self.scheduler).__name__,
        }

    def _reseed(self, epoch: int) -> None:
        seed_all((self.seed + epoch) % 2**32)
        for generator in _generators(self.train):
            generator.manual_seed(self.seed + epoch)

    def save(self, folder: Path, state: dict[str, Any], identity: dict[str, str]) -> None:
        """Write all that the search needs to go on; what was there is replaced at once."""
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f"{CHECKPOINT}.tmp"
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        content = {
            "identity": identity,
            "method": state,
            "weights": self.weights.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": scheduler,
        }
        torch.save(content, aside)
        aside.replace(folder / CHECKPOINT)

    def load(self, folder: Path, identity: dict[str, str]) -> dict[str, Any] | None:
        """Go on from what `save` wrote; returns the method's state, or None where there is none.

        Raises:
            OneShotError: it is of another search.
        """
        file = folder / CHECKPOINT
        if not file.exists():
            return None
        content = torch.load(file, map_location="cpu", weights_only=True)
        other = [f"{n} {v}, not {identity[n]}" for n, v in content["identity"].items() if v != identity[n]]
        if other:
            raise OneShotError(f"{file} is of another search, with {'; '.join(other)}; give another folder")
        try:
            self.weights.load_state_dict(content["weights"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise OneShotError(f"{file} is of another search: {error}; give another folder") from error
        if self.scheduler is not None:
            self.scheduler.load_state_dict(content["scheduler"])
        state: dict[str, Any] = content["method"]
        return state

    def _moved(self, batch: Any) -> Any:
        return tree_map(lambda leaf: leaf.to(self.device) if isinstance(leaf, Tensor) else leaf, batch)


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, list | tuple) or len(batch) != 2:
        raise OneShotError(
            f"a batch is a {type(batch).__name__}, not (inputs, targets); for others make the steps in a loop of your "
            "own: method.step(...)"
        )
    return batch[0], batch[1]


def _described(loss: Criterion) -> str:
    """What a criterion is called, with its settings, which the `repr` of torch's own does not show."""
    settings = {name: getattr(loss, name, None) for name in getattr(loss, "__constants__", ())}
    return f"{setting.name(loss)} {settings}" if settings else setting.name(loss)


def _generators(loader: Any) -> list[torch.Generator]:
    """The random generators that a loader holds."""
    holders = (loader, getattr(loader, "sampler", None))
    found = {id(g): g for g in (getattr(holder, "generator", None) for holder in holders) if g is not None}
    return list(found.values())
