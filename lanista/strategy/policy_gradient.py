"""Reinforcement learning: a recurrent policy that answers one question after another, trained by PPO.

Policy: Zoph and Le, "Neural Architecture Search with Reinforcement Learning", https://arxiv.org/abs/1611.01578.
Training: Schulman et al., "Proximal Policy Optimization Algorithms", https://arxiv.org/abs/1707.06347, equation 7.
"""

from __future__ import annotations

import random
from collections import deque
from typing import final

import torch

from lanista import setting
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.strategy.policy import Policy, Walk
from lanista.strategy.standing import standings
from lanista.trial import Trial

WINDOW, DECAY = 100, 0.8
"""A reward is relative to so many trials before the batch; what is left of their moving average after one."""


@final
class PolicyBasedRL(Strategy):
    """Samples from an LSTM that answers the decisions in order, and makes good answers more likely.

    A category is one choice; a subset one for each option (in or out, where its bounds leave both); a range is cut
    into bins, and the value is uniform within the chosen one. At first choices are as likely as their priors say.

    After each `samples_per_update` ended trials, the clipped objective of PPO is maximised on them with Adam. The
    reward of a trial is its rank among the last ones, from -1 to 1 (with several objectives: the share that it
    dominates, less the share that dominate it): scores may have any scale. Failed and pruned ones rank below all
    others. The advantage is what exceeds a moving average of the rewards.

    Architectures may be proposed again, as in the papers: wrap it in `Deduplicated` to spend no trial twice. What
    misses a limit is drawn again some times, then moved into the limits. Trials that were not proposed here count as
    if they were drawn when they are observed.

    Args:
        samples_per_update: trials in a batch, at least 1.
        epochs: steps of Adam with each batch, at least 1.
        learning_rate: of Adam, above 0.
        clip: the paper's epsilon, in (0, 1].
        entropy: weight of the bonus for undecided answers, in (0, 1].
        hidden: width of the LSTM, at least 1.
        bins: into how many parts a range is cut, at least 1.

    Raises:
        ExperimentError: an argument is not in its range.
    """

    def __init__(
        self,
        *,
        samples_per_update: int = 10,
        epochs: int = 5,
        learning_rate: float = 0.0025,
        clip: float = 0.2,
        entropy: float = 0.01,
        hidden: int = 32,
        bins: int = 10,
    ) -> None:
        self._samples = setting.count("samples_per_update", samples_per_update)
        self._epochs, self._hidden = setting.count("epochs", epochs), setting.count("hidden", hidden)
        self._rate = setting.positive("learning_rate", learning_rate)
        self._clip, self._entropy = setting.probability("clip", clip), setting.probability("entropy", entropy)
        self._bins = setting.count("bins", bins)

    def __repr__(self) -> str:
        return (
            f"PolicyBasedRL(samples_per_update={self._samples}, epochs={self._epochs}, learning_rate={self._rate}, "
            f"clip={self._clip}, entropy={self._entropy}, hidden={self._hidden}, bins={self._bins})"
        )

    def reset(self, space: SearchSpace, seed: int) -> None:
        """Begin anew, with a policy that has learnt nothing."""
        self._space, self._rng = space, random.Random(seed)
        self._policy = Policy(space, bins=self._bins, hidden=self._hidden, seed=self._rng.getrandbits(62))
        self._adam = torch.optim.Adam(self._policy.parameters(), lr=self._rate, fused=True)
        self._open: dict[str, Walk] = {}
        self._batch: list[Walk] = []
        self._recent: deque[tuple[float, ...]] = deque(maxlen=WINDOW + self._samples)
        self._baseline = 0.0

    def propose(self) -> Architecture:
        """A sample of the policy."""
        architecture, walk = self._policy.draw(self._rng)
        self._open[self._space.key(architecture)] = walk
        return architecture

    def observe(self, trial: Trial) -> None:
        """Learn from the last `samples_per_update` trials, when there are so many new ones."""
        walk = self._open.pop(self._space.key(trial.architecture), None)
        self._batch.append(walk or self._policy.walk(trial.architecture, self._rng)[1])
        self._recent.append(trial.scores)
        if len(self._batch) == self._samples:
            self._update()
            self._batch.clear()

    def _update(self) -> None:
        answers, allowed, old = (torch.tensor(rows, device="cpu") for rows in zip(*self._batch, strict=True))
        rewards = standings(self._recent)[-self._samples :]
        advantages = torch.from_numpy(rewards - self._baseline).to(old.dtype)[:, None]
        self._baseline += (1 - DECAY) * float(rewards.mean() - self._baseline)
        for _ in range(self._epochs if len(self._space) else 0):
            new, entropies = self._policy(answers, allowed)
            ratio = (new - old).clamp(-20, 20).exp()
            surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - self._clip, 1 + self._clip) * advantages)
            loss = -(surrogate + self._entropy * entropies).sum(1).mean()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()
