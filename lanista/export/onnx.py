"""ONNX files: what other runtimes than torch read."""

from __future__ import annotations

import contextlib
import io
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lanista.errors import ExportError
from lanista.export.program import Inputs, Program, program, replacing

LIMIT = 2**31
"""Bytes that an ONNX file can hold: protobuf's limit."""


def write_onnx(
    model: nn.Module,
    path: str | Path,
    example_input: Tensor | tuple[object, ...],
    *,
    dynamic_batch: bool = True,
    tolerance: float = 1e-4,
) -> float:
    """Write `model`, in evaluation mode, as one ONNX file; the model is left as it was.

    Before the file appears, the checker of ONNX reads it, and ONNX Runtime runs it on the example (and, with an
    open batch size, on three times the batch); the outputs are compared with the model's.

    Args:
        model: on any one device.
        path: of the file; parents are made.
        example_input: an input, or a tuple of positional inputs.
        dynamic_batch: leave the batch size open: the first dimension of all inputs that share it with the first
            tensor.
        tolerance: how far outputs may be apart, relative to the largest output where that exceeds 1.

    Returns:
        The largest difference of outputs, so measured.

    Raises:
        ExportError: onnx, onnxscript or onnxruntime are not installed; the model cannot be written, is too large,
            or gives other outputs; the file cannot be written.
    """
    onnx, runtime = _library("onnx"), _library("onnxruntime")
    _library("onnxscript")
    size = sum(value.numel() * value.element_size() for value in (*model.parameters(), *model.buffers()))
    if size >= LIMIT:
        raise ExportError(f"the weights have {size:,} bytes, and an ONNX file holds 2 GiB; write a .pt2 file instead")
    captured = program(model, example_input, dynamic_batch=dynamic_batch)
    with replacing(Path(path)) as partial:
        _convert(captured, partial)
        faults = _faults(runtime)
        try:
            onnx.checker.check_model(partial, full_check=True)
            session = runtime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *faults) as error:
            raise ExportError(f"ONNX does not take what torch wrote: {error}") from error
        return captured.difference(lambda inputs: _run(session, captured, inputs), "the ONNX file", tolerance, faults)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ExportError(f"ONNX files need {name} ({error}): pip install 'lanista[onnx]'") from error


def _faults(runtime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its errors have no common base but Exception."""
    known = vars(runtime.capi.onnxruntime_pybind11_state).values()
    own = [entry for entry in known if isinstance(entry, type) and issubclass(entry, Exception)]
    return (*own, RuntimeError, ValueError)


def _convert(captured: Program, path: Path) -> None:
    # What torch prints and warns of are its own steps; the model's warnings came before.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            written = torch.onnx.export(captured.exported, dynamo=True, verbose=False)
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise ExportError(
                f"the model cannot be written as ONNX: {reason}; replace that operation, or write a .pt2 file instead"
            ) from error
        if written is None:
            raise ExportError("the model cannot be written as ONNX: torch gave no program; write a .pt2 file instead")
        written.save(path, external_data=False)


def _run(session: Any, captured: Program, inputs: Inputs) -> object:
    """The outputs of ONNX Runtime, as tensors in the structure and on the device of the model's."""
    tensors = [value for value in pytree.tree_leaves(inputs) if isinstance(value, Tensor)]
    names = [entry.name for entry in session.get_inputs()]
    outputs = session.run(None, {name: value.cpu().numpy() for name, value in zip(names, tensors, strict=True)})
    expected = captured.checks[0][1]
    leaves, structure = pytree.tree_flatten(expected)
    numbers = iter(outputs)
    values = [torch.from_numpy(next(numbers)).to(v.device) if isinstance(v, Tensor) else v for v in leaves]
    return pytree.tree_unflatten(values, structure)
