"""How a user's `LightningModule` trains weights that many models share.

The module gets a stand-in for its model, which runs whichever model the search says. Its `training_step` is called as
often as the search makes passes, and once more to learn the architecture, by validation data; its optimizers,
schedulers, clipping and precision are Lightning's business, as ever.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from lanista.errors import EvaluatorError
from lanista.evaluator.base import Sharing, Weights
from lanista.evaluator.framework import is_param_in_hook_signature
from lanista.evaluator.recalibration import recalibrating

MANY = "the module trains a supernet, and its model stands for many that have different parts."
"""What a user may not have thought of."""

SHOWN = 5
"""How many names a message has at most."""

LEARNING = "architecture_loss"
"""The method by which a module says what the architecture is learnt by, where that is not its training step's loss."""


class StandIn(nn.Module):
    """Stands for whichever model of a supernet is run now.

    Its modules and parameters are those of the supernet's catalogue: the parameters are the shared ones themselves, in
    modules of their kinds and under their names, for optimizers and the like. All else, its parts that are called and
    its methods, are those of the model that runs.

    Args:
        weights: the supernet.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self._whole = [weights.catalogue()]  # lists, so that the models are no parts of this one
        self._weights, self._running = [weights], list[nn.Module]()
        self._modules, self._parameters = self._whole[0]._modules, self._whole[0]._parameters
        self._hooks = self._hooked()

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the model of now gives."""
        if not self._running:
            raise EvaluatorError(f"no model runs before the first training step; {MANY}")
        return self._running[0](*inputs, **named)

    def stand_for(self, model: nn.Module) -> None:
        """Run this model from now on."""
        self._running[:] = [model]

    def check(self) -> None:
        """Raise EvaluatorError where a part has a hook, which would not see what the models do."""
        if self._hooked() != self._hooks:
            raise EvaluatorError(
                f"hooks were registered at parts of the model, and would not be called; {MANY} Let forward return what "
                "is needed, or register the hook at the model itself"
            )

    def __getattr__(self, name: str) -> Any:
        known = vars(self)
        models = [] if name.startswith("__") else known.get("_running") or known.get("_whole", [])
        if not models:
            return super().__getattr__(name)
        try:
            return getattr(models[0], name)
        except AttributeError as error:
            raise AttributeError(f"{error}; {MANY}") from error

    def __setattr__(self, name: str, value: Any) -> None:
        if "_hooks" in vars(self) and isinstance(value, Tensor | nn.Module):
            raise EvaluatorError(
                f"{name!r} of the model cannot be set: its models are built by the space; {MANY} Let the space build it"
            )
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> StandIn:
        """Move, or convert, the shared tensors."""
        self._weights[0]._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _hooked(self) -> int:
        """How many hooks there are at parts of the model."""
        tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        return sum(len(vars(part)[name]) for part in self.modules() if part is not self for name in tables)


