"""Programs of `torch.export`: what the single-file exports are made from, and compared with."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.utils import _pytree as pytree

from lanista.errors import ExportError
from lanista.export.compare import outputs_distance
from lanista.export.trace import FAULTS, untouched

Inputs = tuple[object, ...]

OTHER_BATCH = 3
"""A file with an open batch size is also run on this many times the example's batch."""


@dataclass(frozen=True)
class Program:
    """A model as one graph.

    Attributes:
        exported: what `torch.export.export` gave.
        checks: inputs of the model, with its outputs in evaluation mode.
    """

    exported: ExportedProgram
    checks: tuple[tuple[Inputs, object], ...]

    def difference(
        self,
        run: Callable[[Inputs], object],
        what: str,
        tolerance: float,
        faults: tuple[type[Exception], ...] = FAULTS,
    ) -> float:
        """Compare the outputs of `run`, a loaded file, with the model's.

        Args:
            run: takes inputs, gives outputs in the model's structure.
            what: what `run` runs, as in "the file".
            tolerance: greatest difference allowed.
            faults: what `run` may raise.

        Returns:
            The largest difference, relative to the largest output where that exceeds 1.

        Raises:
            ExportError: the difference is above the tolerance, or `run` fails.
        """
        worst = 0.0
        for inputs, expected in self.checks:
            try:
                actual = run(copy.deepcopy(inputs))
            except faults as error:
                raise ExportError(f"{what} fails on {_shapes(inputs)}: {_said(error)}") from error
            worst = max(worst, outputs_distance(actual, expected, what))
        if not worst <= tolerance:
            raise ExportError(
                f"the outputs of {what} differ from the model's by {worst:.3g}, more than {tolerance}; if that is "
                "good enough, give a greater tolerance, and if not, perhaps forward draws random numbers in evaluation"
            )
        return worst


def program(model: nn.Module, example_input: Tensor | Inputs, *, dynamic_batch: bool) -> Program:
    """Capture `model` in evaluation mode; the model is left as it was.

    Args:
        model: on any one device.
        example_input: an input, or a tuple of positional inputs.
        dynamic_batch: leave the size of the first dimension open, in all inputs that share it with the first
            tensor.

    Raises:
        ExportError: the model fails on the example, or torch.export cannot capture it.
    """
    given = example_input if isinstance(example_input, tuple) else (example_input,)
    device = next(iter({value.device for value in (*model.parameters(), *model.buffers())}), torch.device("cpu"))
    if device.type == "meta":
        raise ExportError("the model is on the meta device and has no weights; build it for real")
    given = pytree.tree_map_only(Tensor, lambda value: value.detach().to(device), given)
    batch = next((value.shape[0] for value in pytree.tree_leaves(given) if _has_batch(value)), None)
    if dynamic_batch and not batch:
        raise ExportError("example_input has no tensor with a batch dimension; give dynamic_batch=False")

    def times(count: int) -> Inputs:
        # Other values in each repetition: a mean over the batch must not look like a mean over one input.
        def repeated(value: Any) -> Any:
            if not _has_batch(value, batch):
                return value
            return torch.cat([value.flip(-1) if part % 2 else value for part in range(count)])

        return tuple(pytree.tree_map(repeated, given))

    # torch.export takes a batch of one for a constant: it sees a batch of two examples.
    shown = times(2) if dynamic_batch else given
    shapes = pytree.tree_map(lambda v: {0: Dim("batch")} if _has_batch(v, batch) else None, given)
    runs = (given, times(OTHER_BATCH)) if dynamic_batch else (given,)
    with untouched(model), torch.random.fork_rng(), torch.no_grad():
        model.eval()
        checks = tuple((inputs, _outputs(model, inputs)) for inputs in runs)
        try:
            # The model's own warnings came with its outputs above; these are of torch's parts about each other.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exported = export(model, copy.deepcopy(shown), dynamic_shapes=shapes if dynamic_batch else None)
        except FAULTS as error:  # what torch._dynamo raises are RuntimeErrors
            advice = "; if it is the batch size, give dynamic_batch=False" if dynamic_batch else ""
            raise ExportError(f"torch.export cannot capture {type(model).__name__}: {_said(error)}{advice}") from error
    return Program(exported, checks)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; in the end it is moved there, or deleted if something failed.

    Raises:
        ExportError: the file cannot be written.
    """
    # The suffix stays: torch warns of files that are named otherwise.
    partial = path.with_name(f".{uuid4().hex}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}") from error
    finally:
        if partial.exists():
            partial.unlink()


def _has_batch(value: object, batch: int | None = None) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and (batch is None or value.shape[0] == batch)


def _outputs(model: nn.Module, inputs: Inputs) -> object:
    try:
        return model(*copy.deepcopy(inputs))
    except FAULTS as error:
        raise ExportError(f"the model fails on {_shapes(inputs)}: {_said(error)}") from error


def _shapes(inputs: Inputs) -> str:
    leaves = pytree.tree_leaves(inputs)
    return "inputs " + ", ".join(str(tuple(v.shape)) if isinstance(v, Tensor) else repr(v) for v in leaves)


def _said(error: Exception) -> str:
    """The first line of an error: torch's go on for pages."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
