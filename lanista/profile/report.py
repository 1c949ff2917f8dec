"""`summary`: what the modules of a model cost, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile.arithmetic import macs
from lanista.profile.base import Example
from lanista.profile.footprint import activations, memory
from lanista.profile.parameter import Parameters, parameters
from lanista.profile.rehearsal import rehearse, tensors_in


@dataclass(frozen=True)
class Row:
    """A module and all that is in it.

    Attributes:
        path: its path; empty: the model itself.
        kind: its class.
        parameters: how many are in it; a shared one counts where it comes first.
        macs: multiply-adds.
        activations: bytes kept for the backward pass; None where the model cannot be run in training mode.
        output: shapes of the tensors it returned last; empty where it was not run.
    """

    path: str
    kind: str
    parameters: int
    macs: int
    activations: int | None
    output: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Summary:
    """What `summary` finds; as a string, a table.

    Attributes:
        rows: the modules in order, the model itself first.
        trainable: number of parameters that require a gradient.
        memory: greatest number of bytes in use at a time in an inference.
        note: why there are no activations; empty where there are.
    """

    rows: tuple[Row, ...]
    trainable: int
    memory: int
    note: str

    @property
    def total(self) -> Row:
        """The row of the model itself."""
        return self.rows[0]

    def __str__(self) -> str:
        titles = ["module", "type", "parameters", "MACs", "activations", "output"]
        lines = [
            [
                "  " * (row.path.count(".") + 1) + row.path.rpartition(".")[2] if row.path else "(model)",
                row.kind,
                f"{row.parameters:,}",
                _short(row.macs),
                _bytes(row.activations),
                ", ".join("x".join(map(str, shape)) or "scalar" for shape in row.output) or "not run",
            ]
            for row in self.rows
        ]
        table = _aligned([titles, *lines], numbers={2, 3, 4})
        total = self.total
        kept = f"{_bytes(total.activations)} kept for the backward pass" if not self.note else self.note
        ends = [
            f"parameters   {total.parameters:,} ({self.trainable:,} trainable)",
            f"MACs         {total.macs:,} ({2 * total.macs:,} FLOPs)",
            f"activations  {kept}",
            f"memory       {_bytes(self.memory)} at most at a time in an inference",
        ]
        return "\n".join([table[0], "-" * max(map(len, table)), *table[1:], "", *ends])


def summary(model: nn.Module, example_input: Example, *, depth: int | None = None) -> Summary:
    """What each module of a model costs, with all that is in it.

    Args:
        model: on any device; left as it was.
        example_input: a tensor, or a tuple of positional inputs; costs are of its whole batch.
        depth: how many levels of modules are listed; None: all.

    Raises:
        SpaceError: the model cannot be run on the example input.
    """
    modules, outputs = rehearse(model, example_input, _seen, name="summary")
    counted = [parameters.parts(model, example_input), macs.parts(model, example_input)]
    note, kept = "", None
    try:
        kept = activations.parts(model, example_input)
    except SpaceError as error:
        note = str(error)
    rows = tuple(
        Row(
            path,
            kind,
            _within(counted[0], path),
            _within(counted[1], path),
            None if kept is None else _within(kept, path),
            outputs.get(path, ()),
        )
        for path, kind in modules.items()
        if depth is None or not path or path.count(".") < depth
    )
    trainable = Parameters(trainable=True)(model, example_input).value
    return Summary(rows, int(trainable), int(memory(model, example_input).value), note)


def _seen(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[dict[str, str], dict[str, tuple[tuple[int, ...], ...]]]:
    """Class of each module by path, and the shapes that it returned."""
    outputs: dict[str, tuple[tuple[int, ...], ...]] = {}
    paths = {module: path for path, module in model.named_modules()}

    def note(module: nn.Module, _: object, output: object) -> None:
        outputs[paths[module]] = tuple(tuple(tensor.shape) for tensor in tensors_in(output))

    hooks = [module.register_forward_hook(note) for module in paths]
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return {path: type(module).__name__ for module, path in paths.items()}, outputs


def _within(parts: Mapping[str, float], path: str) -> int:
    """The part of a module with those of all modules in it."""
    prefix = f"{path}." if path else ""
    return int(sum(value for part, value in parts.items() if part == path or part.startswith(prefix)))


def _short(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.2f} {letter}"
    return f"{value:,}"


def _bytes(value: int | None) -> str:
    if value is None:
        return "-"
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value} B"


def _aligned(lines: Sequence[Sequence[str]], numbers: set[int]) -> list[str]:
    """Lines of columns, those with numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
