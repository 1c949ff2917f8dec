"""Random search: the baseline that every other strategy must beat.

Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization",
https://jmlr.org/papers/v13/bergstra12a.html; for architectures: Li and Talwalkar, "Random Search and
Reproducibility for Neural Architecture Search",
https://arxiv.org/abs/1902.07638.
"""

from __future__ import annotations

import logging
import math
import random
from typing import Literal, final

from lanista.errors import ExperimentError
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace, format_size
from lanista.strategy.base import Strategy
from lanista.trial import Trial

MISSES = 100
"""So many known draws in a row, and what is left of a finite space is looked at as a whole."""

MISSES_INFINITE = 100_000
"""So many known draws in a row, and an infinite space counts as exhausted (a range of a few floats, say)."""

LISTED = 1_000_000
"""A space with limits is looked at as a whole only if it has no more architectures than this without them."""

log = logging.getLogger("lanista")


@final
class Random(Strategy):
    """Draws architectures at random, by default none of them twice.

    Args:
        dedup: propose each architecture once, unless it was observed before, and end when there is no other.
            False: independent draws, no end.
        uniform: over what a draw is uniform, `"decisions"` or `"architectures"`; see `SearchSpace.sample`.
            Where "decisions" keeps drawing what is known, as it does when a few architectures have nearly all
            of the probability, a draw without repeats is uniform over the architectures that are left.

    Raises:
        ExperimentError: `uniform` is neither.
    """

    def __init__(self, *, dedup: bool = True, uniform: Literal["decisions", "architectures"] = "decisions") -> None:
        if uniform not in ("decisions", "architectures"):
            raise ExperimentError(f"uniform is {uniform!r}; give 'decisions' or 'architectures'")
        self._dedup, self._uniform = dedup, uniform

    def __repr__(self) -> str:
        return f"Random(dedup={self._dedup}, uniform={self._uniform!r})"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew; raises SpaceError if `uniform` is "architectures" and the space is infinite."""
        space.sample(seed, uniform=self._uniform)  # raises where it cannot work, before anything is proposed
        self._space, self._rng = space, random.Random(seed)
        self._known: set[str] = set()
        self._rest: list[Architecture] | None = None

    def propose(self) -> Architecture:
        """A draw; StopIteration, and a line in the log, when nothing new is left."""
        if not self._dedup:
            return self._space.sample(self._rng, uniform=self._uniform)
        if self._rest is None:
            architecture = self._unknown()
            if architecture is not None:
                return architecture
            self._rest = self._remaining()
        while self._rest:
            architecture = self._rest.pop()
            if self._note(architecture):
                return architecture
        size = self._space.size
        if not self._listable:
            reason = f"the last {MISSES_INFINITE:,} draws gave nothing new"
        elif self._space.limits:
            reason = f"all {len(self._known):,} architectures within the limits are known"
        else:
            reason = f"all {format_size(size)} architectures of the space are known"
        log.info("random search ends: %s", reason)
        raise StopIteration(reason)

    def observe(self, trial: Trial) -> None:
        """Nothing is learnt, but that this architecture need not be proposed."""
        if self._dedup:
            self._note(trial.architecture)

    def _unknown(self) -> Architecture | None:
        """A new architecture by rejection, or None when it would take too long."""
        for misses in range(MISSES_INFINITE):
            if misses == MISSES and self._listable:
                break
            architecture = self._space.sample(self._rng, uniform=self._uniform)
            if self._note(architecture):
                return architecture
        # A draw over all architectures is new every second time at least, however skewed the space is. (Under limits
        # nobody knows how many there are.)
        while not self._space.limits and 2 * len(self._known) < self._space.size < math.inf:
            architecture = self._space.sample(self._rng, uniform="architectures")
            if self._note(architecture):
                return architecture
        return None

    def _note(self, architecture: Architecture) -> bool:
        """Whether `architecture` was unknown; it is known from now on."""
        before = len(self._known)
        self._known.add(self._space.key(architecture))
        return len(self._known) > before

    @property
    def _listable(self) -> bool:
        """Whether the whole space can be looked at, once."""
        return self._space.size <= LISTED if self._space.limits else math.isfinite(self._space.size)

    def _remaining(self) -> list[Architecture]:
        """What is left, in random order. Half of it is known, or it is not large."""
        if not self._listable:
            return []
        rest = [candidate for candidate in self._space.grid() if self._space.key(candidate) not in self._known]
        self._rng.shuffle(rest)
        return rest
