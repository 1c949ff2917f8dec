"""`Policy`: a recurrent network that answers the decisions of a space one after another."""

from __future__ import annotations

import math
from random import Random
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.question import question
from lanista.strategy.standing import Vector

REDRAWS = 20
"""How many architectures in a row may miss a limit before the last one is moved into the limits."""

Walk: TypeAlias = tuple[list[int], list[list[bool]], list[float]]
"""For each step its answer, all allowed ones, and the answer's log-probability."""


class Policy(nn.Module):
    """An LSTM whose input is a question and the answer to the one before; its state weighs the options.

    A category is one choice; a subset one for each option (in or out, where its bounds leave both); a range is cut
    into bins, and the value is uniform within the chosen one. At first choices are as likely as their priors say. It
    lives on the CPU.

    Args:
        space: the decisions.
        bins: into how many parts a range is cut, at least 1.
        hidden: width of the LSTM, at least 1.
        seed: of the initial weights.
        temperature: what the state's weights (logits) are divided by, above 0.
        bound: if it is given, the state moves logits by at most so much: they are bound * tanh(logits).
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        bins: int,
        hidden: int,
        seed: int,
        temperature: float = 1.0,
        bound: float | None = None,
    ) -> None:
        super().__init__()
        self._space, self._hidden, self._temperature, self._bound = space, hidden, temperature, bound
        self._questions = {decision.label: question(decision.domain, bins) for decision in space}
        self._parents = {parent for decision in space for clause in decision.when for parent in clause}
        weights = [row for asked in self._questions.values() for row in asked.weights] or [[1.0]]
        self.options = max(map(len, weights))
        with torch.device("cpu"):  # whatever the user's default
            self.questions = nn.Parameter(torch.empty(len(weights), hidden))
            self.answers = nn.Parameter(torch.empty(len(weights), self.options, hidden))
            self.lstm = nn.LSTM(hidden, hidden, batch_first=True, device="meta").to_empty(device="cpu")
            own = torch.Generator().manual_seed(seed)
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -0.1, 0.1, generator=own)
            self.head = nn.Parameter(torch.zeros_like(self.answers))
            padded = [row + [1.0] * (self.options - len(row)) for row in weights]
            self.bias = nn.Parameter(torch.tensor(padded).log())
        # The same memory, for single steps: there NumPy takes a tenth of torch's time.
        self._arrays = {name: parameter.detach().numpy() for name, parameter in self.named_parameters()}

    def draw(self, rng: Random, *, likeliest: bool = False) -> tuple[Architecture, Walk]:
        """A sample, and how it came about; or with `likeliest`, each answer is the likeliest after those before.

        What misses a limit of the space is drawn again some times, then moved into the limits: its walk is that of the
        architecture that it became.
        """
        for _ in range(1 if likeliest else REDRAWS):
            architecture, walk = self.walk(None, rng, likeliest=likeliest)
            if not self._space.violations(architecture):
                return architecture, walk
        return self.walk(self._space.repair(architecture, rng), rng)

    def walk(self, given: Architecture | None, rng: Random, *, likeliest: bool = False) -> tuple[Architecture, Walk]:
        """An architecture, drawn if none is given, and how it came about, limits or not.

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
                logits, state = self._step(len(answers), answers[-1:], state)
                logits = np.where(allowed, logits[: len(allowed)], -math.inf)
                chances = np.exp(logits - logits.max()).tolist()
                if path:
                    answer = path.pop(0)
                elif likeliest:
                    answer = int(np.argmax(logits))
                else:
                    answer = rng.choices(range(len(allowed)), chances)[0]
                answers.append(answer)
                masks.append(allowed + [False] * (self.options - len(allowed)))
                logs.append(float(logits[answer] - logits.max()) - math.log(sum(chances)))
            if label in active:
                architecture[label] = given[label] if given is not None else asked.value(answers[begin:], rng)
                if label in self._parents:
                    active = set(self._space.active(architecture))
        return architecture, (answers, masks, logs)

    def forward(self, answers: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the answers' probabilities, and entropies of the choices, both (batch, steps).

        Args:
            answers: of walks, (batch, steps).
            allowed: likewise, (batch, steps, options).
        """
        before = self.answers[torch.arange(answers.shape[1] - 1, device=answers.device), answers[:, :-1]]
        states, _ = self.lstm(self.questions + nn.functional.pad(before, (0, 0, 1, 0)))
        logits = torch.einsum("bsh,soh->bso", states, self.head) / self._temperature
        if self._bound is not None:
            logits = self._bound * logits.tanh()
        logs = (logits + self.bias).masked_fill(~allowed, -1e9).log_softmax(-1)
        return logs.gather(-1, answers[..., None])[..., 0], -(logs.exp() * logs).sum(-1)

    def _step(self, step: int, before: list[int], state: tuple[Vector, Vector]) -> tuple[Vector, tuple[Vector, Vector]]:
        """The weights of one step's options, as logits, and the next state; `before` has the last answer, if any."""
        arrays, (hidden, cell) = self._arrays, state
        inputs = arrays["questions"][step] + sum(arrays["answers"][step - 1, answer] for answer in before)
        gates = arrays["lstm.weight_ih_l0"] @ inputs + arrays["lstm.bias_ih_l0"]
        gates = gates + arrays["lstm.weight_hh_l0"] @ hidden + arrays["lstm.bias_hh_l0"]
        new = np.tanh(gates.reshape(4, -1)[2])
        enter, keep, _, leave = (1 + np.tanh(gates.reshape(4, -1) / 2)) / 2  # logistic functions
        cell = keep * cell + enter * new
        hidden = leave * np.tanh(cell)
        logits = arrays["head"][step] @ hidden / self._temperature
        if self._bound is not None:
            logits = self._bound * np.tanh(logits)
        return logits + arrays["bias"][step], (hidden, cell)
