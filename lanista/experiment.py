"""`Experiment`: the loop that joins space, evaluator, strategy, executor and storage."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import nn

from lanista import __version__
from lanista.errors import ExperimentError, MetricError
from lanista.evaluator.base import EvaluatorSource
from lanista.evaluator.task import Task, questions
from lanista.executor.base import Event, Executor, Finished, Outcome, Reported, Started
from lanista.executor.inline import InlineExecutor
from lanista.export import write_folder
from lanista.model import ModelSpace
from lanista.objective import Objectives, best, pareto
from lanista.progress import Progress
from lanista.space.domain import is_integer, is_number
from lanista.space.limit import Function
from lanista.storage import Record, Storage
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial

logger = logging.getLogger("lanista")

TICK_SECONDS = 0.5
"""How often a run that waits for trials looks at the clock."""

KEPT_WEIGHTS = 10
"""Weights of this many best trials are kept, besides those of the Pareto front."""


MEASURED = "measured.jsonl"
"""The file, beside an experiment's logs, of what measured limits measured: name, architecture, value."""


class Experiment:
    """A search: which architectures of a space are best by an evaluator, as chosen by a strategy.

    Everything that happens is stored at once. Running the same script again goes on where it stopped, however it
    stopped; trials that were interrupted are started anew. With one slot and a deterministic evaluator the sequence
    of trials is the same as without the interruption.

    Args:
        space: the models to search.
        evaluator: scores a model; or a callable that builds the evaluator and may ask questions (`real(...,
            label="lr")`), which are then searched together with the architecture.
        strategy: chooses what to try. Its state is rebuilt from the stored history.
        objectives: "maximize" or "minimize", where the evaluator gives one metric; else metric name -> direction,
            the most important first.
        name: of the experiment in its storage; default: the name of the space's callable.
        storage: a `Storage`, a path of an SQLite file, or an SQLAlchemy URL.
        executor: where trials run; default: in this process, one at a time.
        seed: of the strategy and, with the trial's number, of each trial.

    Attributes:
        decisions: the search space: the model's decisions and the evaluator's.

    Raises:
        SpaceError, ExperimentError, MetricError: arguments do not fit together.
    """

    def __init__(
        self,
        space: ModelSpace,
        evaluator: EvaluatorSource,
        strategy: Strategy,
        *,
        objectives: str | Mapping[str, str],
        name: str | None = None,
        storage: Storage | str | Path = "lanista.db",
        executor: Executor | None = None,
        seed: int = 0,
    ) -> None:
        for given, kind, what in ((space, ModelSpace, "space"), (strategy, Strategy, "strategy")):
            if not isinstance(given, kind):
                raise ExperimentError(f"{what} is {given!r} ({type(given).__name__}); give a {kind.__name__} instance")
        if not is_integer(seed) or not 0 <= seed < 2**63:
            raise ExperimentError(f"seed is {seed!r}; give an integer from 0 to 2**63 - 1")
        self.space, self.evaluator, self.strategy = space, evaluator, strategy
        self.decisions = space.decisions | questions(evaluator)
        self.objectives = Objectives.read(objectives)
        self.name = space.name if name is None else name
        self.executor = executor or InlineExecutor()
        self.seed = seed
        self.source: str | None = None
        self._storage = storage if isinstance(storage, Storage) else None
        self._url = storage.name if isinstance(storage, Storage) else storage

    # --- running ------------------------------------------------------------------------------------------

    def run(self, *, max_trials: int | None = None, max_duration: float | None = None) -> None:
        """Run trials until a limit is reached, the strategy has nothing left, or Ctrl-C.

        Args:
            max_trials: number of trials of the whole experiment, earlier runs and failures counted.
            max_duration: seconds of this run after which no trial is started; running ones are waited for.

        Raises:
            ExperimentError: the name is taken by another space or other objectives; another process runs this
                experiment; the strategy does not propose what it proposed before.
            MetricError: the evaluator does not give the metrics that the objectives name. The trial is stored as
                failed; mend the evaluator and run again.
            StorageError: the storage cannot be written. What was stored before is safe.
        """
        if _loading.get():
            raise Loaded(self, {"max_trials": max_trials, "max_duration": max_duration})
        if max_trials is not None and not (is_integer(max_trials) and max_trials > 0):
            raise ExperimentError(f"max_trials is {max_trials!r}; it must be an integer above 0, or None for no limit")
        if max_duration is not None and not (is_number(max_duration) and max_duration > 0):
            raise ExperimentError(f"max_duration is {max_duration!r}; it must be above 0, or None for no limit")
        with self.storage.lock(self.name):
            _Run(self, self._register(), max_trials, max_duration).run()

    def _register(self) -> Record:
        """The experiment's record, made if it is not there; raises ExperimentError if it is another experiment's."""
        record = self._record()
        if record is None:
            return self.storage.create(
                self.name,
                space=self.decisions.to_json(),
                fingerprint=self.decisions.fingerprint,
                objectives=self.objectives.directions,
                strategy=repr(self.strategy),
                seed=self.seed,
                source=self.source or _script(self),
                versions={
                    "lanista": __version__,
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                },
            )
        return record

    def _record(self) -> Record | None:
        record = self.storage.find(self.name)
        if record is None:
            return None
        advice = f"give this experiment another name than {self.name!r}, or another storage than {self.storage.name}"
        if record.fingerprint != self.decisions.fingerprint:
            raise ExperimentError(
                f"experiment {self.name!r} was started with another search space: its fingerprint is "
                f"{record.fingerprint}, and this one has {self.decisions.fingerprint}; {advice}"
            )
        if record.objectives != self.objectives.directions:
            raise ExperimentError(
                f"experiment {self.name!r} was started with the objectives {Objectives(record.objectives)}, "
                f"and this one has {self.objectives}; {advice}"
            )
        if record.seed != self.seed:
            raise ExperimentError(
                f"experiment {self.name!r} was started with seed {record.seed}, and this one has {self.seed}; {advice}"
            )
        return record

    # --- results ------------------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """Where the experiment is remembered; opened on first use."""
        if self._storage is None:
            self._storage = Storage(self._url)
        return self._storage

    def attach(self, storage: Storage) -> None:
        """Use `storage` from now on."""
        self._storage = storage

    @property
    def trials(self) -> list[Trial]:
        """All trials so far, in order of proposal."""
        record = self._record()
        return [] if record is None else [self._scored(trial) for trial in self.storage.trials(record)]

    def top(self, k: int = 5) -> list[Trial]:
        """The `k` best completed trials by the first objective, the best first."""
        return best(self.trials, k)

    def pareto(self) -> list[Trial]:
        """The completed trials that no other beats in all objectives, the best by the first objective first."""
        return pareto(self.trials)

    def curve(self, trial: Trial | int) -> list[tuple[int, dict[str, float]]]:
        """What a trial reported: (step, metrics), by step."""
        record = self._record()
        return [] if record is None else self.storage.reports(record, _number(trial))

    def build(self, trial: Trial | int) -> nn.Module:
        """The trial's model: with its trained weights where they were kept, else as it was before evaluation.

        Seeds `random`, NumPy and torch with the trial's seed.

        Raises:
            ExperimentError: there is no such trial, or its weights cannot be loaded.
        """
        found = self._find(trial)
        model = self._task().model(found)
        if found.weights is not None:
            try:
                load_model(model, found.weights)
            except (OSError, RuntimeError) as error:
                raise ExperimentError(
                    f"the weights of trial {found.number} cannot be loaded from {found.weights}: {error}; if the "
                    "folder was moved, put it back, and if the model's code was changed, undo that"
                ) from error
        return model

    def export(self, trial: Trial | int, folder: str | Path, *, formats: Collection[str] = ()) -> Path:
        """Write a trial's model as a folder that runs without lanista.

        It has `model.py` (plain torch), `weights.safetensors` where the evaluator kept weights (else
        `initial.safetensors`: the model before training), `architecture.json`, and `card.json` (where it comes from
        and how to rebuild it). With `formats=["onnx", "pt2"]` it also has `model.onnx` and `model.pt2`, which need
        an example input of the space; ONNX needs `pip install 'lanista[onnx]'`.

        Raises:
            ExportError: the model cannot be written as plain code; the message says which part and why.
            ExperimentError: there is no such trial.
        """
        found = self._find(trial)
        model = self.build(found)
        card = {
            "experiment": self.name,
            "trial": found.number,
            "state": found.state,
            "metrics": found.metrics,
            "objectives": self.objectives.directions,
            "seed": found.seed,
            "space": self.decisions.fingerprint,
            "source": self.source or _script(self),
        }
        target = Path(folder)
        write_folder(
            model,
            target,
            card=card,
            architecture=found.architecture,
            weights=model.state_dict() if found.weights is not None else None,
            example_input=self.space.example_input,
            formats=formats,
        )
        return target

    # --- inside -------------------------------------------------------------------------------------------

    def _task(self) -> Task:
        return Task(self.space, self.evaluator, self.storage.folder(self.name) / "weights")

    def _find(self, trial: Trial | int) -> Trial:
        record, number = self._record(), _number(trial)
        found = None if record is None else self.storage.trial(record, number)
        if found is None:
            count = 0 if record is None else sum(self.storage.counts(record).values())
            raise ExperimentError(f"there is no trial {number}; experiment {self.name!r} has {count}, counted from 0")
        return self._scored(found)

    def _scored(self, trial: Trial) -> Trial:
        if trial.state is not State.COMPLETED:
            return trial
        return replace(trial, scores=self.objectives.scores(trial.metrics))


