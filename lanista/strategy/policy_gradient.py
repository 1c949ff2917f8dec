"""Reinforcement learning: a recurrent policy that answers one question after another, trained by PPO.

Policy: Zoph and Le, "Neural Architecture Search with Reinforcement Learning", https://arxiv.org/abs/1611.01578.
Training: Schulman et al., "Proximal Policy Optimization Algorithms", https://arxiv.org/abs/1707.06347, equation 7.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from lanista import setting
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.strategy.question import question
from lanista.strategy.standing import Vector, standings
from lanista.trial import Trial

REDRAWS = 20
"""How many architectures in a row may miss a limit before the last one is moved into the limits."""

WINDOW, DECAY = 100, 0.8
"""A reward is relative to so many trials before the batch; what is left of their moving average after one."""

Walk = tuple[list[int], list[list[bool]], list[float]]


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
        self._questions = {decision.label: question(decision.domain, self._bins) for decision in space}
        self._parents = {parent for decision in space for clause in decision.when for parent in clause}
        weights = [row for asked in self._questions.values() for row in asked.weights] or [[1.0]]
        with torch.device("cpu"):  # whatever the user's default
            self._policy = _Policy(weights, self._hidden, self._rng.getrandbits(62))
        self._adam = torch.optim.Adam(self._policy.parameters(), lr=self._rate, fused=True)
        self._open: dict[str, Walk] = {}
        self._batch: list[Walk] = []
        self._recent: deque[tuple[float, ...]] = deque(maxlen=WINDOW + self._samples)
        self._baseline = 0.0

    def propose(self) -> Architecture:
        """A sample of the policy."""
        for _ in range(REDRAWS):
            architecture, walk = self._walk(None)
            if not self._space.violations(architecture):
                break
        else:
            architecture, walk = self._walk(self._space.repair(architecture, self._rng))
        self._open[self._space.key(architecture)] = walk
        return architecture

    def observe(self, trial: Trial) -> None:
        """Learn from the last `samples_per_update` trials, when there are so many new ones."""
        walk = self._open.pop(self._space.key(trial.architecture), None)
        self._batch.append(walk or self._walk(trial.architecture)[1])
        self._recent.append(trial.scores)
        if len(self._batch) == self._samples:
            self._update()
            self._batch.clear()

    def _walk(self, given: Architecture | None) -> tuple[Architecture, Walk]:
        """An architecture, drawn if none is given; for each step its answer, all allowed ones, and its log-probability.

        Where a decision does not exist, the answer is the first and only one.
        """
        architecture: Architecture = {}
        answers, masks, logs = list[int](), list[list[bool]](), list[float]()
        active = set(self._space.active(architecture))
        state = (np.zeros(self._hidden), np.zeros(self._hidden))
        for label, asked in self._questions.items():
            path = asked.taken(given[label]) if given is not None and label in active else None
            begin = len(answers)
            for _ in asked.weights:
                allowed = asked.allowed(answers[begin:]) if label in active else [True]
                logits, state = self._policy.step(len(answers), answers[-1:], state)
                logits = np.where(allowed, logits[: len(allowed)], -math.inf)
                chances = np.exp(logits - logits.max()).tolist()
                answer = path.pop(0) if path else self._rng.choices(range(len(allowed)), chances)[0]
                answers.append(answer)
                masks.append(allowed + [False] * (self._policy.options - len(allowed)))
                logs.append(float(logits[answer] - logits.max()) - math.log(sum(chances)))
            if label in active:
                architecture[label] = given[label] if given is not None else asked.value(answers[begin:], self._rng)
                if label in self._parents:
                    active = set(self._space.active(architecture))
        return architecture, (answers, masks, logs)

    def _update(self) -> None:
        answers, allowed, old = (torch.tensor(rows, device="cpu") for rows in zip(*self._batch, strict=True))
        rewards = standings(self._recent)[-self._samples :]
        advantages = torch.from_numpy(rewards - self._baseline).to(old.dtype)[:, None]
        self._baseline += (1 - DECAY) * float(rewards.mean() - self._baseline)
        for _ in range(self._epochs if self._questions else 0):
            new, entropies = self._policy(answers, allowed)
            ratio = (new - old).clamp(-20, 20).exp()
            surrogate = torch.minimum(ratio * advantages, ratio.clamp(1 - self._clip, 1 + self._clip) * advantages)
            loss = -(surrogate + self._entropy * entropies).sum(1).mean()
            self._adam.zero_grad()
            loss.backward()
            self._adam.step()


class _Policy(nn.Module):
    """An LSTM whose input is a question and the answer to the one before; its state weighs the options."""

    def __init__(self, weights: list[list[float]], hidden: int, seed: int) -> None:
        super().__init__()
        self.options = max(map(len, weights))
        self.questions = nn.Parameter(torch.empty(len(weights), hidden))
        self.answers = nn.Parameter(torch.empty(len(weights), self.options, hidden))
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True, device="meta").to_empty(device="cpu")
        own = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1, generator=own)
        self.head = nn.Parameter(torch.zeros_like(self.answers))
        self.bias = nn.Parameter(torch.tensor([row + [1.0] * (self.options - len(row)) for row in weights]).log())
        # The same memory, for single steps: there NumPy takes a tenth of torch's time.
        self._arrays = {name: parameter.detach().numpy() for name, parameter in self.named_parameters()}

    def forward(self, answers: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the answers' probabilities, and entropies of the choices, both (batch, steps)."""
        before = self.answers[torch.arange(answers.shape[1] - 1, device=answers.device), answers[:, :-1]]
        states, _ = self.lstm(self.questions + nn.functional.pad(before, (0, 0, 1, 0)))
        logits = (torch.einsum("bsh,soh->bso", states, self.head) + self.bias).masked_fill(~allowed, -1e9)
        logs = logits.log_softmax(-1)
        return logs.gather(-1, answers[..., None])[..., 0], -(logs.exp() * logs).sum(-1)

    def step(self, step: int, before: list[int], state: tuple[Vector, Vector]) -> tuple[Vector, tuple[Vector, Vector]]:
        """The weights of one step's options, as logits, and the next state; `before` has the last answer, if any."""
        arrays, (hidden, cell) = self._arrays, state
        inputs = arrays["questions"][step] + sum(arrays["answers"][step - 1, answer] for answer in before)
        gates = arrays["lstm.weight_ih_l0"] @ inputs + arrays["lstm.bias_ih_l0"]
        gates = gates + arrays["lstm.weight_hh_l0"] @ hidden + arrays["lstm.bias_hh_l0"]
        new = np.tanh(gates.reshape(4, -1)[2])
        enter, keep, _, leave = (1 + np.tanh(gates.reshape(4, -1) / 2)) / 2  # logistic functions
        cell = keep * cell + enter * new
        hidden = leave * np.tanh(cell)
        return arrays["head"][step] @ hidden + arrays["bias"][step], (hidden, cell)
