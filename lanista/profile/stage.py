"""Stages: where a model is run again and again, as it would be in use."""

from __future__ import annotations

import copy
import gc
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lanista.errors import LanistaError, SpaceError
from lanista.profile.base import Example
from lanista.profile.rehearsal import (
    device_of,
    inputs_of,
    is_unfinished,
    moved,
    slow_path,
    tensors_in,
    unrunnable,
    untouched,
)
from lanista.space.domain import is_integer
from lanista.space.probe import UNBUILDABLE

BACKENDS = ("eager", "compile", "onnxruntime")
ONNX = "'lanista[onnx]'"

Run = Callable[[], object]


def check(backend: str, threads: int | None) -> None:
    """Check two settings that every measure on a stage has.

    Raises:
        SpaceError: one is outside of its range.
    """
    if backend not in BACKENDS:
        raise SpaceError(f"backend is {backend!r}; it must be one of {', '.join(map(repr, BACKENDS))}")
    if threads is not None and not (is_integer(threads) and threads >= 1):
        raise SpaceError(f"threads is {threads!r}; give an integer of at least 1, or None")


@contextmanager
def stage(
    model: nn.Module, example_input: Example, *, name: str, backend: str, device: str, threads: int | None
) -> Iterator[Run]:
    """Give a function that runs the model once, in evaluation mode without gradients, and has run it once already.

    Within the block torch uses `threads` threads, and Python collects no garbage. The model is left as it was; where it
    is on another device, a copy of it runs.

    Args:
        model: the model, on a real device.
        example_input: what it is run on.
        name: of the measure, for messages.
        backend: one of BACKENDS.
        device: such as "cpu" or "cuda:0".
        threads: how many threads operations use on the CPU; None: as torch is set.

    Raises:
        SpaceError: there is no example input, the model has no numbers, or cannot be run on the example input.
        LanistaError: the backend or the device is not there, or cannot take the model.
    """
    place = place_of(device)
    inputs = moved(inputs_of(example_input, name), place)
    if device_of(model).type == "meta":
        raise SpaceError(
            f"{name} runs {type(model).__name__}, which is on the meta device and has no numbers; "
            "build it without `torch.device('meta')`"
        )
    if device_of(model) != place or is_unfinished(model):
        model = copy.deepcopy(model).to(place)
    before, collecting = torch.get_num_threads(), gc.isenabled()
    with untouched(model), torch.no_grad():
        try:
            torch.set_num_threads(threads or before)
            model.eval()
            run = _made(model, inputs, name, backend, threads or before)
            gc.disable()
            yield run
        finally:
            torch.set_num_threads(before)
            if collecting:
                gc.enable()


def place_of(device: str) -> torch.device:
    """The device of that name, with its number.

    Raises:
        SpaceError: torch knows no such name.
        LanistaError: it is not there.
    """
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise SpaceError(f"device is {device!r}; give a name that torch knows, such as 'cpu' or 'cuda:0'") from error
    if place.type == "cpu":
        return place
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None or accelerator.type != place.type:
        found = f"cpu and {accelerator.type}" if accelerator else "cpu alone"
        raise LanistaError(f"device is {device!r}, but torch {torch.__version__} sees {found} here")
    known = torch.accelerator
    current = getattr(known, "current_device_index", None) or known.current_device_idx  # its name before torch 2.7
    return torch.device(place.type, current() if place.index is None else place.index)


def synchronize(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(torch.device(device))


def optional(library: str, source: str) -> Any:
    """An optional library, which `pip install source` installs.

    Raises:
        LanistaError: it is not installed; the message has the line that installs it.
    """
    if find_spec(library) is None:
        raise LanistaError(f"{library} is not installed; install it with: pip install {source}")
    return import_module(library)


def _made(model: nn.Module, inputs: tuple[Any, ...], name: str, backend: str, threads: int) -> Run:
    try:
        return _MAKERS[backend](model, inputs, threads)
    except LanistaError:
        raise
    except UNBUILDABLE as error:
        raise unrunnable(name, model, error, "") from error


def _eager(model: nn.Module, inputs: tuple[Any, ...], threads: int) -> Run:
    with warnings.catch_warnings(action="ignore"):
        model(*inputs)
    return lambda: model(*inputs)


def _compiled(model: nn.Module, inputs: tuple[Any, ...], threads: int) -> Run:
    # Else the ninth model of a class would silently run uncompiled: torch.compile keeps eight versions of a function.
    torch.compiler.reset()
    with warnings.catch_warnings(action="ignore"), slow_path():  # inductor stumbles over the fast path's strides (2.13)
        try:
            compiled = torch.compile(model, dynamic=False)
            compiled(*inputs)
        except UNBUILDABLE as error:
            raise LanistaError(
                f"torch.compile could not compile {type(model).__name__} ({type(error).__name__}: {_line(error)}); "
                "on the CPU it needs a C++ compiler, such as g++"
            ) from error
    return lambda: compiled(*inputs)


def _onnx(model: nn.Module, inputs: tuple[Any, ...], threads: int) -> Run:
    for library in ("onnx", "onnxscript"):
        optional(library, ONNX)
    runtime = optional("onnxruntime", ONNX)
    given = tensors_in(inputs)
    cuda = bool(given) and given[0].is_cuda
    provider = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
    if provider not in runtime.get_available_providers():
        raise LanistaError(f"this onnxruntime has no {provider}; on a GPU install onnxruntime-gpu in its place")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        _exported(model, inputs, path)
        session = runtime.InferenceSession(path, options, providers=[provider])
    names = [entry.name for entry in session.get_inputs()]
    if len(names) != len(given):
        raise LanistaError(
            f"{type(model).__name__} has {len(given)} tensors as inputs, but {len(names)} in ONNX "
            f"({', '.join(names)}); leave those that it does not use out of the example input"
        )
    feed = {name: tensor.cpu().numpy() for name, tensor in zip(names, given, strict=True)}
    return lambda: session.run(None, feed)


def _exported(model: nn.Module, inputs: tuple[Any, ...], path: Path) -> None:
    with warnings.catch_warnings(action="ignore"), slow_path():
        try:
            torch.onnx.export(model, inputs, path, dynamo=True, verbose=False)
        except UNBUILDABLE as error:
            raise LanistaError(
                f"{type(model).__name__} cannot be exported to ONNX ({type(error).__name__}: {_line(error)})"
            ) from error


def _line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]


_MAKERS = {"eager": _eager, "compile": _compiled, "onnxruntime": _onnx}
