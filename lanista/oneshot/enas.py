"""ENAS: a recurrent controller, trained by REINFORCE, draws the paths.

Pham, Guan, Zoph, Le, Dean: Efficient Neural Architecture Search via Parameter Sharing. ICML 2018,
https://arxiv.org/abs/1802.03268
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import torch
from torch import Tensor

from lanista.errors import OneShotError
from lanista.oneshot.method import Judge, Loss, Method, checked_count
from lanista.oneshot.reduction import average, processes
from lanista.space.domain import Architecture
from lanista.strategy.policy import Policy

DRAWN = 256
"""How many architectures are drawn in search of the most probable ones, and to learn how probable options are."""


class ENAS(Method):
    """Trains paths that an LSTM draws, and the LSTM by how good paths are on validation data.

    In each step, `samples` architectures are drawn and evaluated on the validation batch without gradients, and the
    policy follows the gradient of (R - b) log pi + `entropy_weight` * H, where b is a moving average of the rewards R
    (the paper's section 2.2); then the weights are trained on one more architecture that is drawn. Models are in the
    supernet's mode throughout; a reward that needs another one may set it.

    Any decision will do: of a category one option is chosen, of a subset each option is in or out, and a range is cut
    into bins. Architectures keep the space's limits: what misses them is drawn again, or moved into them.

    Args:
        reward: of a model on a validation batch; None: the metric in `fit`, and minus the loss elsewhere.
        samples: how many architectures are evaluated in each step, at least 1. Each costs about a third of a step.
        learning_rate: of Adam, for the policy, above 0.
        entropy_weight: of the entropy of the policy's choices, at least 0.
        baseline_decay: what is left of the moving average after a reward, in [0, 1); it begins with the first one.
        hidden: width of the LSTM, at least 1.
        tanh_constant: the state moves logits by at most so much, above 0; None: by any amount.
        temperature: what logits are divided by before, above 0.
        bins: into how many parts a range is cut, at least 1.

    Attributes:
        policy: the controller.
        baseline: the moving average of rewards; None before the first one.

    Raises:
        OneShotError: an argument is out of range.
    """

    learns = True

    def __init__(  # noqa: PLR0913, by name
        self,
        *,
        reward: Judge | None = None,
        samples: int = 2,
        learning_rate: float = 3.5e-4,
        entropy_weight: float = 1e-4,
        baseline_decay: float = 0.999,
        hidden: int = 64,
        tanh_constant: float | None = 1.5,
        temperature: float = 1.0,
        bins: int = 10,
    ) -> None:
        counts = {"samples": samples, "hidden": hidden, "bins": bins}
        rates = {"learning_rate": learning_rate, "tanh_constant": tanh_constant or 1, "temperature": temperature}
        for name, value in {**counts, **rates}.items():
            if not 0 < value < math.inf or (name in counts and not isinstance(value, int)):
                raise OneShotError(
                    f"{name} is {value!r}; give {'an integer' if name in counts else 'a number'} above 0"
                )
        if not entropy_weight >= 0 or not 0 <= baseline_decay < 1:
            raise OneShotError(
                f"entropy_weight is {entropy_weight!r}, which must be at least 0, and baseline_decay is "
                f"{baseline_decay!r}, which must be at least 0 and below 1"
            )
        self.reward, self.samples, self.learning_rate, self.bins = reward, samples, learning_rate, bins
        self.entropy_weight, self.baseline_decay = entropy_weight, baseline_decay
        self.hidden, self.tanh_constant, self.temperature = hidden, tanh_constant, temperature

    def prepare(self) -> None:
        space = self.network.supernet.space.decisions
        if not len(space):
            raise OneShotError("the space has no decision, so that ENAS has nothing to learn")
        self.policy = Policy(
            space,
            bins=self.bins,
            hidden=self.hidden,
            seed=self.random("policy").getrandbits(62),
            temperature=self.temperature,
            bound=self.tanh_constant,
        )
        self.optimizer = torch.optim.Adam(self.policy.parameters(), self.learning_rate)
        self.baseline: float | None = None

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        architecture, _ = self.policy.draw(self.random("weights"))
        yield loss(self.network.sub(architecture), train)

    def learn(self, valid: Any, loss: Loss, optimizer: torch.optim.Optimizer, train: Any) -> None:
        random = self.random("policy")
        drawn = [self.policy.draw(random) for _ in range(self.samples)]
        rewards = self._rewards([architecture for architecture, _ in drawn], valid, loss)
        advantages = []
        for reward in rewards:
            baseline = reward if self.baseline is None else self.baseline
            self.baseline = self.baseline_decay * baseline + (1 - self.baseline_decay) * reward
            advantages.append(reward - self.baseline)
        answers, allowed, _ = (torch.tensor(rows, device="cpu") for rows in zip(*(w for _, w in drawn), strict=True))
        logs, entropies = self.policy(answers, allowed)
        gains = torch.tensor(advantages, device="cpu") * logs.sum(1) + self.entropy_weight * entropies.sum(1)
        self.optimizer.zero_grad()
        (-gains.mean()).backward()
        self.optimizer.step()

    def _rewards(self, architectures: list[Architecture], valid: Any, loss: Loss) -> list[float]:
        """Of each architecture, averaged over all processes."""
        found, reward = [], self.reward or self.judge
        for architecture in architectures:
            with torch.no_grad():
                model = self.network.sub(architecture)
                found.append(float(-loss(model, valid) if reward is None else reward(model, valid)))
        if processes() > 1:
            shared = torch.tensor(found, dtype=torch.float64, device=self.network.supernet.device)
            average([shared])
            found = shared.tolist()
        for architecture, value in zip(architectures, found, strict=True):
            if not math.isfinite(value):
                raise OneShotError(f"the reward of {architecture} is {value}; it must be a finite number")
        return found

    def best(self, k: int = 1) -> list[Architecture]:
        """The most probable ones of many that the policy draws, and of its likeliest answers one after another."""
        space, random = self.network.supernet.space.decisions, Random(self.seed)
        drawn = [self.policy.draw(random, likeliest=True)]
        drawn += [self.policy.draw(random) for _ in range(max(DRAWN, 20 * checked_count(k)))]
        found = {space.key(architecture): (sum(logs), architecture) for architecture, (_, _, logs) in drawn}
        ranked = sorted(found.items(), key=lambda entry: (-entry[1][0], entry[0]))
        return [architecture for _, (_, architecture) in ranked[:k]]

    def strengths(self) -> dict[str, list[list[float]]] | None:
        """How often options are drawn, of what can be mixed; None where nothing can."""
        relaxations, random = self.network.relaxations, Random(self.seed)
        if not relaxations:
            return None
        drawn = [self.policy.draw(random)[0] for _ in range(DRAWN)]
        found = {}
        for name, relaxation in relaxations.items():
            counts = torch.tensor([relaxation.place(architecture) for architecture in drawn], device="cpu").sum(0)
            total = counts.sum(1, keepdim=True)
            found[name] = torch.where(total > 0, counts / total, 1 / relaxation.options).tolist()
        return found

    def state_dict(self) -> dict[str, Any]:
        controller = {"policy": self.policy.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**super().state_dict(), **controller, "baseline": self.baseline}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline = state["baseline"]
