"""Local search.

White, Nolen and Savani, "Exploring the Loss Landscape in Neural Architecture Search",
https://arxiv.org/abs/2005.02960, algorithm 1, with the first improvement in place of the best.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import final

from lanista.objective import dominates
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.strategy.random import Random
from lanista.trial import State, Trial

Scores = tuple[float, ...]


@final
class LocalSearch(Strategy):
    """Climbs: looks at the neighbours of an architecture in random order, and goes to the first that is better.

    Neighbours are those of `SearchSpace.neighbours`. Where none is better, the search begins again at a random
    architecture. Nothing is proposed twice: a known neighbour is gone to, or passed by, at once. So the search
    ends when all architectures are known.

    While trials run in parallel, further neighbours are proposed. When all of them are out and none was better yet,
    the search begins again; a better one that ends later is gone to all the same, if it beats what was
    reached in the meantime. Failed and pruned trials are no improvements. With several objectives, better means:
    dominates.

    Trials that were not proposed here count as starts: one that beats the present architecture takes its place.
    """

    def __repr__(self) -> str:
        return "LocalSearch()"

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, at a random architecture."""
        self._space, self._rng = space, random.Random(seed)
        self._starts = Random()
        self._starts.reset(space, self._rng.getrandbits(32))
        self._known: dict[str, Scores | None] = {}  # None: proposed and not completed
        self._origins: dict[str, Scores] = {}  # of each open neighbour, the scores of the architecture it is next to
        self._scores: Scores | None = None  # of the present architecture; None: a start is awaited
        self._ahead: Iterator[Architecture] = iter(())

    def propose(self) -> Architecture:
        """An unknown neighbour of the present architecture, or a random start."""
        neighbour = next(self._ahead, None)
        while neighbour is not None and self._scores is not None:
            key = self._space.key(neighbour)
            if key not in self._known:
                self._known[key], self._origins[key] = None, self._scores
                return neighbour
            known = self._known[key]
            if known is not None and dominates(known, self._scores):
                self._go(neighbour, known)
            neighbour = next(self._ahead, None)
        self._scores = None
        start = self._starts.propose()
        while (key := self._space.key(start)) in self._known:
            start = self._starts.propose()
        self._known[key] = None
        return start

    def observe(self, trial: Trial) -> None:
        """Go to what is better than the present architecture, and than the one that it is a neighbour of."""
        key = self._space.key(trial.architecture)
        origin = self._origins.pop(key, None)
        if trial.state is not State.COMPLETED:
            self._known.setdefault(key, None)
            return
        self._known[key] = trial.scores
        if all(dominates(trial.scores, other) for other in (origin, self._scores) if other is not None):
            self._go(trial.architecture, trial.scores)

    def _go(self, architecture: Architecture, scores: Scores) -> None:
        self._scores, self._ahead = scores, self._neighbours(architecture)

    def _neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """Those within the limits, in random order; each is made when it is needed."""
        moves = [
            (label, near)
            for label, value in architecture.items()
            for near in self._space[label].neighbours(value)
        ]  # fmt: skip
        self._rng.shuffle(moves)
        for label, near in moves:
            neighbour = self._space.complete({**architecture, label: near})
            if not self._space.violations(neighbour):
                yield neighbour
