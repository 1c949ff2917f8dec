"""The first phase of an experiment with a one-shot method: the training of the weights that all trials share."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch

from lanista.errors import ExperimentError
from lanista.evaluator.base import Evaluator, EvaluatorSource
from lanista.evaluator.task import seed_all
from lanista.model import ModelSpace
from lanista.objective import best
from lanista.oneshot.inherited import Inherited, load, save
from lanista.oneshot.method import Method
from lanista.oneshot.supernet import Supernet
from lanista.scheduler.base import Scheduler
from lanista.space.domain import Architecture
from lanista.strategy.base import Strategy
from lanista.strategy.initial import Initial
from lanista.trial import Trial
from lanista.trust.rank import spearman
from lanista.trust.record import Trust

logger = logging.getLogger("lanista")

WEIGHTS, METHOD, HISTORY = "supernet.safetensors", "method.pt", "history.json"
"""What the phase leaves behind: the shared weights, the method's state, and the strengths of options over time."""

TRAINING = "training"
"""Folder of an interrupted training."""

FIRST = 5
"""How many of the architectures that a method finds strongest are the first trials."""

TRIALS = 100
"""How many trials there are where the user gives no limit: the supernet is searched for an end."""


LEAST = 10
"""From how many trials on a correlation is reported."""

UNMEASURED = "Shared weights rank architectures, they do not measure them; none was trained by itself."
REFERENCE = "Say what is the real thing: Experiment(..., reference=evaluator that trains fully). "
MEASURE = "experiment.trust() trains some by the reference, and says how well shared weights rank."
"""What is known of a one-shot search without a trust report, and the way to one."""


class Shared:
    """A supernet that is trained once, and then searched.

    Args:
        method: trains it.
        space: the models.
        evaluator: has the data, the loss and the optimizer, and scores the models.
        searcher: searches the trained supernet; None: the method says.
        scheduler: must be None.
        seed: of the experiment.

    Attributes:
        method: as given.

    Raises:
        ExperimentError: arguments do not fit together.
    """

    def __init__(
        self,
        method: Method,
        space: ModelSpace,
        evaluator: EvaluatorSource,
        searcher: Strategy | None,
        scheduler: Scheduler | None,
        seed: int,
    ) -> None:
        if not isinstance(evaluator, Evaluator):
            raise ExperimentError(
                f"{method!r} trains one supernet by one evaluator, and got a callable that builds evaluators; give an "
                "Evaluator instance, or search the evaluator's questions with a Strategy"
            )
        if scheduler is not None:
            raise ExperimentError(
                f"{method!r} trains one supernet, and its trials are not trained: there is nothing that {scheduler!r} "
                "could stop early; leave the scheduler out"
            )
        if not method.ranks:
            raise ExperimentError(
                f"{method!r} says which architectures are good, but its shared weights cannot score them; use "
                "method.fit(...), and train what it finds"
            )
        self.method, self._space, self._trainer = method, space, evaluator
        self._searcher, self._seed = searcher, seed
        self._ready: tuple[Strategy, Evaluator] | None = None

    def train(self, folder: Path) -> tuple[Strategy, Evaluator]:
        """Train the supernet, or go on, or read what an earlier run left in the folder.

        Returns:
            What chooses the trials, and what scores them.
        """
        if self._ready is not None:
            return self._ready
        file = folder / WEIGHTS
        if not (folder / METHOD).exists():
            self._train(folder)
        stamp = file.stat().st_mtime_ns  # another search may have been here under this name
        supernet = load(self._space, file, stamp)
        state = torch.load(folder / METHOD, map_location="cpu", weights_only=True)
        self.method.start(supernet, steps=state["steps"], seed=self._seed)
        self.method.load_state_dict(state["method"])
        searcher = self._searcher or self.method.searcher()
        if self.method.learns:
            searcher = Initial(searcher, self.method.best(FIRST))
        self._ready = searcher, Inherited(self._trainer, partial(load, self._space, file, stamp))
        return self._ready

    def report(
        self,
        trials: Sequence[Trial],
        metric: str,
        size: Callable[[Architecture], float],
        *,
        reference: bool,
        trust: Trust | None,
    ) -> str:
        """What came of it, in plain text.

        Args:
            trials: of the experiment.
            metric: name of the first objective.
            size: number of parameters of an architecture.
            reference: whether there is one, which a trust report asks.
            trust: the trust report, if there is one.
        """
        done = [trial for trial in best(trials, len(trials)) if trial.scores]
        count = f"{len(done)} architecture{'s' * (len(done) != 1)}"
        lines = [f"{count} scored with the shared weights of {self.method!r}; the best:"]
        lines += [f"  {trial.number}: {metric or 'score'} {_score(trial, metric)}" for trial in done[:3]]
        if trust is None:
            lines += ["Trust: NOT MEASURED", f"  {UNMEASURED} {'' if reference else REFERENCE}{MEASURE}"]
        if len(done) >= LEAST:
            rho = spearman(
                numpy.array([trial.scores[0] for trial in done]),
                numpy.array([size(trial.architecture) for trial in done]),
            )
            lines.append(f"  Rank correlation of these scores with the number of parameters: {rho:.2f}")
        if done:
            lines += [f"  Warning: {text}" for text in self.method.warnings(self._own(done[0].architecture))]
        return "\n".join(lines if trust is None else [*lines, "", str(trust)])

    def _own(self, architecture: Architecture) -> Architecture:
        return self._space.decisions.complete(architecture)

    def _train(self, folder: Path) -> None:
        seed_all(self._seed)
        supernet = Supernet(self._space)

        def report(metrics: dict[str, float], step: int | None) -> None:
            told = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            logger.info("supernet, validation %s: %s", step, told)

        trial = Trial(number=0, architecture={}, seed=self._seed, folder=folder / TRAINING, reporter=report)
        self._trainer.share(partial(self._begin, supernet), supernet, trial)
        save(supernet, folder / WEIGHTS)
        told = {"options": self.method.options, "history": self.method.history}
        (folder / HISTORY).write_text(json.dumps(told), encoding="utf-8")
        content: dict[str, Any] = {"steps": self.method.steps, "method": self.method.state_dict()}
        torch.save(content, folder / f"{METHOD}.tmp")
        (folder / f"{METHOD}.tmp").replace(folder / METHOD)
        shutil.rmtree(folder / TRAINING, ignore_errors=True)

    def _begin(self, supernet: Supernet, steps: int) -> Method:
        self.method.start(supernet, steps=steps, seed=self._seed)
        return self.method


def _score(trial: Trial, metric: str) -> str:
    value = trial.metrics.get(metric, trial.scores[0])
    return f"{value:.4g}"
