"""RandomSharing: random search with weight sharing.

Li, Talwalkar: Random Search and Reproducibility for Neural Architecture Search. UAI 2019,
https://arxiv.org/abs/1902.07638
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from lanista.oneshot.method import Loss
from lanista.oneshot.sampling import Sampling
from lanista.strategy.base import Strategy
from lanista.strategy.random import Random


class RandomSharing(Sampling):
    """Trains the path of a random architecture in each step, and looks at random architectures in the end.

    The training is that of `SPOS`; the search is the paper's: random architectures are evaluated with the shared
    weights, and the best are kept. It is the baseline that any other method has to beat.
    """

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        architecture = self.network.supernet.space.decisions.sample(self.random())
        yield loss(self.network.sub(architecture), train)

    def searcher(self) -> Strategy:
        return Random()
