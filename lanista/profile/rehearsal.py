"""Rehearsals: a model run once to see what it costs, without numbers where it bears that."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.utils.hooks import RemovableHandle

from lanista.errors import LanistaError, SpaceError
from lanista.profile.base import Example
from lanista.space.probe import UNBUILDABLE

Result = TypeVar("Result")
Thing = TypeVar("Thing")
Observe = Callable[[nn.Module, tuple[Any, ...]], Result]
"""Gets a model and its positional inputs, both on one device, and runs it."""


def rehearse(
    model: nn.Module,
    example_input: Example,
    observe: Observe[Result],
    *,
    name: str,
    training: bool = False,
) -> Result:
    """What `observe` sees while the model runs once; the model is left as it was.

    A copy on the meta device runs (no memory, no random numbers, no kernels). Where forward needs real numbers, the
    model itself runs where it is, and all that forward did to it is undone.

    Args:
        model: the model; on any device.
        example_input: what it is run on; on any device.
        observe: runs the model that it gets; called again, with the other, if the first run fails.
        name: the measure's, for messages.
        training: run in training mode with gradients on, rather than in evaluation mode without.

    Raises:
        SpaceError: there is no example input, or the model cannot be run on it.
    """
    inputs = inputs_of(example_input, name)
    with warnings.catch_warnings(action="ignore"), torch.set_grad_enabled(training):
        try:
            with torch.device("meta"), slow_path():
                return _observed(hollow(model), moved(inputs, torch.device("meta")), observe, training)
        except LanistaError:
            raise
        except UNBUILDABLE as error:
            if any(tensor.is_meta for tensor in model.parameters()):
                raise unrunnable(name, model, error, "; it needs real numbers: build it on a real device") from error
            if is_unfinished(model):
                raise unrunnable(name, model, error, "; its lazy layers must be run once before") from error
        try:
            with slow_path(), _plain_kernels():
                return _observed(model, moved(inputs, device_of(model)), observe, training)
        except LanistaError:
            raise
        except UNBUILDABLE as error:
            raise unrunnable(name, model, error, "") from error


def _observed(model: nn.Module, inputs: tuple[Any, ...], observe: Observe[Result], training: bool) -> Result:
    with untouched(model):
        model.train(training)
        if is_unfinished(model):
            with torch.no_grad():
                model(*inputs)
        return observe(model, inputs)


def unrunnable(name: str, model: nn.Module, error: Exception, remedy: str) -> SpaceError:
    """The error that says that, and why, a model cannot be run, and maybe what to do."""
    reason = (str(error).strip() or "no message").splitlines()[0]
    return SpaceError(
        f"{name} cannot be measured: {type(model).__name__} cannot be run on the example input "
        f"({type(error).__name__}: {reason}){remedy}"
    )


@contextmanager
def slow_path() -> Iterator[None]:
    """Leave out the fused kernels of torch's attention layers, inside of which nothing is counted."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Leave out the fused kernels that the meta device does not have, so that both ways give the same."""
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False),
        torch.backends.cudnn.flags(enabled=False),
    ):
        yield


# --- models and inputs ------------------------------------------------------------------------------------


def inputs_of(example_input: Example, name: str) -> tuple[Any, ...]:
    """The positional inputs that an example stands for.

    Raises:
        SpaceError: there is none.
    """
    if example_input is None:
        raise SpaceError(
            f"{name} runs the model and needs an example input: a tensor, or a tuple of positional inputs; give it to "
            "the measure, or as ModelSpace(..., example_input=...)"
        )
    return example_input if isinstance(example_input, tuple) else (example_input,)


def replaced(value: Any, kind: type[Thing], replace: Callable[[Thing], object]) -> Any:
    """`value` with another thing in place of each `kind` in it, inside of lists, tuples and mappings too."""
    if isinstance(value, kind):
        return replace(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replaced(entry, kind, replace) for entry in value))
    if isinstance(value, list | tuple):
        entries = [replaced(entry, kind, replace) for entry in value]
        return entries if isinstance(value, list) else tuple(entries)
    if isinstance(value, Mapping):
        return {key: replaced(entry, kind, replace) for key, entry in value.items()}
    return value


