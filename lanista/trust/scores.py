"""Lists of scores as they come in: checked once, and their best."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lanista.errors import LanistaError, MetricError
from lanista.trust.rank import Array


def numbers(name: str, values: ArrayLike, length: int | None = None) -> Array:
    """A list of finite numbers as an array.

    Raises:
        MetricError: it is none, it is empty, or it does not have `length` numbers.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MetricError(f"{name} is not a list of numbers: {error}") from error
    if array.ndim != 1 or not array.size:
        raise MetricError(f"{name} has shape {array.shape}; give a list with one number for each architecture")
    if length is not None and len(array) != length:
        raise MetricError(f"{name} has {len(array)} numbers, but real has {length}; give one for each architecture")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise MetricError(
            f"{name} has {wrong.size} of {array.size} values that are not finite numbers, the first at index "
            f"{wrong[0]} ({array[wrong[0]]}); leave out architectures that failed, or give them the worst score"
        )
    return array


def check_share(name: str, value: float) -> None:
    """Raises LanistaError unless the value lies between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise LanistaError(f"{name} is {value!r}; it must lie between 0 and 1, such as 0.2 for 20 %")


def in_top(real: Array, share: float) -> NDArray[np.bool_]:
    """Which architectures are among the best `share` by real score, rounded up, with all that tie at the border."""
    least = np.sort(real)[-math.ceil(round(share * len(real), 9))]
    return np.asarray(real >= least)
