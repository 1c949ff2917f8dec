"""FairNAS: in each step, every option is trained as often as the others.

Chu, Zhang, Xu: FairNAS: Rethinking Evaluation Fairness of Weight Sharing Neural Architecture Search. ICCV 2021,
https://arxiv.org/abs/1907.01845
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from torch import Tensor

from lanista.errors import OneShotError
from lanista.oneshot.method import Loss
from lanista.oneshot.sampling import Sampling
from lanista.space.decision import Decision
from lanista.space.domain import Value, is_integer, plain

MOST = 32
"""A step has at most so many paths, unless the user says how many."""

LISTED = 10_000
"""A decision has at most so many options."""


class FairNAS(Sampling):
    """Trains several paths in each step, which have each option of a decision once.

    Each decision deals out its options like a deck of cards: in random order, and shuffled anew when all are dealt. A
    step has as many paths as the decision with the most options has, so that each of its options is trained exactly
    once (the paper's strict fairness); so is each of any decision with as many. A decision with fewer options begins
    its next deck within the step; the numbers of times that two of its options were trained differ by at most 1, at
    any time. So it is for a decision that exists in some architectures only, over those paths in which it does.

    The gradients of a step's paths are summed, as in the paper's algorithm 1: parts that are in each path have as many
    times the gradient.

    A path that misses a limit of the space is moved into the limits, so that options which the limits make rare are
    trained more rarely than others: within limits fairness cannot be strict. Priors ask for the opposite of fairness,
    and are refused.

    Args:
        paths: how many paths a step has; None: as many as the greatest number of options.

    Raises:
        OneShotError: `paths` is no integer of at least 1.
    """

    def __init__(self, *, paths: int | None = None) -> None:
        if paths is not None and (not is_integer(paths) or paths < 1):
            raise OneShotError(f"paths is {paths!r}; give an integer of at least 1, or None")
        self.paths = paths

    def prepare(self) -> None:
        space = self.network.supernet.space.decisions
        for decision in space:
            domain = decision.domain
            if getattr(domain, "prior", None) is not None:
                raise OneShotError(
                    f"{decision.label!r} has a prior, and FairNAS trains all options equally often; leave the prior "
                    "out, or train with SPOS"
                )
            if domain.size > LISTED:
                raise OneShotError(
                    f"{decision.label!r} has {domain.size} values ({domain.describe()}), and FairNAS trains each "
                    "equally often; give a list of fewer, or train with SPOS"
                )
        self._decks = {decision.label: list(decision.domain.grid()) for decision in space}
        self.asked = dict.fromkeys(self._decks, 0)
        greatest = max(self._decks, key=lambda label: len(self._decks[label]), default=None)
        self.turns = self.paths or (1 if greatest is None else len(self._decks[greatest]))
        if self.paths is None and self.turns > MOST:
            raise OneShotError(
                f"{greatest!r} has {self.turns} options, and a step would train as many paths; say how many: "
                "FairNAS(paths=8)"
            )

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        space = self.network.supernet.space.decisions
        random = self.random()
        for _ in range(self.turns):
            architecture = space.repair(space.decide(self._dealt), random)
            yield loss(self.network.sub(architecture), train)

    def _dealt(self, decision: Decision) -> Value:
        """The next card of a decision's deck."""
        label, options = decision.label, self._decks[decision.label]
        deck, card = divmod(self.asked[label], len(options))
        self.asked[label] += 1
        order = Random(f"{self.seed}/{label}/{deck}").sample(range(len(options)), len(options))
        return plain(options[order[card]])

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "asked": dict(self.asked)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.asked = {label: int(count) for label, count in state["asked"].items()}
