"""Modules built again with other arguments of their constructor."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lanista.errors import InvalidMutation

_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_SKIPPED = {"device", "dtype"}
_BOOKKEEPING = {"training", "_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs"}


def arguments(module: nn.Module) -> dict[str, Any]:
    """The arguments that build a module like this one, read from its attributes of the same names, and verified.

    Raises:
        InvalidMutation: they cannot be read, or do not build such a module.
    """
    kind = type(module)
    found: dict[str, Any] = {}
    for parameter in _parameters(kind):
        value = getattr(module, parameter.name, parameter.default)
        if parameter.name == "bias" and not isinstance(value, bool):
            value = value is not None
        if value is parameter.empty:
            raise _refusal(module, f"it has no attribute {parameter.name!r}")
        found[parameter.name] = value
    with torch.device("meta"):
        difference = _difference(built(kind, found), module)
    if difference:
        raise _refusal(module, f"a {kind.__name__} built from its attributes has another {difference}")
    return found


def rebuilt(module: nn.Module, changes: Mapping[str, Any]) -> nn.Module:
    """A module like `module`, with some arguments of its constructor changed; itself, if they are as they were.

    Weights are those of `module` where all shapes stay, and new otherwise.

    Raises:
        InvalidMutation: an argument is unknown, or refused by the constructor; or see `arguments`.
    """
    kind = type(module)
    known = arguments(module)
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise InvalidMutation(f"{kind.__name__} has no argument {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    wanted = {**known, **changes}
    with torch.device("meta"):
        if _difference(built(kind, wanted), module) is None:
            return module
    new = built(kind, wanted)
    state = module.state_dict()
    if {name: value.shape for name, value in new.state_dict().items()} == {n: v.shape for n, v in state.items()}:
        new.load_state_dict(state)
    modes = {name: part.training for name, part in module.named_modules()}
    for name, part in new.named_modules():
        part.training = modes.get(name, module.training)
    for name, value in vars(module).items():
        if name not in vars(new):  # the user's own notes, such as a label
            setattr(new, name, value)
    return new


def built(kind: Callable[..., Any], given: Mapping[str, Any]) -> nn.Module:
    """Call a constructor; raises InvalidMutation if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module: nn.Module = kind(**given)
        except _FAULTS as error:
            text = ", ".join(f"{name}={value!r}" for name, value in given.items())
            name = getattr(kind, "__name__", repr(kind))
            raise InvalidMutation(f"{name}({text}) cannot be built: {type(error).__name__}: {error}") from error
    return module


def _parameters(kind: type[nn.Module]) -> list[inspect.Parameter]:
    # RNN, LSTM and GRU hide their arguments behind overloads; the base class names them.
    source = nn.RNNBase if issubclass(kind, nn.RNNBase) else kind
    skipped = _SKIPPED | ({"mode"} if source is nn.RNNBase else set())
    parameters = list(inspect.signature(source.__init__).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p for p in parameters if p.kind in named and p.name not in skipped and not p.name.startswith("_")]


def _difference(new: nn.Module, module: nn.Module) -> str | None:
    """What makes a module another one than `module`, weights aside; None if nothing does."""
    for name, (one, other) in {
        "class": (type(new), type(module)),
        "list of tensors": (_shapes(new), _shapes(module)),
        "description": (repr(new), repr(module)),
    }.items():
        if one != other:
            return name
    theirs = vars(module)
    for name, value in vars(new).items():
        if name in _BOOKKEEPING or isinstance(value, Tensor):
            continue
        if name not in theirs or not _equal(theirs[name], value):
            return f"attribute {name!r}"
    return None


def _equal(one: object, other: object) -> bool:
    plain = (bool, int, float, str, tuple, list, dict, type(None))
    return one == other if isinstance(one, plain) or isinstance(other, plain) else type(one) is type(other)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.shape for name, tensor in tensors if not isinstance(tensor, nn.UninitializedParameter)}


def _refusal(module: nn.Module, reason: str) -> InvalidMutation:
    kind = type(module).__name__
    return InvalidMutation(
        f"the arguments of this {kind} cannot be read back: {reason}; give the whole module instead, "
        f"node.replace(lambda: {kind}(...))"
    )
