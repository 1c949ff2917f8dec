"""`Experiment`: the loop that joins space, evaluator, strategy, executor and storage."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import NoneType

import torch
from safetensors.torch import load_model
from torch import nn

from lanista import __version__
from lanista.errors import ExperimentError, MetricError, Pruned
from lanista.evaluator.base import Evaluator, EvaluatorSource
from lanista.evaluator.task import Task, questions
from lanista.executor.base import Executor, Finished, Outcome, Reported
from lanista.executor.inline import InlineExecutor
from lanista.export import write_folder
from lanista.loop import Loop
from lanista.model import ModelSpace
from lanista.objective import Direction, Objectives, best, pareto
from lanista.oneshot.method import Method
from lanista.profile.parameter import parameters
from lanista.scheduler.base import Scheduler
from lanista.session import Session, Setup
from lanista.shared import TRIALS, Shared
from lanista.space.domain import Architecture, is_integer, is_number
from lanista.storage import Record, Storage
from lanista.strategy.base import Strategy
from lanista.strategy.listed import Listed
from lanista.trial import State, Trial, checked_metrics
from lanista.trust import Trust
from lanista.trust.plan import conclude, plan


class Experiment:
    """A search: which architectures of a space are best by an evaluator, as chosen by a strategy.

    Everything that happens is stored at once. Running the same script again goes on where it stopped, however it
    stopped; trials that were interrupted are started anew. With one slot and a deterministic evaluator the sequence
    of trials is the same as without the interruption.

    Args:
        space: the models to search.
        evaluator: scores a model; or a callable that builds the evaluator and may ask questions (`real(...,
            label="lr")`), which are then searched together with the architecture.
        strategy: chooses what to try; its state is rebuilt from the stored history. Or a one-shot method of
            `lanista.oneshot`: `run` then trains a supernet first, with the evaluator's data, loss and optimizer, and
            the trials are architectures that are scored with its weights.
        objectives: "maximize" or "minimize", where the evaluator gives one metric; else metric name -> direction,
            the most important first.
        name: of the experiment in its storage; default: the name of the space's callable.
        storage: a `Storage`, a path of an SQLite file, or an SQLAlchemy URL.
        executor: where trials run; default: in this process, one at a time.
        reference: the real thing, of which `evaluator` is a proxy (full training where that trains for a few epochs, or
            scores without training); an evaluator, or a callable that builds one and asks the same questions. Only
            `trust` uses it.
        scheduler: stops unpromising trials early, by what they report of the first objective; default: none is stopped.
        searcher: with a one-shot method, the strategy that searches the trained supernet, after the architectures that
            the method itself finds strongest; default: what the method says, mostly evolution.
        seed: of the strategy and, with the trial's number, of each trial.

    Attributes:
        decisions: the search space: the model's decisions and the evaluator's.

    Raises:
        SpaceError, ExperimentError, MetricError: arguments do not fit together.
    """

    def __init__(  # noqa: PLR0913 (four nouns; the rest has defaults)
        self,
        space: ModelSpace,
        evaluator: EvaluatorSource,
        strategy: Strategy | Method,
        *,
        objectives: str | Mapping[str, str],
        name: str | None = None,
        storage: Storage | str | Path = "lanista.db",
        executor: Executor | None = None,
        scheduler: Scheduler | None = None,
        reference: EvaluatorSource | None = None,
        searcher: Strategy | None = None,
        seed: int = 0,
    ) -> None:
        for given, kinds, what in (
            (space, (ModelSpace,), "space"),
            (strategy, (Strategy, Method), "strategy"),
            (scheduler, (Scheduler, NoneType), "scheduler"),
            (searcher, (Strategy, NoneType), "searcher"),
        ):
            if not isinstance(given, kinds):
                wanted = " or ".join(kind.__name__ for kind in kinds if kind is not NoneType)
                raise ExperimentError(f"{what} is {given!r} ({type(given).__name__}); give a {wanted} instance")
        if not is_integer(seed) or not 0 <= seed < 2**63:
            raise ExperimentError(f"seed is {seed!r}; give an integer from 0 to 2**63 - 1")
        self.space, self.evaluator, self.strategy = space, evaluator, strategy
        self.shared: Shared | None = None
        if isinstance(strategy, Method):
            self.shared = Shared(strategy, space, evaluator, searcher, scheduler, seed)
        elif searcher is not None:
            raise ExperimentError(f"searcher is {searcher!r}, but {strategy!r} is no one-shot method; leave it out")
        self.decisions = space.decisions | questions(evaluator)
        self.objectives = Objectives.read(objectives)
        self.name = space.name if name is None else name
        self.executor = executor or InlineExecutor()
        self.scheduler, self.reference = scheduler, reference
        self.seed = seed
        self.source: str | None = None
        self._session: Session | None = None
        self._held = ExitStack()
        self._trust: Trust | None = None
        self._interrupted: list[Trial] = []
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
        if self._session is not None:
            raise ExperimentError(f"experiment {self.name!r} is open for ask and tell; close() it before run()")
        if self.shared is not None and max_trials is None and max_duration is None:
            max_trials = TRIALS
        with self.storage.lock(self.name):
            Loop(self._setup(), self.executor, max_trials, max_duration).run()
        if self.shared is not None:
            print(self.report())

    # --- your own loop ------------------------------------------------------------------------------------

    def ask(self) -> Trial:
        """The next trial, for a loop of your own: build its model, evaluate it, and `tell` what came of it.

        The first call opens the experiment: nobody else can run it until `close`, the end of a `with` block
        (`with experiment: ...`) or the end of the process. A trial that was asked for and never told about, here or
        in a process that ended, is given again first. Several trials may be open at once. `trial.report` works, and
        raises Pruned where the scheduler stops the trial. Nothing is seeded; `trial.seed` is a seed to use.

        Raises:
            StopIteration: the strategy has nothing left to try.
            ExperimentError: as `run`.
        """
        if _loading.get():
            raise Loaded(self, None)
        session = self._open()
        trial = self._interrupted.pop(0) if self._interrupted else None
        if trial is None:
            trial = session.propose()
        else:
            session.restart(trial)
        number, last = trial.number, -1

        def reporter(metrics: dict[str, float], step: int | None) -> None:
            nonlocal last
            last = last + 1 if step is None else step
            if number not in session.live:
                raise ExperimentError(f"trial {number} has ended, and can report no more")
            if session.listen(Reported(number, last, metrics)):
                raise Pruned(f"trial {number} is stopped at step {last}")

        return replace(trial, reporter=reporter, folder=self._task().folder(trial))

    def tell(
        self,
        trial: Trial | int,
        metrics: float | Mapping[str, float] | None = None,
        *,
        error: str | None = None,
        model: nn.Module | None = None,
    ) -> Trial:
        """Say what came of a trial that was asked for.

        Args:
            trial: as `ask` gave it, or its number.
            metrics: the final metric, or metrics by name, if the trial was completed.
            error: what went wrong, if it failed. With neither metrics nor error the trial was stopped early: pruned.
            model: the trained model of a completed trial, if its weights are to be kept (among the best; see `export`).

        Returns:
            The trial as it is stored.

        Raises:
            MetricError: metrics are not finite numbers, or not those that the objectives name; or there is a
                scheduler, and the trial never reported. Nothing is stored. (What a scheduler cannot judge ends its
                trial at that report; it is then stored as failed.)
            ExperimentError: no such trial is open.
        """
        number = _number(trial)
        if self._session is None or number not in self._session.live:
            opened = [] if self._session is None else sorted(self._session.live)
            raise ExperimentError(f"trial {number} is not open; open trials are {opened}: ask() for one, and tell once")
        curve = self.storage.reports(self._register(), number)
        outcome = Outcome(State.PRUNED, curve[-1][1] if curve else {})
        if error is not None:
            outcome = Outcome(State.FAILED, error=error)
        elif metrics is not None:
            outcome = Outcome(State.COMPLETED, checked_metrics(metrics, "tell"))
            self._session.check(number, outcome.metrics)
            self._session.check_curve(number)
            if model is not None:
                self._task().save(model, number)
        ended = self._session.finish(Finished(number, outcome, 1))
        self._interrupted = [trial for trial in self._interrupted if trial.number != number]
        self._session.mismatch = None
        if ended.state is State.FAILED and error is None:  # what it reported could not be judged
            raise MetricError(ended.reason)
        return ended

    def close(self) -> None:
        """End a loop of `ask` and `tell`: the experiment can be run by others. May be called twice."""
        self._session = None
        self._held.close()

    def __enter__(self) -> Experiment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Session:
        if self._session is None:
            with ExitStack() as stack:
                stack.enter_context(self.storage.lock(self.name))
                self._session = Session(self._setup())
                self._held = stack.pop_all()
            self._interrupted = list(self._session.live.values())
        return self._session

    def _share(self) -> None:
        """Train the supernet of a one-shot method, or read it: its weights are what is searched from now on."""
        if self.shared is not None:
            self.strategy, self.evaluator = self.shared.train(self.storage.folder(self.name) / "supernet")

    def _setup(self) -> Setup:
        record = self._register()
        self._share()
        assert isinstance(self.strategy, Strategy)
        return Setup(
            storage=self.storage,
            record=record,
            decisions=self.decisions,
            strategy=self.strategy,
            objectives=self.objectives,
            scheduler=self.scheduler,
            task=self._task(),
        )

    def _register(self) -> Record:
        """The experiment's record, made if it is not there; raises ExperimentError if it is another experiment's."""
        record = self._record()
        if record is None:
            return self.storage.create(
                self.name,
                space=self.decisions.to_json(),
                fingerprint=self.decisions.fingerprint,
                objectives=self.objectives.directions,
                strategy=repr(self.strategy if self.shared is None else self.shared.method),
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

    def trust(self, fraction: float = 0.05, *, seed: int = 0) -> Trust:
        """Find out how far the evaluator's scores can be believed, by real evaluations of some architectures.

        The `reference` evaluates, on the executor: as many architectures as `fraction` of the completed trials, at
        least 10 (half of them from the search, half new random ones, which the proxy scores too), and the best trial;
        some of them once more, with another seed. These are stored as two experiments beside this one,
        `<name>/trust ...`: what was interrupted goes on when it is called again. About 100 architectures give verdicts
        that can tell; with fewer the intervals say how little is known.

        Args:
            fraction: of the completed trials, in (0, 1].
            seed: of the choice of architectures.

        Returns:
            Rank correlations over all and in the top, beside those of the parameter count; the noise between seeds;
            what random search would have found at equal cost; and a verdict. `print` it; `write_html(path)` makes a
            page.

        Raises:
            ExperimentError: there is no reference, or it asks other questions; or fewer than 10 architectures were
                completed.
        """
        if self.reference is None:
            raise ExperimentError(
                "trust compares the evaluator with the real thing, and none was given; say what that is: "
                "Experiment(..., reference=evaluator), such as the same evaluator with all its epochs"
            )
        self._share()
        trials = self.trials
        chosen = plan(trials, self.decisions, fraction, seed)
        name = f"{self.name}/trust {seed} in {len(trials)} trials by {len(chosen.once)}"
        (first, direction), *_ = self.objectives.directions.items()
        proxied = self._evaluated(f"{name}, proxy", self.evaluator, chosen.drawn, {first: direction})
        real = self._evaluated(f"{name}, real", self.reference, chosen.real, {first: direction})
        self._trust = conclude(
            chosen,
            trials,
            proxied,
            real,
            self._parameters,
            title=f"Trust in {self.name}",
            proxy_name=f"{first or 'score'} by {_described(self.evaluator)}",
            real_name=f"{first or 'score'} by {_described(self.reference)}",
        )
        return self._trust

    def report(self) -> str:
        """What came of a search with a one-shot method, and how far it can be believed, in plain text.

        That is the trust report, once `trust` was called; without it, what is known without training more.

        Raises:
            ExperimentError: the strategy is no one-shot method.
        """
        if self.shared is None:
            raise ExperimentError(f"{self.strategy!r} is no one-shot method; see top(), pareto() and trust()")
        (first, _), *_ = self.objectives.directions.items()
        if trials := self.trials:
            self._share()
        reference = self.reference is not None
        return self.shared.report(trials, first, self._parameters, reference=reference, trust=self._trust)

    def _parameters(self, architecture: Architecture) -> float:
        own = self.space.decisions.complete(architecture)
        return parameters(self.space.sketch(own), self.space.example_input).value

    def _evaluated(
        self,
        name: str,
        evaluator: EvaluatorSource,
        architectures: Sequence[Architecture],
        objectives: dict[str, Direction],
    ) -> list[Trial]:
        """Trials of these architectures, in order."""
        experiment = Experiment(
            self.space,
            evaluator,
            Listed(architectures),
            objectives=objectives,
            name=name,
            storage=self.storage,
            executor=self.executor,
            seed=self.seed,
        )
        if experiment.decisions != self.decisions:
            raise ExperimentError(
                f"{evaluator!r} asks other questions than {self.evaluator!r}; both must ask the same ones: "
                f"{experiment.decisions.labels} instead of {self.decisions.labels}"
            )
        experiment.run(max_trials=len(architectures))
        return experiment.trials

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


def _described(source: EvaluatorSource) -> str:
    """An evaluator in a few words."""
    if isinstance(source, partial):
        given = [*map(repr, source.args), *(f"{name}={value!r}" for name, value in source.keywords.items())]
        text = f"{_described(source.func)}({', '.join(given)})"
    else:
        text = repr(source) if isinstance(source, Evaluator) else getattr(source, "__qualname__", repr(source))
    return text if len(text) <= 60 else f"{text[:57]}..."


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
    """Raised by `run` while a script is only loaded: whoever loads it has found its experiment.

    Raised by `ask` too, with None for the limits: the script has a loop of its own.
    """

    def __init__(self, experiment: Experiment, limits: dict[str, float | None] | None) -> None:
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