def tensors_in(value: object) -> list[Tensor]:
    """The tensors in a value, inside of lists, tuples and mappings too, in order."""
    found: list[Tensor] = []
    replaced(value, Tensor, found.append)
    return found


def moved(inputs: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """The inputs on a device, without gradients; a tensor that comes twice is one tensor still."""
    done: dict[int, Tensor] = {}

    def move(tensor: Tensor) -> Tensor:
        return done.setdefault(id(tensor), tensor.detach().to(device))

    result: tuple[Any, ...] = replaced(inputs, Tensor, move)
    return result


def device_of(model: nn.Module) -> torch.device:
    """The device of the first parameter or buffer; the CPU where there is none."""
    return next((tensor.device for tensor in [*model.parameters(), *model.buffers()]), torch.device("cpu"))


def is_unfinished(model: nn.Module) -> bool:
    """Whether there are lazy layers that have not seen an input yet."""
    return any(is_lazy(tensor) for tensor in [*model.parameters(), *model.buffers()])


def hollow(model: nn.Module) -> nn.Module:
    """A copy on the meta device: shapes, no numbers. Constructors are not run, and tied tensors stay tied."""
    # `copy.deepcopy(model).to("meta")` would copy all numbers first, and untie what is tied.
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]:
            if isinstance(value, Tensor) and id(value) not in memo:
                memo[id(value)] = _hollow_tensor(value)
    return copy.deepcopy(model, memo)


def _hollow_tensor(tensor: Tensor) -> Tensor:
    with torch.device("meta"):
        if isinstance(tensor, UninitializedParameter):
            return UninitializedParameter(requires_grad=tensor.requires_grad)
        if isinstance(tensor, UninitializedBuffer):
            return UninitializedBuffer()
    empty = tensor.detach().to("meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Undo at the end what runs did to attributes, modes, buffers and random generators.

    Lists and other objects that forward changes in place are not looked into.
    """
    python, numbers = random.getstate(), np.random.get_state()
    tables = [
        (table, dict(table))
        for module in model.modules()
        for table in (vars(module), module._parameters, module._buffers, module._modules)
    ]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers() if not (buffer.is_meta or is_lazy(buffer))]
    devices = [tensor.device.index for tensor in model.parameters() if tensor.is_cuda]
    try:
        with torch.random.fork_rng(devices=sorted(set(devices))):
            yield
    finally:
        for table, content in tables:
            table.clear()
            table.update(content)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        random.setstate(python)
        np.random.set_state(numbers)


class Ledger:
    """Writes what grows while a model runs to the module that is running: its own part, not its children's.

    Args:
        model: the model; within the `with` block it has hooks.
        total: what has grown so far.

    Attributes:
        parts: path of the module -> its part; empty path: the model itself. Sums to the growth within the block.
    """

    def __init__(self, model: nn.Module, total: Callable[[], int]) -> None:
        self.parts: dict[str, int] = {}
        self._model, self._total = model, total
        self._running = [""]
        self._settled = 0
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Ledger:
        self._settled = self._total()
        for path, module in self._model.named_modules():
            enter, leave = self._entering(path), self._leaving
            self._hooks.append(module.register_forward_pre_hook(enter, prepend=True))
            self._hooks.append(module.register_forward_hook(leave, always_call=True))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle()
        for hook in self._hooks:
            hook.remove()

    def _entering(self, path: str) -> Callable[..., None]:
        def enter(*_: object) -> None:
            self._settle()
            self._running.append(path)

        return enter

    def _leaving(self, *_: object) -> None:
        self._settle()
        self._running.pop()

    def _settle(self) -> None:
        total = self._total()
        if total != self._settled:
            path = self._running[-1]
            self.parts[path] = self.parts.get(path, 0) + total - self._settled
            self._settled = total
