"""Sandwich: the largest, the smallest and some random sub-networks in each step, which learn from the largest.

Yu, Huang: Universally Slimmable Networks and Improved Training Techniques. ICCV 2019, https://arxiv.org/abs/1903.05134
Yu et al.: BigNAS: Scaling Up Neural Architecture Search with Big Single-Stage Models. ECCV 2020,
https://arxiv.org/abs/2003.11142
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from lanista.errors import OneShotError
from lanista.oneshot.distillation import Distillation, Distilling
from lanista.oneshot.extreme import extremes
from lanista.oneshot.method import Loss
from lanista.oneshot.sampling import Sampling
from lanista.space.domain import is_integer


class Sandwich(Sampling):
    """Trains the largest, the smallest and `n` random sub-networks in each step (the sandwich rule).

    The largest one learns from the loss, the others what the largest one says (in-place distillation). The gradients
    of all are summed. Random ones are drawn uniformly (or by priors). All keep the space's limits.

    It is made for elastic supernets, whose sub-networks differ in depths, widths and window sizes, and works for any
    decision: the largest network is the one with the most parameters; see `lanista.oneshot.extreme`.

    Args:
        n: how many random sub-networks, at least 0.
        distillation: "soft": the largest network's probabilities are the others' labels; None: all learn from the
            loss, as AutoFormer's do (https://arxiv.org/abs/2107.00651); "auto": the one where targets are classes,
            the other where they are not; or a function of two outputs; see `lanista.oneshot.distillation`.

    Attributes:
        largest: the architecture.
        smallest: likewise.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(self, *, n: int = 2, distillation: Distilling = "auto") -> None:
        if not is_integer(n) or n < 0:
            raise OneShotError(f"n is {n!r}; give an integer of at least 0")
        self.n, self.distillation = n, distillation
        self._distillation = Distillation(distillation)

    def prepare(self) -> None:
        self.largest, self.smallest = extremes(self.network.supernet)

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        space, random = self.network.supernet.space.decisions, self.random()
        yield self._distillation.teach(self.network.sub(self.largest), loss, train)
        for architecture in (self.smallest, *(space.sample(random) for _ in range(self.n))):
            yield self._distillation.learn(self.network.sub(architecture), loss, train)