class _Run:
    """One call of `Experiment.run`: replays the history, then goes on."""

    def __init__(
        self, experiment: Experiment, record: Record, max_trials: int | None, max_duration: float | None
    ) -> None:
        self._experiment = experiment
        self._record = record
        self._storage = experiment.storage
        self._strategy = experiment.strategy
        self._executor = experiment.executor
        self._task = experiment._task()
        self._max_trials = max_trials
        self._limits = {"max_trials": max_trials, "max_duration": max_duration}
        self._deadline = None if max_duration is None else time.monotonic() + max_duration
        self._proposed = 0
        self._live: dict[int, Trial] = {}
        self._leader: list[Trial] = []
        self._kept: list[Trial] = []
        self._mismatch: MetricError | None = None

    def run(self) -> None:
        self._remember()
        self._replay()
        self._sweep()
        interrupted = list(self._live.values())
        folder = self._storage.folder(self._record.name)
        self._storage.log(self._record, "run", json.dumps(self._limits))
        with Progress(self._experiment.name, self._max_trials, self._deadline) as self._progress:
            self._progress.replayed(self._storage.counts(self._record), self._leader)
            try:
                self._executor.start(self._task, self._listen, folder / "logs")
                self._loop(interrupted)
            except KeyboardInterrupt:
                logger.warning("interrupted; run experiment %r again and it goes on", self._record.name)
                raise
            finally:
                self._executor.stop()
        counts = self._storage.counts(self._record)
        self._storage.log(self._record, "stop", ", ".join(f"{n} {state}" for state, n in counts.items() if n))
        self._report(counts)
        if self._experiment.decisions.limits:
            logger.info("limits of experiment %r: %s", self._record.name, self._experiment.decisions.acceptance)

    def _loop(self, interrupted: list[Trial]) -> None:
        waiting = interrupted[::-1]
        running = 0
        exhausted = False
        while True:
            while running < self._executor.slots and not self._mismatch:
                if waiting and not self._late():
                    trial = waiting.pop()
                    self._storage.start(self._record, trial.number, attempt=1, log=None)
                elif exhausted or self._spent():
                    break
                else:
                    try:
                        trial = self._propose()
                    except StopIteration:
                        logger.warning("the strategy has nothing left to try after %d trials", self._proposed)
                        exhausted = True
                        break
                    # A file of an earlier database, which somebody deleted, is not this trial's.
                    self._weights(trial).unlink(missing_ok=True)
                    self._storage.propose(self._record, trial)
                self._live[trial.number] = trial
                self._executor.submit(trial)
                running += 1
            if not running:
                break
            self._executor.wait(TICK_SECONDS)
            running = len(self._live) - len(waiting)
            self._progress.tick(running)
        if self._mismatch is not None:
            raise self._mismatch

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _spent(self) -> bool:
        if self._late():
            return True
        return self._max_trials is not None and self._proposed >= self._max_trials

    def _propose(self) -> Trial:
        number = self._proposed
        architecture = self._strategy.propose()
        self._proposed += 1
        return Trial(
            number=number,
            architecture=architecture,
            seed=trial_seed(self._record.seed, number),
            started=time.time(),
        )

    # --- history ------------------------------------------------------------------------------------------

    def _remember(self) -> None:
        """Let measured limits write down what they measure, and know what was measured before: replay needs it."""
        file = self._storage.folder(self._record.name) / MEASURED
        if not sum(self._storage.counts(self._record).values()):
            file.unlink(missing_ok=True)  # of an earlier database, which somebody deleted
        known: dict[str, dict[str, float]] = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with suppress(ValueError):  # the last line, if the process was killed while it was written
                name, architecture, value = json.loads(line)
                known.setdefault(name, {})[architecture] = value

        def tell(name: str, architecture: str, value: float) -> None:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as measured:
                measured.write(json.dumps([name, architecture, value]) + "\n")

        for limit in self._experiment.decisions.limits:
            if isinstance(limit.cost, Function) and not limit.cost.repeatable:
                limit.cost.remember(known.get(limit.cost.name, {}), partial(tell, limit.cost.name))

    def _replay(self) -> None:
        self._strategy.reset(self._experiment.decisions, self._record.seed)
        for kind, trial in self._storage.history(self._record):
            if kind == "proposed":
                self._check_proposal(trial)
                self._proposed += 1
                self._live[trial.number] = trial
            else:
                del self._live[trial.number]
                scored = self._experiment._scored(trial)
                self._strategy.observe(scored)
                self._leader = best([*self._leader, scored], 1)
                self._keep(scored)

    def _check_proposal(self, stored: Trial) -> None:
        try:
            proposed = self._strategy.propose()
        except StopIteration:
            proposed = {}
        if proposed != stored.architecture:
            raise ExperimentError(
                f"experiment {self._record.name!r} does not replay: for trial {stored.number} the strategy proposes "
                f"{proposed}, but {stored.architecture} is stored. It was started with {self._record.strategy} and is "
                f"run with {self._strategy!r}: use the same strategy, settings and lanista version, or another name"
            )

    # --- events -------------------------------------------------------------------------------------------

    def _listen(self, event: Event) -> None:
        if isinstance(event, Reported):
            self._storage.report(self._record, event.number, event.step, event.metrics)
            return
        trial = self._live[event.number]
        if isinstance(event, Started):
            if event.attempt > 1:
                self._storage.start(self._record, event.number, attempt=event.attempt, log=event.log)
            self._live[event.number] = replace(trial, started=time.time(), log=event.log, attempts=event.attempt)
        else:
            del self._live[event.number]
            self._finish(trial, event)

    def _finish(self, trial: Trial, event: Finished) -> None:
        outcome = self._checked(event.outcome)
        weights = self._weights(trial)
        completed = outcome.state is State.COMPLETED
        ended = replace(
            trial,
            state=outcome.state,
            metrics=outcome.metrics,
            scores=self._experiment.objectives.scores(outcome.metrics) if completed else (),
            error=outcome.error,
            attempts=event.attempts,
            finished=time.time(),
            log=trial.log if trial.log is not None and Path(trial.log).exists() else None,
            weights=str(weights) if completed and weights.exists() else None,
        )
        self._storage.finish(self._record, ended)
        self._strategy.observe(ended)
        if ended.state is State.FAILED:
            logger.warning("trial %d failed: %s", ended.number, ended.reason)
        self._keep(ended)
        self._progress.ended(ended)

    def _weights(self, trial: Trial) -> Path:
        return self._task.weights / f"{trial.number}.safetensors"

    def _checked(self, outcome: Outcome) -> Outcome:
        """A completed trial without the metrics that the objectives name is a failed one, and ends the run."""
        if outcome.state is not State.COMPLETED:
            return outcome
        try:
            self._experiment.objectives.names(outcome.metrics)
        except MetricError as error:
            self._mismatch = error
            return Outcome(State.FAILED, error=f"{type(error).__name__}: {error}")
        return outcome

    def _keep(self, ended: Trial) -> None:
        """Keep the weights of the best trials, and delete those of others."""
        if ended.weights is None:
            # The file is there if the run was killed after it forgot these weights.
            self._weights(ended).unlink(missing_ok=True)
            return
        self._kept = best([*self._kept, ended])
        if len(self._kept) <= KEPT_WEIGHTS:
            return
        front = {trial.number for trial in pareto(self._kept)}
        for trial in [trial for trial in self._kept[KEPT_WEIGHTS:] if trial.number not in front]:
            self._kept.remove(trial)
            self._storage.forget_weights(self._record, trial.number)
            Path(str(trial.weights)).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Delete what was being written when a run or a worker was killed; safetensors writes aside, too."""
        for file in self._task.weights.glob("*.tmp*"):
            file.unlink(missing_ok=True)

    def _report(self, counts: Mapping[State, int]) -> None:
        if counts[State.FAILED] and not counts[State.COMPLETED]:
            logger.error("all %d trials failed; the last error: %s", counts[State.FAILED], self._progress.last_error)
        logger.info("experiment %r: %s", self._record.name, ", ".join(f"{n} {s}" for s, n in counts.items() if n))


def trial_seed(seed: int, number: int) -> int:
    """Seed of a trial, from 0 to 2**32 - 1 (what NumPy takes): the same whoever runs it, and whenever."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


def _number(trial: Trial | int) -> int:
    return trial.number if isinstance(trial, Trial) else trial


def _script(experiment: Experiment) -> str | None:
    """`file:variable` of the script that is run, where it has the experiment in a variable; else the file, if any."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is None:
        return None
    variable = next((name for name, value in vars(main).items() if value is experiment), None)
    path = str(Path(file).resolve())
    return path if variable is None else f"{path}:{variable}"


# --- finding the experiment of a script -------------------------------------------------------------------

_loading: ContextVar[bool] = ContextVar("lanista_loading", default=False)


class Loaded(BaseException):
    """Raised by `run` while a script is only loaded: whoever loads it has found its experiment."""

    def __init__(self, experiment: Experiment, limits: dict[str, float | None]) -> None:
        super().__init__(experiment.name)
        self.experiment = experiment
        self.limits = limits


@contextmanager
def loading() -> Iterator[None]:
    """In this block `Experiment.run` raises `Loaded`, so that a script can be executed for its definitions."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)
