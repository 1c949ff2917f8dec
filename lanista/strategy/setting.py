"""Checks of what a user sets on a strategy, made once, in its constructor."""

from __future__ import annotations

import math

from lanista.errors import ExperimentError
from lanista.space.domain import is_number


def count(name: str, value: object) -> int:
    """`value` if it is an integer of at least 1; raises ExperimentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ExperimentError(f"{name} is {value!r}; give an integer of at least 1")
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
