"""Numbers of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import is_unfinished, rehearse


@dataclass(frozen=True)
class Parameters(Measure):
    """Number of parameters; a tensor that several modules share counts once, where it comes first. Exact.

    Buffers, such as the running statistics of a batch norm, are not parameters. Lazy layers are counted as they are
    after a run on the example input, which only they need.

    Args:
        trainable: None (default): all; True: those that require a gradient; False: those that do not.
    """

    trainable: bool | None = None
    name: str = field(default="parameters", kw_only=True)
    unit: str = field(default="", init=False, repr=False)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return Measurement(sum(self.parts(model, example_input).values()), 0.0, self.unit)

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float]:
        if is_unfinished(model):
            return rehearse(model, example_input, self._after_a_run, name=self.name)
        return self._counted(model)

    def _after_a_run(self, model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, float]:
        model(*inputs)
        return self._counted(model)

    def _counted(self, model: nn.Module) -> dict[str, float]:
        parts: dict[str, float] = {}
        for path, parameter in model.named_parameters():  # leaves out what it has given already
            if self.trainable in (None, parameter.requires_grad):
                owner = path.rpartition(".")[0]
                parts[owner] = parts.get(owner, 0) + parameter.numel()
        return parts


parameters = Parameters()
"""Number of all parameters."""
