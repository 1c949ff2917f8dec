"""A strategy whose repeated proposals cost nothing."""

from __future__ import annotations

import logging
from collections import Counter
from typing import final

from lanista import setting
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace, format_size
from lanista.strategy.base import Strategy
from lanista.trial import Trial

log = logging.getLogger("lanista")


@final
class Deduplicated(Strategy):
    """Lets each architecture through once. A repeat is answered with the result that is known already.

    To the inner strategy it looks as if each of its proposals were evaluated: for a repeat it observes the
    trial of the first time once more, at once if that has ended, else when it ends. So evolution ages and
    reinforcement learning gets its reward as without the wrapper, only that no time is spent.

    The search ends when every architecture of the space is known, when the inner one ends, or when `patience`
    proposals in a row were repeats; the reason is logged.

    Args:
        strategy: the inner strategy.
        patience: how often in a row the inner strategy is asked, at least 1.

    Raises:
        ExperimentError: `patience` is not an integer of at least 1.
    """

    def __init__(self, strategy: Strategy, *, patience: int = 1000) -> None:
        self._strategy, self._patience = strategy, setting.count("patience", patience)

    def __repr__(self) -> str:
        return f"Deduplicated({self._strategy!r}, patience={self._patience})"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, the inner strategy too."""
        self._strategy.reset(space, seed)
        self._space = space
        self._known: dict[str, Trial | None] = {}  # None: proposed and not ended
        self._owed: Counter[str] = Counter()  # repeats of what has not ended
        self._end = ""

    def propose(self) -> Architecture:
        """The first proposal of the inner strategy that is new."""
        if not self._end and len(self._known) >= self._space.size:
            self._stop(f"all {format_size(self._space.size)} architectures of the space are known")
        for _ in range(0 if self._end else self._patience):
            architecture = self._strategy.propose()
            key = self._space.key(architecture)
            if key not in self._known:
                self._known[key] = None
                return architecture
            trial = self._known[key]
            if trial is None:
                self._owed[key] += 1
            else:
                self._strategy.observe(trial)
        if not self._end:
            self._stop(f"{self._patience:,} proposals in a row were repeats; a greater patience goes on for longer")
        raise StopIteration(self._end)

    def observe(self, trial: Trial) -> None:
        """Pass `trial` on, once for each time that its architecture was proposed so far."""
        key = self._space.key(trial.architecture)
        self._known[key] = trial
        for _ in range(1 + self._owed.pop(key, 0)):
            self._strategy.observe(trial)

    def _stop(self, reason: str) -> None:
        self._end = reason
        log.info("%r ends: %s", self, reason)
