"""Operations: the calls of torch layers and functions that a forward pass consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.hooks import RemovableHandle

from lanista.profile.base import Example
from lanista.profile.rehearsal import hollow, rehearse, replaced, tensors_in


@dataclass(frozen=True)
class Operation:
    """One call of a layer of `torch.nn`, or of a torch function outside of such layers.

    Attributes:
        name: type, settings and shapes, such as "Linear(in_features=8, out_features=2, bias=True) on 1x8". Operations
            with equal names do the same work.
        path: the module that it belongs to: the layer itself, or the one whose forward calls the function.
        module: does it, when called with `inputs`; its tensors may have no numbers.
        inputs: its tensors, on the meta device.
    """

    name: str
    path: str
    module: nn.Module
    inputs: tuple[Tensor, ...]

    @property
    def kind(self) -> str:
        """The layer's or function's name alone, such as "Linear" or "torch.cat"."""
        return self.name.partition("(")[0]

    def real(self, device: torch.device) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The module and inputs with small positive numbers on a device: what can be run."""
        generator = torch.Generator().manual_seed(0)

        def numbers(tensor: Tensor) -> Tensor:
            # Integers may be indices, so they are 0; booleans are masks.
            if not (tensor.is_floating_point() or tensor.is_complex()):
                return torch.full_like(tensor, tensor.dtype == torch.bool, device=device)
            drawn = torch.rand(tensor.shape, generator=generator, device="cpu") * 0.09 + 0.01
            return torch.empty_like(tensor, device=device).copy_(drawn)

        module = hollow(self.module).to_empty(device=device)
        if isinstance(module, _Call):
            module.settle(device)
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                tensor.copy_(numbers(tensor))
        return module, tuple(map(numbers, self.inputs))


def operations(model: nn.Module, example_input: Example, *, name: str = "operations") -> list[Operation]:
    """The operations of a forward pass in evaluation mode, in order; views and sizes, which cost nothing, left out.

    Args:
        model: on any device; left as it was.
        example_input: what it is run on.
        name: who asks, for messages.

    Raises:
        SpaceError: there is no example input, or the model cannot be run on it.
    """
    return rehearse(model, example_input, _recorded, name=name)


def _recorded(model: nn.Module, inputs: tuple[Any, ...]) -> list[Operation]:
    with _Recorder(model) as recorder:
        model(*inputs)
    return recorder.found


class _Recorder(TorchFunctionMode):
    """Records layers by hooks, and functions as a mode.

    Attributes:
        found: the operations so far.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.found: list[Operation] = []
        self._model = model
        self._running = [""]
        self._layers = 0  # how many layers are running, one inside the other
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> _Recorder:
        for path, module in self._model.named_modules():
            enter, leave = self._around(path, _is_layer(module))
            self._hooks.append(module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True))
            self._hooks.append(module.register_forward_hook(leave, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _around(self, path: str, layer: bool) -> tuple[Callable[..., None], Callable[..., None]]:
        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._layers += layer
            if layer and self._layers == 1:
                self.found.append(_operation(module, args, kwargs, path))
            self._running.append(path)

        def leave(*_: object) -> None:
            self._layers -= layer
            self._running.pop()

        return enter, leave

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._layers:
            return func(*args, **kwargs)
        given = tensors_in((args, kwargs))
        storages = [tensor.untyped_storage() for tensor in given]
        versions = [tensor._version for tensor in given]
        # Before the call, which may change shapes in place.
        operation = _operation(func, args, kwargs, self._running[-1])
        out = func(*args, **kwargs)
        made = [tensor.untyped_storage() for tensor in tensors_in(out)]
        wrote = versions != [tensor._version for tensor in given]
        if wrote or not {id(storage) for storage in made} <= {id(storage) for storage in storages}:
            self.found.append(operation)
        return out


def _is_layer(module: nn.Module) -> bool:
    """Whether torch wrote the module's forward; what users wrote is looked into."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return type(module).__module__.startswith(("torch.nn.modules", "torch.ao.nn")) and not isinstance(
        module, containers
    )


@dataclass(frozen=True)
class _Slot:
    """Stands for a tensor among arguments."""

    position: int
    again: bool

    def __repr__(self) -> str:
        return f"_{self.position + 1}" if self.again else "_"


class _Call(nn.Module):
    """Calls a layer or function with tensors in place of slots."""

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.target, self.args, self.kwargs = target, args, kwargs
        self.plain = not kwargs and all(isinstance(value, _Slot) and not value.again for value in args)

    def settle(self, device: torch.device) -> None:
        """Let devices among the arguments be this one."""
        self.args = replaced(self.args, torch.device, lambda _: device)
        self.kwargs = replaced(self.kwargs, torch.device, lambda _: device)

    def forward(self, *tensors: Tensor) -> Any:
        if self.plain:
            return self.target(*tensors)
        return self.target(
            *replaced(self.args, _Slot, lambda slot: tensors[slot.position]),
            **replaced(self.kwargs, _Slot, lambda slot: tensors[slot.position]),
        )


def _operation(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], path: str) -> Operation:
    tensors: list[Tensor] = []
    positions: dict[int, int] = {}

    def slot(tensor: Tensor) -> _Slot:
        again = id(tensor) in positions
        if not again:
            positions[id(tensor)] = len(tensors)
            tensors.append(tensor.detach().to("meta"))
        return _Slot(positions[id(tensor)], again)

    args, kwargs = replaced((args, kwargs), Tensor, slot)
    title = _settings(target) if isinstance(target, nn.Module) else _function_name(target)
    call = _Call(target, args, kwargs)
    if not (isinstance(target, nn.Module) and call.plain):
        title += f"({', '.join([*map(_text, args), *(f'{key}={_text(value)}' for key, value in kwargs.items())])})"
    shapes = f" on {', '.join(map(_shape, tensors))}" if tensors else ""
    return Operation(
        title + shapes, path, target if call.plain and isinstance(target, nn.Module) else call, (*tensors,)
    )


def _settings(module: nn.Module) -> str:
    """A layer of torch's with all that decides what it does; its representation leaves out what children hide."""
    if not any(True for _ in module.children()):
        return repr(module)
    settings = {key: value for key, value in vars(module).items() if not key.startswith("_") and key != "training"}
    words = [f"{key}={_text(value)}" for key, value in settings.items()]
    words += [f"{key}={_settings(child)}" for key, child in module.named_children()]
    words += [f"{key}={_shape(tensor)}" for key, tensor in module.named_parameters(recurse=False)]
    return f"{type(module).__name__}({', '.join(words)})"


def _function_name(function: Callable[..., Any]) -> str:
    return resolve_name(function) or str(getattr(function, "__qualname__", type(function).__name__))


def _text(value: object) -> str:
    """A setting without memory addresses."""
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_text, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_text(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, bool | int | float | str | slice | _Slot | torch.dtype | type(None) | type(...)):
        return repr(value)
    return getattr(value, "__qualname__", None) or type(value).__qualname__


def _shape(tensor: Tensor) -> str:
    """Such as "2x8"; with type and strides where they are not the usual ones."""
    words = ["x".join(map(str, tensor.shape)) or "scalar"]
    if tensor.dtype != torch.float32:
        words.append(str(tensor.dtype).removeprefix("torch."))
    if not tensor.is_contiguous():
        words.append(f"strides {_strides(tensor.stride())}")
    return " ".join(words)


def _strides(strides: Sequence[int]) -> str:
    return "x".join(map(str, strides))
