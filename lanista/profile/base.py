"""`Measure`: what a model costs, before it is trained."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lanista.model import ModelSpace, Quantity
from lanista.profile.attribution import Unlearnable, learn
from lanista.space.domain import Architecture
from lanista.space.limit import Cost, Function

log = logging.getLogger("lanista")

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
        number = f"{self.value:,.0f}" if float(self.value).is_integer() else f"{self.value:,.4g}"
        spread = f" ± {self.error:.2g}" if self.error else ""
        return f"{number}{spread} {self.unit}".rstrip()


class Measure(Quantity):
    """Something that a model costs, as a function of the built model and an example input.

    Calling it measures one model. Comparing it with a number makes a limit: `parameters <= 5e6`.
    Measures are stateless or know only how they measure.

    Attributes:
        repeatable: whether equal models give equal values at each call, in each process. An experiment writes down
            what a limit measured, so that it can be resumed where this is False.
    """

    repeatable: bool = True

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

    def cost(self, space: ModelSpace) -> Cost:
        """The measure as a function of architectures: a sum over decisions where it is one, else as measured.

        Otherwise a model is built, once for each architecture: without weights, where the measure has `parts`, else
        with weights of seed 0.
        """

        def parts(architecture: Architecture) -> Mapping[str, float] | None:
            sketch = space.sketch(space.decisions.complete(architecture))
            return self.parts(sketch, space.example_input)

        def summed(architecture: Architecture) -> float:
            return math.fsum((parts(architecture) or {}).values())

        def measured(architecture: Architecture) -> float:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(0)  # where weights matter, an architecture has one value still
                model = space.build(space.decisions.complete(architecture))
                return self(model, space.example_input).value

        def function(amount: Callable[[Architecture], float]) -> Function:
            labels, repeatable = space.decisions.labels, self.repeatable
            return Function(self.name, amount, unit=self.unit, cheap=False, repeatable=repeatable, labels=labels)

        if parts(space.decisions.default()) is None:
            return function(measured)
        if not self.repeatable:
            log.warning(
                "%s is measured while it is learnt, and comes out differently in another process: an experiment under "
                "a limit on it cannot be resumed; save the table, and load it frozen",
                self.name,
            )
        try:
            return learn(space.decisions, lambda architecture: parts(architecture) or {}, self.name, self.unit)
        except Unlearnable as reason:
            log.info("%s is no sum over decisions, and is measured for each architecture: %s", self.name, reason)
            return function(summed)

    def __repr__(self) -> str:
        return self.name
