"""A strategy that tries what it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.trial import Trial


@final
class Listed(Strategy):
    """Proposes the given architectures, in their order, and ends: to evaluate again, or with other means.

    Args:
        architectures: in any form that `SearchSpace.validate` reads; one that is there twice is evaluated twice, each
            time with another seed.
    """

    def __init__(self, architectures: Iterable[Mapping[str, object]]) -> None:
        self._architectures = [dict(architecture) for architecture in architectures]

    def __repr__(self) -> str:
        return f"Listed({len(self._architectures)} architectures)"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew; raises ArchitectureError if an architecture does not fit the space."""
        self._rest = [space.validate(architecture) for architecture in reversed(self._architectures)]

    def propose(self) -> Architecture:
        """The next one; StopIteration after the last."""
        if not self._rest:
            raise StopIteration(f"all {len(self._architectures)} architectures were proposed")
        return self._rest.pop()

    def observe(self, trial: Trial) -> None:
        """Nothing is learnt."""
