"""Makes a built model use tensors that belong to somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Bound(dict[str, Any]):
    """A module's table of parameters or buffers, some of which are cut from shared tensors whenever they are used.

    So they are never stale, whatever an optimizer did in between, and gradients flow to the shared tensors. A buffer
    that is replaced writes to the shared one.

    Args:
        table: as it was.
        sources: name -> what cuts the tensor.
    """

    def __init__(self, table: dict[str, Any], sources: dict[str, Callable[[], Tensor]]) -> None:
        super().__init__(table)
        self.sources = sources

    def __getitem__(self, name: str) -> Any:
        source = self.sources.get(name)
        return super().__getitem__(name) if source is None else source()

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 (which would call this method)

    def __setitem__(self, name: str, value: Any) -> None:
        source = self.sources.get(name)
        if source is None or not isinstance(value, Tensor):
            super().__setitem__(name, value)
        else:
            with torch.no_grad():
                source().copy_(value)

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        return [self[name] for name in self]

    def copy(self) -> dict[str, Any]:
        return dict(self.items())


def bind(module: nn.Module, sources: dict[str, Callable[[], Tensor]]) -> None:
    """Let `module` take these parameters from their sources from now on."""
    earlier = module._parameters
    known = dict(earlier.sources) if isinstance(earlier, Bound) else {}
    vars(module)["_parameters"] = Bound(dict(dict.items(earlier)), {**known, **sources})
    if isinstance(module, nn.RNNBase):
        module.register_forward_pre_hook(flatten)  # its forward pass reads a list, not the attributes (torch 2.13)


def flatten(module: nn.Module, inputs: object = None) -> None:
    """Let a recurrent layer take its parameters from where they are now."""
    names: list[str] = module._flat_weights_names  # type: ignore[assignment]
    vars(module)["_flat_weights"] = [getattr(module, name) for name in names]
