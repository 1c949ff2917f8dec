"""Checks of what a user sets."""

from __future__ import annotations

from lanista.errors import ExperimentError


def count(name: str, value: object, least: int) -> int:
    """`value`, if it is an integer of at least `least`; raises ExperimentError else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ExperimentError(f"{name} is {value!r}; it must be an integer of at least {least}")
    return value
