"""`Training`: one trial's training by Lightning, which all evaluators on Lightning share."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from lanista.errors import EvaluatorError
from lanista.evaluator.base import Sharing, Weights
from lanista.evaluator.cycle import cycle
from lanista.evaluator.data import TRAIN, VAL, Data, Draws
from lanista.evaluator.distributed import Ranks, processes
from lanista.evaluator.framework import MisconfigurationException, is_overridden, pl, quiet
from lanista.evaluator.journal import Journal
from lanista.evaluator.sharing import Recalibrating, StandIn, Teaching
from lanista.serialize import dumps
from lanista.trial import Trial

CHECKPOINT = "last.ckpt"
"""The file in a trial's folder that an interrupted training goes on from."""

WEIGHTS = "/supernet"
"""Under what name a module has the weights that many models share; no attribute is called so."""

QUIET: dict[str, Any] = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,  # `rehearse` does that once for the search
    "devices": 1,
}
"""Trainer arguments that the user's own take precedence over."""

LIMITS = ("max_epochs", "max_steps", "max_time")

_shared: list[Training] = []
"""What the other processes of this one's runs have got last."""

BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MisconfigurationException,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a user's code that does not work raises."""


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes:
        build: makes the `LightningModule` that trains a model.
        data: what it is trained and validated on.
        monitor: the metric by which a validation is best; None: the last one counts.
        mode: "max" or "min".
        keep_weights: the model ends with the weights of the best validation, and the final metrics are that one's;
            else the last one's.
        trainer: arguments of `lightning.pytorch.Trainer`.

    Raises:
        EvaluatorError: an argument is not a Trainer's, or they do not fit together.
    """

    build: Callable[[nn.Module], Any]
    data: Data
    monitor: str | None = None
    mode: str | None = None
    keep_weights: bool = True
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = list(inspect.signature(pl.Trainer.__init__).parameters)[1:]
        for name in self.trainer:
            if name not in known:
                close = get_close_matches(name, known) or sorted(known)
                raise EvaluatorError(
                    f"{name!r} is no argument of lightning's Trainer; did you mean {', '.join(close)}?"
                )
        trains = self.data.train is not None or self.data.datamodule is not None
        if trains and not any(self.trainer.get(name) is not None for name in (*LIMITS, "fast_dev_run")):
            raise EvaluatorError("how long to train is open; give max_epochs (or max_steps, or max_time)")
        every, epochs = (self.trainer.get(name) for name in ("check_val_every_n_epoch", "max_epochs"))
        if isinstance(every, int) and isinstance(epochs, int) and every > epochs > 0:
            raise EvaluatorError(
                f"check_val_every_n_epoch is {every} and max_epochs {epochs}: there would be no validation; lower the "
                "first, or raise the second"
            )
        if (self.monitor is None) != (self.mode is None) or self.mode not in ("max", "min", None):
            raise EvaluatorError(
                f"monitor is {self.monitor!r} and mode {self.mode!r}; give the name of a metric, and mode='max' where "
                "more is better, or mode='min'"
            )

    @property
    def settings(self) -> dict[str, Any]:
        """As the evaluators' arguments."""
        own = {"monitor": self.monitor, "mode": self.mode, "keep_weights": self.keep_weights}
        return {**self.data.settings, **own, **self.trainer}

    def evaluate(self, model: nn.Module, trial: Trial) -> dict[str, float]:
        """Train `model` in place and return the final metrics.

        With `trial.folder`, it goes on from the checkpoint in there, if there is one.
        """
        with quiet():
            return self.perform(model, trial, Ranks())

    def perform(self, model: nn.Module, trial: Trial, ranks: Ranks) -> dict[str, float]:
        """What `evaluate` does, as one of several processes; only the first reports."""
        arguments = self._arguments(trial)
        file = None
        if trial.folder is not None and self.trainer.get("enable_checkpointing") is not False:
            file = trial.folder / CHECKPOINT
        report = trial.report if ranks.rank == 0 else _ignore
        draws = Draws(trial.seed, deal=arguments.get("use_distributed_sampler", True))
        journal = self._journal(model, report, draws, trial.seed, file)
        with ExitStack() as stack:
            if size := processes(arguments):
                ranks.size = size
                stack.enter_context(ranks.gathered(arguments, trial.seed, functools.partial(self._job, model, trial)))
            module = self._module(model)
            arguments["callbacks"] = [*arguments["callbacks"], journal]
            trainer = pl.Trainer(**{**arguments, "enable_checkpointing": True})
            self._run(trainer, module, draws, str(file) if file is not None and file.exists() else None)
        model.zero_grad(set_to_none=True)
        return journal.finish()

    def share(self, begin: Callable[[int], Sharing], weights: Weights, trial: Trial) -> Sharing:
        """Train `weights`, which many models share, in place; see `Evaluator.share`."""
        with quiet():
            arguments = self._arguments(trial, num_sanity_val_steps=0)
            if processes(arguments):
                raise EvaluatorError(
                    "shared weights are trained on one device here; for several use a loop of your own under torchrun, "
                    "where method.step averages over the processes"
                )
            file = None if trial.folder is None else trial.folder / CHECKPOINT
            draws, learning = Draws(trial.seed), Draws(trial.seed + 1)
            stand_in = StandIn(weights)
            module = self._module(stand_in)
            self._must_validate(module)
            teaching = Teaching(begin, stand_in, functools.partial(self._validations, learning, module))
            alone = replace(self, monitor=None, mode=None, keep_weights=False)
            journal = alone._journal(stand_in, trial.report, draws, trial.seed, file)
            arguments["callbacks"] = [*arguments["callbacks"], teaching, journal]
            module.add_module(WEIGHTS, weights)  # all that a checkpoint needs; of the model are only the parameters
            trainer = pl.Trainer(**{**arguments, "enable_checkpointing": True})
            self._run(trainer, module, draws, str(file) if file is not None and file.exists() else None)
            weights.zero_grad(set_to_none=True)
        return teaching.search

    def score(self, model: nn.Module, trial: Trial, recalibrate: int) -> dict[str, float]:
        """Validate `model` as it is; see `Evaluator.score`."""
        with quiet():
            draws = Draws(trial.seed)
            batches = functools.partial(self._trainings, draws, recalibrate)
            arguments = self._arguments(trial, devices=1)
            arguments.pop("strategy", None)
            journal = self._journal(model, _ignore, draws, trial.seed, None)
            arguments["callbacks"] = [*arguments["callbacks"], Recalibrating(model, batches), journal]
            trainer = pl.Trainer(**{**arguments, "enable_checkpointing": True})
            self._run(trainer, self._module(model), draws, None, trains=False)
        return journal.finish()

    def _must_validate(self, module: Any) -> None:
        """Raise EvaluatorError where nothing says how good architectures are with shared weights."""
        source = self.data.feed(Draws(0)) if self.data.given else module
        if is_overridden(VAL, source) and is_overridden("validation_step", module):
            return
        raise EvaluatorError(
            "once the shared weights are trained, architectures are compared by validation data; give val_dataloaders, "
            f"or a datamodule that has them, and {type(module).__name__} a validation_step (and without any data a "
            "val_dataloader)"
        )

    def _validations(self, draws: Draws, module: Any, start: int) -> Iterator[Any]:
        """Validation batches, over and over, from number `start` on; in a run that trains."""
        return cycle(_single(self._loaders(VAL, draws, module)), start, draws.seed)

    def _trainings(self, draws: Draws, count: int, module: Any) -> list[Any]:
        """The first training batches, if there are any; in a run that validates."""
        if not count or not is_overridden(TRAIN, self.data.feed(draws) if self.data.given else module):
            return []
        if not self.data.given:
            module.setup("fit")
        return _first(_single(self._loaders(TRAIN, draws, module)), count, draws.seed)

    def _loaders(self, hook: str, draws: Draws, module: Any) -> Any:
        """What a hook of the data gives; without any data, of the module."""
        if not self.data.given:
            return draws.watch(hook, getattr(module, hook)(), None)
        feed = self.data.feed(draws)
        trainer, feed.trainer = getattr(feed, "trainer", None), None
        try:
            feed.setup("fit")
            return getattr(feed, hook)()
        finally:
            feed.trainer = trainer  # the same as that of the run's, with which it shares its attributes

    def _job(self, model: nn.Module, trial: Trial, again: bool) -> bytes:
        """What the other processes of a run get."""
        known = again and _shared and _shared[0] is self
        _shared[:] = [self]
        return dumps((None if known else self, model, replace(trial, reporter=None)))

    def rehearse(self, model: nn.Module, trial: Trial, evaluator: object) -> None:
        """Train a copy of `model` on two batches and validate it on two, on one device; `model` stays as it is.

        Raises:
            EvaluatorError: that failed; the message has the evaluator, the architecture and the reason.
        """
        try:
            with quiet():
                arguments = self._arguments(trial, fast_dev_run=2, logger=False, devices=1, num_nodes=1)
                for name in ("strategy", "enable_checkpointing"):
                    arguments.pop(name, None)
                double, draws = copy.deepcopy(model), Draws(trial.seed)
                journal = self._journal(double, _ignore, draws, trial.seed, None)
                arguments["callbacks"] = [*arguments["callbacks"], journal]
                trainer: Any = pl.Trainer(**arguments)
                self._run(trainer, self._module(double), draws, None)
                journal.finish()
                for callback in trainer.callbacks:  # which Lightning does not check in a fast_dev_run
                    monitor = getattr(callback, "monitor", None)
                    if isinstance(monitor, str) and monitor not in trainer.callback_metrics:
                        raise EvaluatorError(
                            f"{type(callback).__name__} monitors {monitor!r}, but what was logged is "
                            f"{', '.join(map(repr, trainer.callback_metrics))}"
                        )
        except BROKEN as error:
            raise EvaluatorError(
                f"{evaluator!r} fails in a rehearsal with two batches, on architecture {trial.architecture}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _module(self, model: nn.Module) -> Any:
        """The module that trains `model`, checked."""
        module = self.build(model)
        kind = type(module)
        if not isinstance(module, pl.LightningModule):
            foreign = any(base.__module__.startswith("pytorch_lightning.") for base in kind.__mro__)
            advice = "derive from the LightningModule of lightning instead: import lightning.pytorch as pl"
            raise EvaluatorError(
                f"module(model) gave {kind.__module__}.{kind.__qualname__}; "
                + (advice if foreign else "it must return a LightningModule of lightning.pytorch that trains the model")
            )
        held = {id(parameter) for parameter in module.parameters()}
        own = [id(parameter) for parameter in model.parameters()]
        missing = sum(parameter not in held for parameter in own)
        if missing or (not own and not any(inner is model for inner in module.modules())):
            raise EvaluatorError(
                f"{kind.__qualname__} ignores the model: {missing} of the model's {len(own)} parameters are not in it; "
                "keep the model that it is given, as it is, in an attribute: self.model = model"
            )
        return module

    def _journal(self, model: nn.Module, report: Any, draws: Draws, seed: int, file: Any) -> Journal:
        return Journal(
            model,
            report,
            draws,
            monitor=self.monitor,
            mode=self.mode,
            keep_weights=self.keep_weights,
            file=file,
            seed=seed,
        )

    def _arguments(self, trial: Trial, **fixed: Any) -> dict[str, Any]:
        """The Trainer's arguments for one run: copies, as callbacks and loggers have a state."""
        folder = {} if trial.folder is None else {"default_root_dir": str(trial.folder)}
        arguments = {**QUIET, **folder, **copy.deepcopy(dict(self.trainer)), **fixed}
        for name in ("callbacks", "plugins"):
            given = arguments.get(name) or []
            arguments[name] = list(given) if isinstance(given, list | tuple) else [given]
        wanted = arguments.pop("enable_checkpointing", None)
        if wanted and not any(isinstance(callback, Checkpoint) for callback in arguments["callbacks"]):
            arguments["callbacks"].append(ModelCheckpoint())
        return arguments

    def _run(
        self, trainer: Any, module: Any, draws: Draws, checkpoint: str | None, *, trains: bool | None = None
    ) -> None:
        feed = self.data.feed(draws) if self.data.given else None
        if trains is None:
            trains = is_overridden(TRAIN, module if feed is None else feed)
        try:
            with _interruptible():
                if trains:
                    trainer.fit(module, datamodule=feed, ckpt_path=checkpoint, weights_only=False)
                else:
                    trainer.validate(module, datamodule=feed, verbose=False)
        finally:
            if feed is not None:
                feed.trainer = None  # which holds the model


def _first(loader: Any, count: int, seed: int) -> list[Any]:
    """So many batches, or as many as an epoch has, the same whatever torch's generator was used for before."""
    length = len(loader) if isinstance(loader, Sized) else count
    return list(itertools.islice(cycle(loader, 0, seed), min(count, length)))


def _single(loaders: Any) -> Any:
    """The one loader; raises EvaluatorError where there are several, as what they give is not to be guessed."""
    if isinstance(loaders, Mapping | list | tuple):
        kind = type(loaders).__name__
        raise EvaluatorError(f"shared weights need one loader, to train and to learn by validation data; got a {kind}")
    return loaders


def described(evaluator: object, settings: Mapping[str, Any]) -> str:
    """The text that `repr` gives of an evaluator: its name, and all settings that are not None."""
    parts = [f"{name}={_brief(value)}" for name, value in settings.items() if value is not None]
    return f"{type(evaluator).__name__}({', '.join(parts)})"


def _brief(value: Any) -> str:
    if isinstance(value, DataLoader):
        return f"DataLoader({type(value.dataset).__name__}, batch_size={value.batch_size})"
    if isinstance(value, functools.partial):
        parts = [_brief(value.func), *map(_brief, value.args), *(f"{k}={_brief(v)}" for k, v in value.keywords.items())]
        return f"partial({', '.join(parts)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_brief(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_brief, value))}]"
    name = getattr(value, "__qualname__", None)
    return name or (f"{type(value).__name__}()" if " at 0x" in repr(value) else repr(value))


def _ignore(metrics: dict[str, float], step: int) -> None:
    """Take a report that goes nowhere: of a rehearsal, or of a process other than the first."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C be KeyboardInterrupt; Lightning 2.6.6 exits the program instead, and ignores further ones."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
