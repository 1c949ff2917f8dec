"""`Inherited`: scores models with weights from a supernet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import final

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lanista.errors import EvaluatorError, OneShotError
from lanista.evaluator.base import Evaluator
from lanista.model import ModelSpace
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import is_integer
from lanista.trial import Trial


@final
class Inherited(Evaluator):
    """Gives each model its part of a supernet's weights before it is evaluated.

    So any strategy searches a trained supernet: `Experiment(space, Inherited(evaluator, supernet), LocalSearch())`.
    By default models are scored as they are, which only evaluators on Lightning can; a function gets the model with
    inherited weights, and does what it does. With `train` all go on training from there: a warm start.

    Args:
        evaluator: scores the models.
        supernet: the weights; or a callable that returns them, called once in each process that needs them.
        train: whether the models are trained further.
        recalibrate: by how many training batches the statistics of batch normalisation are computed anew before a
            model is scored, as its part of the weights was trained with others'.

    Raises:
        EvaluatorError: an argument is not what it should be.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        supernet: Supernet | Callable[[], Supernet],
        *,
        train: bool = False,
        recalibrate: int = 8,
    ) -> None:
        if not isinstance(evaluator, Evaluator):
            raise EvaluatorError(
                f"evaluator is {evaluator!r}; give an Evaluator. One that asks questions must be built first: weights "
                "are not inherited for other answers of its own"
            )
        if not isinstance(supernet, Supernet) and not callable(supernet):
            raise EvaluatorError(f"supernet is {supernet!r}; give a Supernet, or a callable that returns one")
        if not is_integer(recalibrate) or recalibrate < 0:
            raise EvaluatorError(f"recalibrate is {recalibrate!r}; give a number of batches, 0 for none")
        self._evaluator, self._supernet, self._train, self._recalibrate = evaluator, supernet, train, recalibrate

    @property
    def keep_weights(self) -> bool:
        return self._evaluator.keep_weights

    def evaluate(self, model: nn.Module, trial: Trial) -> float | Mapping[str, float]:
        supernet = self._supernet if isinstance(self._supernet, Supernet) else self._supernet()
        inherited = supernet.inherit(supernet.space.decisions.complete(trial.architecture))
        model.load_state_dict(inherited.state_dict())
        if self._train:
            return self._evaluator.evaluate(model, trial)
        return self._evaluator.score(model, trial, recalibrate=self._recalibrate)

    def __repr__(self) -> str:
        return f"Inherited({self._evaluator!r})"


def save(supernet: Supernet, file: Path) -> None:
    """Write a supernet's weights as safetensors; what was there is replaced at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".tmp")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in supernet.state_dict().items()}
    save_file(weights, aside, {"space": supernet.space.decisions.fingerprint})
    aside.replace(file)


@lru_cache(maxsize=1)
def load(space: ModelSpace, file: Path, stamp: int = 0) -> Supernet:
    """A supernet of `space` with the weights of a file, on the CPU; kept for as long as no other is loaded.

    Args:
        space: the models.
        file: as `save` wrote it.
        stamp: tells contents of one file from each other, such as the time of its last change.

    Raises:
        OneShotError: the file has other tensors.
    """
    with torch.random.fork_rng(devices=[]):  # the weights that are drawn are replaced
        supernet = Supernet(space)
    try:
        supernet.load_state_dict(load_file(file))
    except RuntimeError as error:
        raise OneShotError(f"{file} has the weights of another supernet: {error}") from error
    return supernet
