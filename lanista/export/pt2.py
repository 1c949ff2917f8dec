"""`.pt2` files: the graph of `torch.export` with its weights, which torch loads without the model's code."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from lanista.export.program import Inputs, program, replacing

TOLERANCE = 1e-6


def write_pt2(
    model: nn.Module, path: str | Path, example_input: Tensor | tuple[object, ...], *, dynamic_batch: bool = True
) -> float:
    """Write `model`, in evaluation mode, as a `.pt2` file; the model is left as it was.

    `torch.export.load(path).module()` gives it back. The file is loaded again and compared before it appears.

    Args:
        model: on any one device, which the file remembers.
        path: of the file; parents are made.
        example_input: an input, or a tuple of positional inputs.
        dynamic_batch: leave the batch size open: the first dimension of all inputs that share it with the first
            tensor.

    Returns:
        The largest difference of outputs, relative to the largest output where that exceeds 1; at most 1e-6.

    Raises:
        ExportError: torch.export cannot capture the model, the outputs differ, or the file cannot be written.
    """
    captured = program(model, example_input, dynamic_batch=dynamic_batch)
    with replacing(Path(path)) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(captured.exported, partial)
            loaded = torch.export.load(partial).module()

        def run(inputs: Inputs) -> object:
            with torch.no_grad():
                return loaded(*inputs)

        return captured.difference(run, "the .pt2 file", TOLERANCE)
