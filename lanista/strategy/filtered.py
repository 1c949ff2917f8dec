"""A strategy that may only propose what fulfils a condition, such as a bound on latency."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import final

from lanista import setting
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial

REFUSED = -1
"""Number of the trial by which the inner strategy learns of a refusal; an experiment counts from 0."""

log = logging.getLogger("lanista")


@final
class Filtered(Strategy):
    """Lets those architectures through of which `predicate` is true.

    For each of the others the inner strategy observes, at once, a failed trial with number -1 and an error
    that begins with "filtered": none of its proposals stays without an answer, and it can learn to avoid what
    fails.

    The search ends when the inner strategy ends, or when `patience` proposals in a row were refused; the
    reason is logged.

    Args:
        strategy: the inner strategy.
        predicate: tells from an architecture in canonical form whether to try it. Equal architectures must
            get equal answers, also in a later process that resumes the search; what it raises ends the
            search.
        patience: how often in a row the inner strategy is asked, at least 1. Around a GridSearch, make it
            greater than the longest run of refused neighbours.

    Raises:
        ExperimentError: `patience` is not an integer of at least 1.
    """

    def __init__(self, strategy: Strategy, predicate: Callable[[Architecture], bool], *, patience: int = 1000) -> None:
        self._strategy, self._predicate = strategy, predicate
        self._patience = setting.count("patience", patience)

    def __repr__(self) -> str:
        return f"Filtered({self._strategy!r}, {setting.name(self._predicate)}, patience={self._patience})"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, the inner strategy too."""
        self._strategy.reset(space, seed)
        self._end = ""

    def propose(self) -> Architecture:
        """The first proposal of the inner strategy that fulfils the condition."""
        for _ in range(0 if self._end else self._patience):
            architecture = self._strategy.propose()
            if self._predicate(architecture):
                return architecture
            self._strategy.observe(
                Trial(
                    number=REFUSED,
                    architecture=architecture,
                    state=State.FAILED,
                    error=f"filtered: {setting.name(self._predicate)} is false",
                )
            )
        if not self._end:
            self._end = (
                f"{setting.name(self._predicate)} refused {self._patience:,} proposals in a row; a greater patience "
                "or a weaker condition goes on for longer"
            )
            log.info("%r ends: %s", self, self._end)
        raise StopIteration(self._end)

    def observe(self, trial: Trial) -> None:
        """Pass `trial` on."""
        self._strategy.observe(trial)
