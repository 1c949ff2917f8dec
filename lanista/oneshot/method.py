"""`Method`: the contract of a one-shot search method, and the supernet step that all of them share."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lanista import setting
from lanista.errors import OneShotError
from lanista.oneshot.network import Network
from lanista.oneshot.reduction import average
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture, is_integer
from lanista.strategy.base import Strategy
from lanista.strategy.deduplicated import Deduplicated
from lanista.strategy.evolution import RegularizedEvolution

Loss: TypeAlias = Callable[[nn.Module, Any], Tensor]
"""Called with a model and a batch; returns the loss, a scalar that a gradient goes back from."""


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
        network: of the supernet; there after `start`.
        count: how many steps were made.
    """

    mixes = False
    learns = False
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
        self.network, self.steps, self.seed, self.count = network, steps, seed, 0
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

    @abstractmethod
    def best(self, k: int = 1) -> list[Architecture]:
        """The `k` best architectures that keep the space's limits, the best first; fewer if no more are found.

        The same at each call until the next step.

        Raises:
            OneShotError: `k` is no integer of at least 1.
        """

    def searcher(self) -> Strategy:
        """The strategy that searches the trained supernet, where the user names none."""
        return Deduplicated(RegularizedEvolution(population_size=20, sample_size=5))

    def state_dict(self) -> dict[str, Any]:
        """All that a search needs to go on, beside the supernet's and the optimizer's states: tensors and numbers."""
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; after `start` with the same space, steps and seed."""
        self.count = int(state["count"])

    def __repr__(self) -> str:
        known = vars(self)
        settings = {
            name: setting.name(known[name]) if callable(known[name]) else repr(known[name])
            for name in inspect.signature(type(self).__init__).parameters
            if name in known
        }
        return f"{type(self).__name__}({', '.join(f'{name}={shown}' for name, shown in settings.items())})"


def entropy(rows: Iterable[Iterable[float]]) -> float:
    """The mean over rows of the entropy of strengths that are probabilities, in nats."""
    values = [-sum(p * math.log(p) for p in row if p > 0) for row in rows]
    return sum(values) / max(1, len(values))


def checked_count(k: object) -> int:
    """How many architectures are wanted; raises OneShotError unless it is an integer of at least 1."""
    if not is_integer(k) or k < 1:
        raise OneShotError(f"k is {k!r}; give an integer of at least 1")
    return k
