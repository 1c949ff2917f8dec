"""`Data`: what an evaluator trains and validates on, loaded once in each process."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler, SequentialSampler

from lanista.errors import EvaluatorError
from lanista.evaluator.framework import is_overridden, pl

TRAIN, VAL = "train_dataloader", "val_dataloader"
"""The hooks of a data module that we use."""

_loaded: dict[int, Any] = {}
_prepared: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Data:
    """Data loaders, or a data module.

    Attributes:
        train: a loader, or lists or mappings of them as Lightning takes them, or a callable that returns such; a
            callable is called once in each process. None: nothing is trained.
        val: the same, for validation.
        datamodule: a `LightningDataModule` instead of both, or a callable that returns one. Its `prepare_data` and
            `setup` run once in each process.

    Raises:
        EvaluatorError: both kinds are given, or something else.
    """

    train: Any = None
    val: Any = None
    datamodule: Any = None

    def __post_init__(self) -> None:
        if self.datamodule is not None and (self.train is not None or self.val is not None):
            raise EvaluatorError("give train_dataloaders and val_dataloaders, or a datamodule, not both")
        for name, given in (("train_dataloaders", self.train), ("val_dataloaders", self.val)):
            if given is not None and not _is_factory(given):
                _check(name, given)
        if self.datamodule is not None and not _is_factory(self.datamodule):
            _check_module(self.datamodule)

    @property
    def settings(self) -> dict[str, Any]:
        """As the evaluators' arguments."""
        return {"train_dataloaders": self.train, "val_dataloaders": self.val, "datamodule": self.datamodule}

    @property
    def given(self) -> bool:
        """Whether there is any; a `LightningModule` may have loaders of its own."""
        return any(source is not None for source in (self.train, self.val, self.datamodule))

    def feed(self, draws: Draws) -> Any:
        """A data module for one run of Lightning, which has the loaders' random draws in `draws`.

        For a user's data module it is an object of a subclass that shares all attributes with it, so that its other
        hooks work as they are.
        """
        inner: Any = pl.LightningDataModule()
        hooks: dict[str, Callable[[], Any]] = {}
        if self.datamodule is None:
            for hook, name, source in ((TRAIN, "train_dataloaders", self.train), (VAL, "val_dataloaders", self.val)):
                if source is not None:
                    hooks[hook] = functools.partial(_load, name, source)
        else:
            inner = _check_module(loaded(self.datamodule))
            for hook in (TRAIN, VAL):
                if is_overridden(hook, inner):
                    hooks[hook] = getattr(inner, hook)
        done = _prepared.setdefault(inner, set())

        def once(what: str, action: Callable[[], None]) -> None:
            if what not in done:
                action()
                done.add(what)

        def watching(hook: str) -> Callable[[Any], Any]:
            return lambda self: draws.watch(hook, hooks[hook](), self.trainer)

        methods: dict[str, Any] = {hook: watching(hook) for hook in hooks}
        if is_overridden("prepare_data", inner):
            methods["prepare_data"] = lambda self: once("prepare_data", inner.prepare_data)
        methods["setup"] = lambda self, stage: once(f"setup {stage}", lambda: inner.setup(stage))
        methods["teardown"] = lambda self, stage: None  # the next trial needs the data again
        feed: Any = object.__new__(type(type(inner).__name__, (type(inner),), methods))
        feed.__dict__ = inner.__dict__
        return feed


@dataclass
class Draws:
    """The random generators that data loaders hold: seeded for each trial, as the loaders outlive it.

    Attributes:
        seed: the trial's.
        deal: whether the samples are dealt out to the processes of a run on several devices.
        states: what the generators begin with instead, by hook: the `state()` of an interrupted run.
    """

    seed: int
    deal: bool = True
    states: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    generators: dict[str, list[torch.Generator]] = field(default_factory=dict)

    def watch(self, hook: str, loaders: Any, trainer: Any) -> Any:
        """Return `loaders`, for this process of a run, their generators seeded if they come for the first time.

        Raises:
            EvaluatorError: a loader has no batch.
        """
        first = hook not in self.generators
        known = {id(generator) for found in self.generators.values() for generator in found}
        found = self.generators.setdefault(hook, [])
        for loader in _flat(loaders):
            _check_length(hook, loader)
            if first and isinstance(loader, DataLoader):
                if loader.persistent_workers:
                    loader._iterator = None  # its processes have drawn numbers in earlier trials
                new = [generator for generator in _generators(loader) if id(generator) not in known]
                known.update(map(id, new))
                found += new
        if first:
            states = self.states.get(hook, [])
            for index, generator in enumerate(found):
                if index < len(states):
                    generator.set_state(states[index])
                else:
                    generator.manual_seed(self.seed + index)
        if trainer is None or trainer.world_size == 1 or not self.deal:
            return loaders
        return tree_map(functools.partial(_dealt, seed=self.seed, trainer=trainer), loaders)

    def state(self) -> dict[str, list[torch.Tensor]]:
        """The generators' states, by hook."""
        return {hook: [generator.get_state() for generator in found] for hook, found in self.generators.items()}


