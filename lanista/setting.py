"""Checks of what a user sets on a strategy or scheduler, made once, in its constructor; and how it is shown."""

from __future__ import annotations

import math
import re

from lanista.errors import ExperimentError
from lanista.space.domain import is_integer, is_number


def count(name: str, value: object, least: int = 1) -> int:
    """`value` if it is an integer of at least `least`; raises ExperimentError otherwise."""
    if not is_integer(value) or value < least:
        raise ExperimentError(f"{name} is {value!r}; give an integer of at least {least}")
    return value


def probability(name: str, value: float, otherwise: str = "") -> float:
    """`value` if it is a number in (0, 1]; raises ExperimentError otherwise, which offers `otherwise` too."""
    if not is_number(value) or not 0 < value <= 1:
        raise ExperimentError(
            f"{name} is {value!r}; give a number above 0 and at most 1{otherwise and ', or ' + otherwise}"
        )
    return value


def positive(name: str, value: float) -> float:
    """`value` if it is a finite number above 0; raises ExperimentError otherwise."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ExperimentError(f"{name} is {value!r}; give a number above 0")
    return value


def name(function: object) -> str:
    """What a function is called in a `__repr__`: without its address in memory, which no resumed search would share."""
    qualified = getattr(function, "__qualname__", None)
    return qualified if isinstance(qualified, str) else re.sub(r" at 0x[0-9a-fA-F]+", "", repr(function))
