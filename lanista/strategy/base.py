"""The contract between a search algorithm and the experiment that drives it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.trial import Trial


class Strategy(ABC):
    """Chooses which architectures to try.

    An experiment calls `reset` once, then `propose` and `observe` in any order: with parallel trials several
    proposals are open at once, and they are observed in the order in which they end. A proposal that was interrupted
    for good is never observed. All calls come from one thread.

    The state must follow from the space, the seed and the calls alone: an experiment is resumed by replaying its
    history against a fresh strategy, which must then propose the same again. So: a generator of one's own, seeded in
    `reset`; no clock; no global state; no iteration over sets of strings.
    """

    @abstractmethod
    def reset(self, space: SearchSpace, seed: int) -> None:
        """Forget everything and begin a search of `space`."""

    @abstractmethod
    def propose(self) -> Architecture:
        """The next architecture to try, in canonical form.

        Raises:
            StopIteration: there is nothing left to try, whatever may still be observed.
        """

    @abstractmethod
    def observe(self, trial: Trial) -> None:
        """Take note of an ended trial.

        A completed one has `scores`, one number for each objective, greater is better, whatever the direction in
        which the user thinks. A failed or pruned one has none: that is information too, and must be survived.
        """
