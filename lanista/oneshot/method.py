"""`Method`: the contract of a one-shot search method, and the supernet step that all of them share."""

from __future__ import annotations

import inspect
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lanista import setting
from lanista.errors import OneShotError
from lanista.model import ModelSpace
from lanista.oneshot.collapse import diagnose, premature
from lanista.oneshot.fitting import Criterion, Fitting, Metric
from lanista.oneshot.found import Found, ranked, search
from lanista.oneshot.network import Network
from lanista.oneshot.reduction import average
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture, is_integer
from lanista.strategy.base import Strategy
from lanista.strategy.deduplicated import Deduplicated
from lanista.strategy.evolution import RegularizedEvolution

logger = logging.getLogger("lanista")

Loss: TypeAlias = Callable[[nn.Module, Any], Tensor]
"""Called with a model and a batch; returns the loss, a scalar that a gradient goes back from."""


Judge: TypeAlias = Callable[[nn.Module, Any], "float | Tensor"]
"""Called with a model and a batch; returns a number, greater is better."""


class Method(ABC):
    """Trains a supernet step by step, and knows better and better which architectures are good.

    In a training loop of your own:

        supernet = Supernet(space)
        optimizer = torch.optim.SGD(supernet.parameters(), 0.025, momentum=0.9)
        method = DARTS()
        method.start(supernet, steps=len(train_loader) * epochs)
        for epoch in range(epochs):
            for train, valid in zip(train_loader, valid_loader):
                method.step(train, valid, loss=loss, optimizer=optimizer)
        model = supernet.inherit(method.best()[0])

    where `loss(model, batch)` returns a scalar. `step` makes a step of the architecture, if the method learns in steps,
    and one of the weights. It is made of `learn`, `passes` and `advance`, for loops with their own optimizer step.

    Under `torch.distributed`, each process calls `step` with its part of a batch: all run the same paths, and gradients
    and running statistics are averaged. Random numbers follow from the seed and the number of the step alone, so that
    all processes draw the same, and a search that goes on from `state_dict` does what it would have done.

    Attributes:
        mixes: whether it needs all decisions to be mixed; see `Network`.
        learns: whether it takes a validation batch in each step.
        plain: whether it makes one pass in a step, and does not look at its loss.
        ranks: whether architectures can be compared by the shared weights.
        network: of the supernet; there after `start`.
        count: how many steps were made.
        judge: says how good a model is on a batch, greater is better, where that is known to a search: `fit` sets it to
            its metric.
        history: what `log` took note of: dictionaries with the number of steps, the metrics, and the strengths.
    """

    mixes = False
    learns = False
    plain = False
    ranks = True
    judge: Judge | None
    history: list[dict[str, Any]]
    network: Network
    count: int

    def start(self, supernet: Supernet, *, steps: int, seed: int = 0) -> None:
        """Begin a search.

        Args:
            supernet: whose weights are trained.
            steps: how many there will be, for schedules.
            seed: of all that is drawn.

        Raises:
            OneShotError: the method cannot treat a decision of the space; the message says which, why, and which
                methods can.
        """
        if not is_integer(steps) or steps < 1:
            raise OneShotError(f"steps is {steps!r}; give the number of training steps, an integer of at least 1")
        network = Network(supernet)
        if self.mixes:
            network.require(f"search with {type(self).__name__}")
        self.network, self.steps, self.seed, self.count, self.history = network, steps, seed, 0, []
        self.judge = None
        self.prepare()

    def prepare(self) -> None:  # noqa: B027 (most methods need nothing)
        """Make what the method keeps; called by `start`, after `network`, `steps` and `seed` were set."""

    @abstractmethod
    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        """The losses of the weights in this step, each of which goes back before the next one is asked for."""

    def learn(self, valid: Any, loss: Loss, optimizer: torch.optim.Optimizer, train: Any) -> None:  # noqa: B027
        """Make a step of the architecture, by a validation batch; before the step of the weights.

        Args:
            valid: a batch of validation data.
            loss: of a model and a batch.
            optimizer: of the weights, which is not to be changed.
            train: the batch that the weights will be trained on.
        """

    @abstractmethod
    def strengths(self) -> dict[str, list[list[float]]] | None:
        """How strong each option is now, such as its probability, by name of the relaxation; None: all are equal."""

    def step(
        self,
        train: Any,
        valid: Any = None,
        *,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        clip: float | None = None,
    ) -> float:
        """One step of the architecture, if the method learns, and one of the weights.

        Args:
            train: a batch of training data, for the weights.
            valid: a batch of validation data, for the architecture. Only methods that learn need it.
            loss: of a model and a batch.
            optimizer: of `supernet.parameters()`.
            clip: the greatest norm of the weights' gradient; None: it is not clipped.

        Returns:
            The mean of the losses of the weights.

        Raises:
            OneShotError: `start` was not called, or there is no validation batch for a method that learns.
        """
        self.check(valid)
        if self.learns:
            self.learn(valid, loss, optimizer, train)
        optimizer.zero_grad()
        values = []
        for value in self.passes(train, loss):
            value.backward()  # type: ignore[no-untyped-call]
            values.append(value.detach())
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        average(weight.grad for weight in weights if weight.grad is not None)
        if clip is not None:
            nn.utils.clip_grad_norm_(weights, clip)
        optimizer.step()
        self.advance()
        return float(torch.stack(values).mean())

    def advance(self) -> None:
        """Close a step, after that of the optimizer: all processes get the same running statistics, their average."""
        average(buffer for buffer in self.network.supernet.buffers() if buffer.is_floating_point())
        self.count += 1

    def check(self, valid: Any) -> None:
        """Raise OneShotError where a step cannot be made."""
        if not hasattr(self, "network"):
            raise OneShotError(f"{type(self).__name__} has no supernet yet; call start(supernet, steps=...) first")
        if self.learns and valid is None:
            raise OneShotError(
                f"{type(self).__name__} learns from validation data; give a second batch: step(train, valid, ...)"
            )

    @property
    def progress(self) -> float:
        """How much of the search is done, from 0 to 1."""
        return min(1.0, self.count / self.steps)

    def random(self, purpose: str = "") -> Random:
        """A generator for this step, the same in all processes."""
        return Random(f"{self.seed}/{self.count}/{purpose}")

    def generator(self, purpose: str = "") -> torch.Generator:
        """The same, of torch, on the CPU."""
        return torch.Generator().manual_seed(self.random(purpose).getrandbits(63))

    @property
    def options(self) -> dict[str, list[str]]:
        """What the options are called, by name of the relaxation, in the order in which `strengths` has them."""
        return {name: list(relaxation.titles) for name, relaxation in self.network.relaxations.items()}

    def log(self, metrics: Mapping[str, float] | None = None) -> None:
        """Take note of how strong options are now, and of metrics by name; once in an epoch, say."""
        self.history.append({"step": self.count, "metrics": dict(metrics or {}), "strengths": self.strengths()})

    def warnings(self, architecture: Architecture) -> list[str]:
        """Why to doubt that an architecture was chosen for good reasons; see `lanista.oneshot.collapse`."""
        found = diagnose(self.network, architecture, self.strengths()).messages
        for entry in self.history:
            progress = entry["step"] / self.steps
            if entry["strengths"] is not None and (early := premature(entry["strengths"], progress)):
                return [*found, early]
        return found

    def representative(self) -> nn.Module:
        """The model that stands for all now: the best; for methods that do not learn which is, the default."""
        if not self.learns:
            return self.network.sub(self.network.supernet.space.decisions.default())
        return self.network.sub(self.best()[0])

    @abstractmethod
    def best(self, k: int = 1) -> list[Architecture]:
        """The `k` best architectures that keep the space's limits, the best first; fewer if no more are found.

        The same at each call until the next step. For methods that find none better than others it is a random sample:
        search the supernet for the best then, with `searcher`.

        Raises:
            OneShotError: `k` is no integer of at least 1.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that a search needs to go on, beside the supernet's and the optimizer's states: tensors and numbers."""
        return {"count": self.count, "history": list(self.history)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; after `start` with the same space, steps and seed."""
        self.count, self.history = int(state["count"]), list(state["history"])

    def searcher(self) -> Strategy:
        """What searches the trained supernet, where the method itself finds no architecture stronger than others."""
        return Deduplicated(RegularizedEvolution(population_size=20, sample_size=5))

    def fit(  # noqa: PLR0913 (all but three by name)
        self,
        space: ModelSpace | Supernet,
        train: Iterable[Any],
        valid: Iterable[Any] | None = None,
        *,
        loss: Criterion,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        epochs: int,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        clip: float | None = None,
        metric: Metric | None = None,
        seed: int = 0,
        device: str | torch.device | None = None,
        folder: str | Path | None = None,
        k: int = 3,
        evaluations: int = 100,
        recalibrated: int = 8,
    ) -> Found:
        """Train a supernet and find the best architectures, on batches (inputs, targets).

        Methods that learn use a validation batch with each training batch. In the end, architectures are compared by
        the metric on the validation data, with shared weights and their own statistics of batch normalisation: the
        strongest ones by the method; or, where it knows none, those that `searcher()` proposes.

        Args:
            space: the models; or a supernet, whose training goes on.
            train: training batches, such as a DataLoader.
            valid: validation batches.
            loss: a criterion of outputs and targets, such as `nn.CrossEntropyLoss()`.
            optimizer: of the weights: a callable of the parameters, such as `partial(SGD, lr=0.025, momentum=0.9)`.
            epochs: how often the training data are passed through.
            scheduler: a callable of the optimizer; it makes a step after each epoch.
            clip: the greatest norm of the weights' gradient.
            metric: of outputs and targets of a batch, greater is better; default: minus the loss.
            seed: of all that is drawn. Where `space` is a ModelSpace, of the weights too.
            device: default: where the supernet is.
            folder: where the search is kept. Called again with the same arguments, it goes on from its last epoch.
            k: how many architectures are returned.
            evaluations: how many architectures `searcher()` may try.
            recalibrated: by how many training batches the statistics of batch normalisation are computed anew; 0: they
                are those that the training left.

        Raises:
            OneShotError: data, method and space do not fit together; the folder has another search; or the training
                diverged, so that the loss is no finite number.
        """
        for name, value, least in (
            ("epochs", epochs, 1),
            ("k", k, 1),
            ("evaluations", evaluations, 1),
            ("recalibrated", recalibrated, 0),
        ):
            if not is_integer(value) or value < least:
                raise OneShotError(f"{name} is {value!r}; give an integer of at least {least}")
        if isinstance(space, ModelSpace):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                space = Supernet(space)
        supernet = space if device is None else space.to(device)
        made = optimizer(supernet.parameters())
        plan = None if scheduler is None else scheduler(made)
        if isinstance(plan, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise OneShotError(
                "ReduceLROnPlateau needs a metric of each epoch, and there is none before the search ends; give a "
                "scheduler that follows the number of epochs, such as CosineAnnealingLR"
            )
        fitting = Fitting(supernet, train, valid, loss, metric, made, plan, supernet.device, seed, recalibrated)
        self.start(supernet, steps=epochs * fitting.steps, seed=seed)
        self.judge = None if metric is None else fitting.batch_metric
        home = None if folder is None else Path(folder)
        identity = {
            "method": repr(self),
            "space": supernet.space.decisions.fingerprint,
            "seed": str(seed),
            "epochs": str(epochs),
            "clip": str(clip),
            **fitting.identity,
        }
        state = None if home is None else fitting.load(home, identity)
        if state is not None:
            self.load_state_dict(state)
        for epoch in range(self.count // fitting.steps, epochs):
            supernet.train()
            losses = [
                self.step(batch, other, loss=fitting.batch_loss, optimizer=made, clip=clip)
                for batch, other in fitting.batches(epoch, learns=self.learns)
            ]
            if plan is not None:
                plan.step()
            if not math.isfinite(sum(losses)):
                raise OneShotError(
                    f"the loss of epoch {epoch + 1} is {sum(losses) / len(losses)}: the training diverged; give "
                    "clip=5.0, or a lower learning rate"
                )
            self.log({"loss": sum(losses) / len(losses)})
            logger.info("epoch %d of %d: loss %.4g", epoch + 1, epochs, self.history[-1]["metrics"]["loss"])
            if home is not None:
                fitting.save(home, self.state_dict(), identity)
        return self._found(fitting, k, evaluations)

    def _found(self, fitting: Fitting, k: int, evaluations: int) -> Found:
        network, space = self.network, self.network.supernet.space.decisions

        def score(architecture: Architecture) -> float:
            return fitting.score(network.sub(architecture))

        with fitting.undisturbed():
            if fitting.valid is None or not self.ranks:
                tried = [(architecture, math.nan) for architecture in self.best(k)]
            elif not self.learns:
                tried = search(self.searcher(), space, score, evaluations, self.seed)
            else:
                tried = [(architecture, score(architecture)) for architecture in self.best(k)]
        pairs = ranked(tried, k)
        warnings = self.warnings(pairs[0][0])
        lost = sum(math.isnan(value) for _, value in tried)
        if 0 < lost < len(tried):
            warnings.append(f"the metric of {lost} of {len(tried)} architectures is no number; they come last")
        return Found(
            [architecture for architecture, _ in pairs],
            [value for _, value in pairs],
            network.supernet,
            self.history,
            self.options,
            warnings,
            fitting.prepare,
            tried,
        )

    def __repr__(self) -> str:
        known = vars(self)
        settings = {
            name: setting.name(known[name]) if callable(known[name]) else repr(known[name])
            for name in inspect.signature(type(self).__init__).parameters
            if name in known
        }
        return f"{type(self).__name__}({', '.join(f'{name}={shown}' for name, shown in settings.items())})"


def checked_count(k: object) -> int:
    """How many architectures are wanted; raises OneShotError unless it is an integer of at least 1."""
    if not is_integer(k) or k < 1:
        raise OneShotError(f"k is {k!r}; give an integer of at least 1")
    return k