class Teaching(Callback):
    """Makes the steps of a search in a run of Lightning.

    Args:
        begin: called with the number of steps, once that is known; returns the search.
        stand_in: the module's model.
        batches: gives validation batches, over and over, from a number on; asked only for a search that learns.
    """

    def __init__(
        self,
        begin: Callable[[int], Sharing],
        stand_in: StandIn,
        batches: Callable[[int], Iterator[Any]],
    ) -> None:
        self._begin, self._stand_in, self._batches = begin, stand_in, batches
        self._state: dict[str, Any] | None = None
        self._valid: Iterator[Any] = iter(())
        self.search: Sharing
        self._step: Callable[..., Any]

    @property
    def state_key(self) -> str:
        return "lanista.Teaching"

    def state_dict(self) -> dict[str, Any]:
        return dict(self.search.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        steps = trainer.estimated_stepping_batches
        if steps in (float("inf"), -1):
            raise EvaluatorError("how many steps there will be is not known; give max_epochs or max_steps")
        self.search = self._begin(int(steps) * trainer.accumulate_grad_batches)
        check(self.search, pl_module)
        self._stand_in.check()
        complete(trainer.optimizers, self._stand_in)
        if self._state is not None:
            self.search.load_state_dict(self._state)
        if self.search.learns:
            self._valid = self._batches(self.search.count)
        step = self._step = pl_module.training_step

        @functools.wraps(step)
        def training_step(*arguments: Any, **named: Any) -> Any:
            return self._train(pl_module, step, arguments, named)

        training_step.__wrapped__ = getattr(step, "__wrapped__", step)  # where Lightning looks what it takes
        pl_module.training_step = training_step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if not self.search.learns:
            return
        valid = trainer.strategy.batch_to_device(next(self._valid))
        optimizer = trainer.optimizers[0]

        def loss(model: nn.Module, batch: Any) -> Any:
            self._stand_in.stand_for(model)
            if hasattr(pl_module, LEARNING):
                return getattr(pl_module, LEARNING)(batch)
            return _loss(self._step(*_taken(self._step, batch, batch_idx)))

        with silent(pl_module), trainer.precision_plugin.train_step_context():
            self.search.learn(valid, loss, optimizer, batch)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.search.advance()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.search.log({name: float(value) for name, value in trainer.callback_metrics.items()})

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._stand_in.stand_for(self.search.representative())

    def _train(
        self, pl_module: Any, step: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        outputs: list[Any] = []

        def loss(model: nn.Module, batch: Any) -> Any:
            self._stand_in.stand_for(model)
            outputs.append(step(batch, *arguments[1:], **named))
            return _loss(outputs[-1]) if pl_module.automatic_optimization else None

        losses = list(self.search.passes(arguments[0], loss))
        if not pl_module.automatic_optimization:
            return outputs[-1]
        total = sum(losses[1:], losses[0])
        return {**outputs[-1], "loss": total} if isinstance(outputs[-1], Mapping) else total


def check(search: Sharing, module: Any) -> None:
    """Raise EvaluatorError, with the reason, where a module cannot train shared weights by this search."""
    name, kind = type(search).__name__, type(module).__name__
    if module.automatic_optimization:
        return
    if not search.plain:
        raise EvaluatorError(
            f"{kind} optimises by hand (automatic_optimization=False), and {name} must combine the losses of several "
            "passes, which it does not get to see; use SPOS or another method of one pass, or a module with one "
            "optimizer that returns its loss"
        )
    if search.learns and not hasattr(module, LEARNING):
        raise EvaluatorError(
            f"{kind} optimises by hand (automatic_optimization=False), so its training_step returns no loss that "
            f"{name} could learn the architecture by; give it a method {LEARNING}(self, batch) that returns one, or "
            "use SPOS"
        )


def complete(optimizers: Sequence[Any], model: nn.Module) -> None:
    """Raise EvaluatorError, with their names, where parameters of a model that are not frozen have no optimizer."""
    trained = {id(weight) for optimizer in optimizers for group in optimizer.param_groups for weight in group["params"]}
    missing = [n for n, weight in model.named_parameters() if weight.requires_grad and id(weight) not in trained]
    if missing:
        more = "" if len(missing) <= SHOWN else f" and {len(missing) - SHOWN} more"
        raise EvaluatorError(
            f"configure_optimizers leaves out {len(missing)} of the model's parameters: "
            f"{', '.join(missing[:SHOWN])}{more}; {MANY} Give all to an optimizer, such as "
            "self.model.parameters(), or freeze them: requires_grad_(False)"
        )


@contextmanager
def silent(module: Any) -> Iterator[None]:
    """Let what a module logs go nowhere."""
    names = ("log", "log_dict")
    for name in names:
        vars(module)[name] = _nothing
    try:
        yield
    finally:
        for name in names:
            del vars(module)[name]


class Recalibrating(Callback):
    """Computes the statistics of batch normalisation anew before a validation, for weights that come from elsewhere.

    Args:
        model: the module's model.
        batches: called with the module; gives training batches. Without any, the statistics stay as they are.
    """

    def __init__(self, model: nn.Module, batches: Callable[[Any], list[Any]]) -> None:
        self._model, self._batches = model, batches

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        batches = self._batches(pl_module)
        if not batches:
            return
        with silent(pl_module), recalibrating(self._model) as needed:
            for index, batch in enumerate(batches if needed else ()):
                moved = trainer.strategy.batch_to_device(batch)
                if pl_module.automatic_optimization:
                    pl_module.training_step(*_taken(pl_module.training_step, moved, index))
                else:
                    self._model(moved[0] if isinstance(moved, list | tuple) else moved)


def _taken(step: Callable[..., Any], batch: Any, index: int) -> tuple[Any, ...]:
    """The arguments of a training step, which may do without the batch's number; as Lightning finds out."""
    return (batch, index) if is_param_in_hook_signature(step, "batch_idx", min_args=2) else (batch,)


def _loss(output: Any) -> Tensor:
    """The loss in what a training step returns, as Lightning reads it."""
    loss = output.get("loss") if isinstance(output, Mapping) else output
    if not isinstance(loss, Tensor):
        raise EvaluatorError(
            f"training_step returned {type(output).__name__}; a search needs its loss: a tensor, or a mapping that has "
            "one under 'loss'"
        )
    return loss


def _nothing(*_: Any, **__: Any) -> None:
    """Take a logged value, and forget it."""
