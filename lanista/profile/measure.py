"""`Measure`: what a model costs, before it is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.space.domain import is_number

Example = Tensor | tuple[object, ...] | None
"""What a model is run on: one tensor, or a tuple of positional inputs; None where nobody gave any."""


@dataclass(frozen=True)
class Measurement:
    """A measured cost.

    Attributes:
        value: the cost; of repeated measurements, the median.
        error: half of the spread that the middle half of repeated measurements has; 0 where the cost is exact.
        unit: what value and error are counted in; empty for plain numbers.
    """

    value: float
    error: float
    unit: str

    def __str__(self) -> str:
        number = f"{self.value:,.0f}" if self.value == int(self.value) else f"{self.value:,.4g}"
        spread = f" ± {self.error:.2g}" if self.error else ""
        return f"{number}{spread} {self.unit}".rstrip()


@dataclass(frozen=True)
class Bound:
    """A limit on a measure, such as `parameters <= 5e6`; `ModelSpace.constrain` takes it.

    Attributes:
        measure: what is limited.
        least: the least value allowed, or None.
        most: the greatest value allowed, or None.
    """

    measure: Measure
    least: float | None
    most: float | None


class Measure(ABC):
    """Something that a model costs, as a function of the built model and an example input.

    Calling it measures one model. Comparing it with a number makes a limit: `parameters <= 5e6`.
    Measures are stateless or know only how they measure; equal models give equal values, but for latency and energy.

    Attributes:
        name: a word, for tables and messages.
        unit: what it is counted in; empty for plain numbers.
    """

    name: str
    unit: str = ""

    @abstractmethod
    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        """Measure a model, which may be on the meta device where the measure does not run it; it is left as it was.

        Raises:
            SpaceError: there is no example input and the measure needs one.
        """

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float] | None:
        """What each part of the model adds, by the module's path (empty: the model itself); it sums to the value.

        None (the default) where the measure is not a sum over parts. It is how limits are kept exactly: see
        `ModelSpace.constrain`.
        """
        return None

    def __le__(self, most: float) -> Bound:
        return Bound(self, None, self._number(most))

    def __ge__(self, least: float) -> Bound:
        return Bound(self, self._number(least), None)

    def _number(self, value: float) -> float:
        if not is_number(value):
            raise SpaceError(
                f"{self.name} is compared with {value!r}; give a number{f' of {self.unit}' * bool(self.unit)}"
            )
        return float(value)

    def __repr__(self) -> str:
        return self.name
