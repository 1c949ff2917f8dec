"""`measure`: a user's function as a measure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import fsum, isclose
from typing import Any

from torch import nn

from lanista.errors import SpaceError
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import inputs_of
from lanista.space.domain import is_number


@dataclass(frozen=True, repr=False)
class Own(Measure):
    """What `measure` makes.

    Attributes:
        name: as given.
        function: as given.
        split: as given for `parts`.
        unit: as given.
    """

    name: str
    function: Callable[..., float | Measurement]
    split: Callable[..., Mapping[str, float]] | None
    unit: str
    _example: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_example", _takes_example(self.name, self.function))
        if self.split is not None and _takes_example(self.name, self.split) != self._example:
            raise SpaceError(f"function and parts of the measure {self.name!r} take different arguments")

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        found = self._called(self.function, model, example_input)
        if isinstance(found, Measurement):
            return found
        if not is_number(found):
            raise SpaceError(f"the measure {self.name!r} returned {found!r}; it must return a number or a Measurement")
        return Measurement(float(found), 0.0, self.unit)

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float] | None:
        if self.split is None:
            return None
        parts: Mapping[str, float] = self._called(self.split, model, example_input)
        value = self(model, example_input).value
        if not isclose(fsum(parts.values()), value, rel_tol=1e-6):
            raise SpaceError(
                f"the parts of the measure {self.name!r} sum to {fsum(parts.values())}, but its value is {value}"
            )
        return parts

    def _called(self, function: Callable[..., Any], model: nn.Module, example_input: Example) -> Any:
        if not self._example:
            return function(model)
        inputs_of(example_input, self.name)
        return function(model, example_input)

    def __repr__(self) -> str:
        unit = f", unit={self.unit!r}" if self.unit else ""
        return f"measure({self.name!r}, {_title(self.function)}{unit})"


def measure(
    name: str,
    function: Callable[..., float | Measurement],
    unit: str = "",
    *,
    parts: Callable[..., Mapping[str, float]] | None = None,
) -> Measure:
    """A measure from a function: `measure("depth", depth_of) <= 12` is a limit.

    Args:
        name: a word for tables and messages. It is how the measure is known again in a stored experiment, as is the
            function's name; the function itself is not compared.
        function: `function(model)` or `function(model, example_input)`; returns a number, or a `Measurement` where it
            knows an error. It gets the example input if it has a parameter of that name, or a second one without
            default. The model may be on the meta device, and is to be left as it was.
        unit: what the number is counted in.
        parts: gives what each module adds, by its path, where the measure is a sum; takes what `function` takes.

    Raises:
        SpaceError: a function cannot be called so.
    """
    return Own(name, function, parts, unit)


def _takes_example(name: str, function: Callable[..., Any]) -> bool:
    if not callable(function):
        raise SpaceError(f"the measure {name!r} got {function!r}; give a function(model) or (model, example_input)")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # a builtin without a signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if (not positional and not takes_any) or len(needed) > 2:
        raise SpaceError(
            f"the measure {name!r} is called as function(model) or function(model, example_input), but {function!r} "
            f"takes ({', '.join(map(str, parameters))}); bind the other arguments with functools.partial"
        )
    return len(needed) == 2 or (len(positional) > 1 and positional[1].name == "example_input")


def _title(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__
