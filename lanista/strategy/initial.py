"""A strategy that begins with architectures of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from lanista.errors import ArchitectureError
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.trial import Trial


@final
class Initial(Strategy):
    """Proposes the given architectures first, in their order, and then what the inner strategy proposes.

    The inner strategy observes all trials, so it learns from these. It may propose one of them again: wrap the
    whole in `Deduplicated` where it does not keep from that itself.

    Args:
        strategy: the inner strategy.
        architectures: mappings of labels to values, in any form that `SearchSpace.validate` reads. One that is
            given twice is proposed twice.
    """

    def __init__(self, strategy: Strategy, architectures: Iterable[Mapping[str, object]]) -> None:
        self._strategy, self._architectures = strategy, [dict(architecture) for architecture in architectures]

    def __repr__(self) -> str:
        return f"Initial({self._strategy!r}, {self._architectures!r})"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, the inner strategy too.

        Raises:
            ArchitectureError: an architecture is not one of the space, or misses a limit.
        """
        self._ahead = [_checked(space, number, given) for number, given in enumerate(self._architectures)]
        self._ahead.reverse()
        self._strategy.reset(space, seed)

    def propose(self) -> Architecture:
        """The next of the given architectures; after the last, a proposal of the inner strategy."""
        return self._ahead.pop() if self._ahead else self._strategy.propose()

    def observe(self, trial: Trial) -> None:
        """Pass `trial` on."""
        self._strategy.observe(trial)


def _checked(space: SearchSpace, number: int, given: Mapping[str, object]) -> Architecture:
    try:
        architecture = space.validate(given)
    except ArchitectureError as error:
        raise ArchitectureError(f"initial architecture {number} (counted from 0): {error}") from None
    missed = space.violations(architecture)
    if missed:
        raise ArchitectureError(
            f"initial architecture {number} (counted from 0), {architecture!r}, misses limits of the space: "
            f"{'; '.join(missed)}; change it, or loosen the limits"
        )
    return architecture
