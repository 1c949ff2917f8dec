"""Makes a built model use tensors that belong to somebody else."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import chain
from typing import Any, Protocol
from weakref import ref

import torch
from torch import Tensor, nn

from lanista.errors import OneShotError


class Source(Protocol):
    """What a module's tensor is taken from whenever it is used; see `lanista.oneshot.slices.Part`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""

    @property
    def split(self) -> bool:
        """Whether `view` is a copy."""

    @property
    def learns(self) -> bool:
        """Whether gradients go through it."""

    @property
    def identity(self) -> Hashable:
        """Equal for what is taken from the same place."""

    def read(self) -> Tensor:
        """The tensor, to compute with."""

    def view(self) -> Tensor:
        """The tensor, for what changes it in place."""

    def write(self, value: Tensor) -> None:
        """Replace it."""


SWAP = "swap_tensor"
"""The function by which `torch.func.functional_call` takes tensors out of a table and puts them back (torch 2.13)."""


class Bound(dict[str, Any]):
    """A module's table of parameters or buffers, some of which are cut from shared tensors whenever they are used.

    So they are never stale, whatever an optimizer did in between, and gradients flow to the shared tensors. What is
    assigned to one of them is written to the shared one; but `torch.func.functional_call` leaves that alone.

    Args:
        table: as it was.
        parts: name -> what is cut.
        buffers: whether it is a table of buffers, which are changed in place.
    """

    def __init__(self, table: dict[str, Any], parts: Mapping[str, Source], *, buffers: bool) -> None:
        super().__init__(table)
        self.parts, self.buffers = dict(parts), buffers
        self.borrowed: dict[str, Tensor] = {}
        self._swapped: dict[str, Tensor] = {}
        self._given: dict[str, ref[Tensor]] = {}

    def __getitem__(self, name: str) -> Any:
        part = self.parts.get(name)
        if part is None:
            return super().__getitem__(name)
        if name in self._swapped:
            return self._swapped[name]
        if name in self.borrowed:
            return self.borrowed[name]
        value = part.view() if self.buffers else part.read()
        self._given[name] = ref(value)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 (which would call this method)

    def __setitem__(self, name: str, value: Any) -> None:
        part = self.parts.get(name)
        if part is None or not isinstance(value, Tensor):
            super().__setitem__(name, value)
        elif sys._getframe(1).f_code.co_name == SWAP:
            self._swapped.pop(name, None)
            if name not in self._given or self._given[name]() is not value:
                self._swapped[name] = value
        elif name in self._swapped:
            self._swapped[name] = value
        elif name in self.borrowed:
            self.borrowed[name] = value
        else:
            part.write(value)

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        return [self[name] for name in self]

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def __deepcopy__(self, memo: dict[Any, Any]) -> dict[str, Any]:
        """Tensors of its own."""
        return {name: self._copied(name, memo) for name in self}

    def _copied(self, name: str, memo: dict[Any, Any]) -> Any:
        part = self.parts.get(name)
        if part is None:
            return copy.deepcopy(super().__getitem__(name), memo)
        if part.identity not in memo:
            value = owned(part.read(), super().__getitem__(name))
            memo[part.identity] = value if self.buffers else nn.Parameter(value, requires_grad=part.learns)
        return memo[part.identity]

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise OneShotError(
            "a path shares its tensors with the supernet and cannot be pickled; supernet.inherit(architecture) is a "
            "model of its own"
        )

    def borrow(self) -> None:
        """Copy what falls into chunks, for a forward pass that may change it in place."""
        self.borrowed = {name: part.view() for name, part in self.parts.items() if part.split}

    def give_back(self) -> None:
        """Write the copies to the shared tensors."""
        borrowed, self.borrowed = self.borrowed, {}
        for name, value in borrowed.items():
            self.parts[name].write(value)


class Moored:
    """Takes the place of a path's `_apply`, by which torch moves and converts a module: it must stay as it is.

    A copy of the path, which has tensors of its own, can be moved.

    Args:
        model: the path.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __call__(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        with torch.no_grad():
            if any(fn(tensor) is not tensor for tensor in chain(self._model.parameters(), self._model.buffers())):
                raise OneShotError(
                    "a path shares its tensors with the supernet and is not moved or converted by itself; call "
                    "supernet.to(...), or take supernet.inherit(architecture), a model of its own"
                )
        return self._model

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., nn.Module]:
        return partial(type(self._model)._apply, memo[id(self._model)])


def bind(module: nn.Module, parts: Mapping[str, Source], *, buffers: bool = False) -> None:
    """Let `module` take these parameters, or buffers, from their sources from now on."""
    name = "_buffers" if buffers else "_parameters"
    table: dict[str, Any] = vars(module)[name]
    if isinstance(table, Bound):
        table.parts.update(parts)
        return
    vars(module)[name] = Bound(table, parts, buffers=buffers)
    module.register_load_state_dict_pre_hook(_load)  # type: ignore[no-untyped-call]
    if not buffers and isinstance(module, nn.RNNBase):
        module.register_forward_pre_hook(flatten)  # its forward pass reads a list, not the attributes (torch 2.13)
        module.register_forward_hook(_forget)
        _forget(module)
    if buffers and any(part.split for part in parts.values()):
        module.register_forward_pre_hook(_borrow)
        module.register_forward_hook(_give_back)


def owned(value: Tensor, like: Tensor) -> Tensor:
    """A copy in the memory order of the tensor that a model was built with: other orders may give other last digits."""
    with torch.no_grad():
        return torch.empty_like(like, dtype=value.dtype, device=value.device, requires_grad=False).copy_(value)


def flatten(module: nn.Module, inputs: object = None) -> None:
    """Let a recurrent layer take its parameters from where they are now."""
    names: list[str] = module._flat_weights_names  # type: ignore[assignment]
    vars(module)["_flat_weights"] = [getattr(module, name) for name in names]


def _forget(module: nn.Module, inputs: object = None, output: object = None) -> None:
    """Keep no tensor that was computed, which cannot be copied; without references torch does not look for them."""
    names: list[str] = module._flat_weights_names  # type: ignore[assignment]
    vars(module).update(_flat_weights=[None] * len(names), _flat_weight_refs=[None] * len(names))


def _borrow(module: nn.Module, inputs: object) -> None:
    if isinstance(module._buffers, Bound):
        module._buffers.borrow()


def _give_back(module: nn.Module, inputs: object, output: object) -> None:
    if isinstance(module._buffers, Bound):
        module._buffers.give_back()


def _load(module: nn.Module, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Write what is loaded to the shared tensors: torch copies it into what was cut."""
    for table in (module._parameters, module._buffers):
        if isinstance(table, Bound):
            for name, part in table.parts.items():
                value = state.get(prefix + name)
                if isinstance(value, Tensor) and value.shape == part.shape:
                    part.write(value)