def loaded(source: Any) -> Any:
    """What a callable returns, called once in this process for as long as it lives; anything else as it is."""
    if not _is_factory(source):
        return source
    if id(source) not in _loaded:
        _loaded[id(source)] = source()
        weakref.finalize(source, _loaded.pop, id(source), None).atexit = False
    return _loaded[id(source)]


def _load(name: str, source: Any) -> Any:
    return _check(name, loaded(source))


def _is_factory(source: Any) -> bool:
    return callable(source) and not isinstance(source, Iterable)


def _flat(loaders: Any) -> Iterator[Any]:
    """The single loaders in lists, mappings and Lightning's combined loaders."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    elif hasattr(loaders, "flattened"):
        loaders = loaders.flattened
    if isinstance(loaders, Sequence) and not isinstance(loaders, str | bytes):
        for loader in loaders:
            yield from _flat(loader)
    else:
        yield loaders


def _dealt(loader: Any, *, seed: int, trainer: Any) -> Any:
    """A loader of this process's share: the batches together are those that one process would have.

    Lightning 2.6.6 shuffles all training data when it deals them out, also where the loader does not. It still does
    so with the loaders that this leaves alone: of other classes, or with samplers of the user's own.
    """
    if type(loader) is not DataLoader or isinstance(loader.dataset, IterableDataset) or loader.batch_size is None:
        return loader
    sampler = loader.sampler
    shuffled = isinstance(sampler, RandomSampler) and not sampler.replacement and sampler._num_samples is None
    if not shuffled and type(sampler) is not SequentialSampler:
        return loader
    share: DistributedSampler[Any] = DistributedSampler(
        loader.dataset, trainer.world_size, trainer.global_rank, shuffle=shuffled, seed=seed
    )
    same = ("batch_size", "num_workers", "collate_fn", "pin_memory", "drop_last", "timeout", "worker_init_fn")
    more = ("multiprocessing_context", "generator", "prefetch_factor", "persistent_workers")
    return DataLoader(loader.dataset, sampler=share, **{name: getattr(loader, name) for name in (*same, *more)})


def _generators(loader: DataLoader[Any]) -> list[torch.Generator]:
    holders = [loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
    found = {id(g): g for g in (getattr(holder, "generator", None) for holder in holders) if g is not None}
    return list(found.values())


def _check(name: str, loaders: Any) -> Any:
    if not list(_flat(loaders)):
        raise EvaluatorError(f"{name} is {loaders!r}, without a loader; give at least one")
    for loader in _flat(loaders):
        if isinstance(loader, str | bytes) or not isinstance(loader, Iterable):
            raise EvaluatorError(
                f"{name} has {loader!r} ({type(loader).__name__}), which cannot be iterated over; give a "
                "torch.utils.data.DataLoader, or a callable without arguments that returns one"
            )
    return loaders


def _check_module(module: Any) -> Any:
    if not isinstance(module, pl.LightningDataModule):
        kind = type(module)
        raise EvaluatorError(
            f"datamodule is {module!r} ({kind.__module__}.{kind.__qualname__}); give a LightningDataModule of "
            "lightning.pytorch (not of pytorch_lightning, whose classes are others), or a callable that returns one"
        )
    return module


def _check_length(hook: str, loader: Any) -> None:
    try:
        batches = len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a loader of an iterable data set
        return
    if batches == 0:
        raise EvaluatorError(f"{hook}s: {_described(loader)} has no batch; give at least one")


def _described(loader: Any) -> str:
    if not isinstance(loader, DataLoader):
        return f"a {type(loader).__name__}"
    samples = len(loader.dataset) if isinstance(loader.dataset, Sized) else "unknown"
    drop = ", drop_last=True" if loader.drop_last else ""
    return f"the loader of a {type(loader.dataset).__name__} ({samples} samples, batch_size={loader.batch_size}{drop})"
