"""Grid search: every architecture, once."""

from __future__ import annotations

import logging
import math
from typing import final

from lanista import setting
from lanista.errors import SpaceError
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical
from lanista.space.search import SearchSpace, format_size
from lanista.strategy.base import Strategy
from lanista.strategy.random import Random
from lanista.trial import Trial

log = logging.getLogger("lanista")


@final
class GridSearch(Strategy):
    """Proposes all architectures of a space, each once, and ends. Those that it observed before are left out.

    Args:
        shuffle: in random order, every order equally likely. False: in the order of `SearchSpace.grid`, the
            last decision changing fastest. Neither makes a list of the whole grid at the start.
        granularity: how many evenly spaced values stand for a continuous range, both ends included; needed if
            there is one.

    Raises:
        ExperimentError: `granularity` is not an integer of at least 1.
    """

    def __init__(self, *, shuffle: bool = False, granularity: int | None = None) -> None:
        self._shuffle = shuffle
        self._granularity = None if granularity is None else setting.count("granularity", granularity)

    def __repr__(self) -> str:
        return f"GridSearch(shuffle={self._shuffle}, granularity={self._granularity})"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew; raises SpaceError if there is a continuous range and no granularity."""
        self._space = _finite(space, self._granularity)
        self._ordered = self._space.grid()
        # A random order: only when half of the grid is done is the other half listed.
        self._shuffled = Random(uniform="architectures")
        self._shuffled.reset(self._space, seed)
        self._observed: set[str] = set()

    def propose(self) -> Architecture:
        """The next one; StopIteration, and a line in the log, after the last."""
        if self._shuffle:
            return self._shuffled.propose()
        for architecture in self._ordered:
            if self._space.key(architecture) not in self._observed:
                return architecture
        count = "" if self._space.limits else f"{format_size(self._space.size)} "
        within = " that keep the limits" if self._space.limits else ""
        reason = f"all {count}architectures of the grid{within} were tried"
        log.info("grid search ends: %s", reason)
        raise StopIteration(reason)

    def observe(self, trial: Trial) -> None:
        """Nothing is learnt, but that this architecture need not be proposed."""
        self._observed.add(self._space.key(trial.architecture))
        self._shuffled.observe(trial)


def _finite(space: SearchSpace, granularity: int | None) -> SearchSpace:
    """The space with `granularity` values in place of each continuous range."""
    decisions = []
    for decision in space:
        domain = decision.domain
        if math.isinf(domain.size):
            if granularity is None:
                raise SpaceError(
                    f"decision {decision.label!r} is {domain.describe()}; a grid must know "
                    "how many values of a range to try: GridSearch(granularity=5) tries 5, evenly spaced"
                )
            # A range of a few floats may have fewer values than that.
            domain = Categorical(dict.fromkeys(domain.grid(granularity)))
        decisions.append(Decision(decision.label, domain, decision.when))
    return SearchSpace(decisions, limits=space.limits)
