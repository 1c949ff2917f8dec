"""Predictor-guided search.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture
Search", https://arxiv.org/abs/1910.11858, algorithm 1.
"""

from __future__ import annotations

import random
from typing import final

import numpy as np

from lanista import setting
from lanista.errors import SpaceError
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.strategy.ensemble import predicted, squares
from lanista.strategy.random import Random
from lanista.strategy.standing import Vector, normal, standings
from lanista.trial import Trial

STEPS = 10
"""How many mutations in a row lead away from a parent in search of something unknown."""

DIGITS = 6
"""Samples are compared to so many decimals: sums are rounded otherwise with another number of threads."""


@final
class BANANAS(Strategy):
    """Predicts how good architectures are, and proposes the most promising ones near the best that were seen.

    An ensemble of predictors is fitted to the trials that ended. Candidates are small mutations of the best
    trials, and random architectures. Of the score that the ensemble predicts for each, a value is drawn
    (independent Thompson sampling), and those with the greatest are proposed.

    In place of the paper's neural networks, the predictors are Gaussian processes (what ensembles of wide networks
    approach) on `SearchSpace.encode`, some smooth and some rough, weighted by how well each explains the trials. They
    predict ranks, as normal quantiles, so that scores may have any scale. With several objectives a trial's rank
    is how many it dominates, less how many dominate it. Failed and pruned trials rank below all others.

    Nothing is proposed twice, nor what was observed before; the search ends when all architectures are known.

    Args:
        initial: architectures are random until so many trials ended, at least 1.
        refit: the predictors are fitted again after so many further trials, at least 1.
        parents: how many of the best trials are mutated, at least 1.
        mutations: how many candidates are mutations, at least 1.
        draws: how many candidates are random architectures, at least 1.
        memory: how many trials are fitted to, at least 1. When there are a quarter more, random ones of the worse half
            are forgotten, so that time per proposal does not grow any more.

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(
        self,
        *,
        initial: int = 10,
        refit: int = 5,
        parents: int = 10,
        mutations: int = 100,
        draws: int = 20,
        memory: int = 400,
    ) -> None:
        self._initial, self._refit = setting.count("initial", initial), setting.count("refit", refit)
        self._parents, self._mutations = setting.count("parents", parents), setting.count("mutations", mutations)
        self._draws, self._memory = setting.count("draws", draws), setting.count("memory", memory)

    def __repr__(self) -> str:
        return (
            f"BANANAS(initial={self._initial}, refit={self._refit}, parents={self._parents}, "
            f"mutations={self._mutations}, draws={self._draws}, memory={self._memory})"
        )

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, without any trial."""
        self._space, self._rng = space, random.Random(seed)
        self._fresh = Random()
        self._fresh.reset(space, self._rng.getrandbits(32))
        # A number in [0, 1] shall count as much as a category: mean squared differences are 1/6 and about 3/2.
        widths = [(bool(decision.when), decision.domain.width) for decision in space]
        self._weights = np.array([w for when, n in widths for w in [1.0] * when + [3.0 if n == 1 else 1.0] * n])
        codes = self._codes([space.sample(self._rng) for _ in range(50)])
        self._typical = float(squares(codes, codes).mean()) or 1.0
        self._known: set[str] = set()
        self._trials: list[Trial] = []
        self._news = 0  # trials since the last fit
        self._queue: list[Architecture] = []  # candidates, the most promising last

    def propose(self) -> Architecture:
        """The most promising candidate that is unknown; at first, and when there is none, a random architecture."""
        if len(self._trials) >= self._initial and (self._news >= self._refit or not self._queue):
            self._queue, self._news = self._candidates(), 0
        while self._queue:
            architecture = self._queue.pop()
            if self._note(architecture):
                return architecture
        while not self._note(architecture := self._fresh.propose()):
            pass
        return architecture

    def observe(self, trial: Trial) -> None:
        """Keep the trial for the next fit."""
        self._note(trial.architecture)
        self._trials.append(trial)
        self._news += 1
        if len(self._trials) > 1.25 * self._memory:
            order = np.argsort(standings([trial.scores for trial in self._trials]), kind="stable").tolist()
            worse = order[: max(len(order) // 2, len(order) - self._memory)]
            forgotten = set(self._rng.sample(worse, len(order) - self._memory))
            self._trials = [trial for i, trial in enumerate(self._trials) if i not in forgotten]

    def _note(self, architecture: Architecture) -> bool:
        """Whether `architecture` was unknown; it is known from now on."""
        before = len(self._known)
        self._known.add(self._space.key(architecture))
        return len(self._known) > before

    def _candidates(self) -> list[Architecture]:
        """Unknown architectures, ordered by Thompson sampling, the best last."""
        targets = normal(standings([trial.scores for trial in self._trials]))
        best = [self._trials[i].architecture for i in np.argsort(-targets, kind="stable")[: self._parents]]
        found: dict[str, Architecture] = {}
        for _ in range(self._mutations):
            candidate = self._rng.choice(best)
            for _ in range(STEPS):
                try:
                    candidate = self._space.mutate(candidate, self._rng)
                except SpaceError:  # nothing can change
                    break
                if self._space.key(candidate) not in self._known:
                    break
            found[self._space.key(candidate)] = candidate
        for _ in range(self._draws):
            candidate = self._space.sample(self._rng)
            found[self._space.key(candidate)] = candidate
        unknown = [candidate for key, candidate in found.items() if key not in self._known]
        if not unknown:
            return unknown
        codes = self._codes([trial.architecture for trial in self._trials])
        means, deviations = predicted(codes, targets, self._codes(unknown), self._typical)
        sampled = means + deviations * np.array([self._rng.gauss() for _ in unknown])
        return [unknown[i] for i in np.argsort(np.round(sampled, DIGITS), kind="stable")]

    def _codes(self, architectures: list[Architecture]) -> Vector:
        return np.asarray([self._space.encode(architecture) for architecture in architectures] * self._weights)
