"""SPOS: one path in each step, drawn uniformly.

Guo et al.: Single Path One-Shot Neural Architecture Search with Uniform Sampling. ECCV 2020,
https://arxiv.org/abs/1904.00420
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from lanista.oneshot.method import Loss
from lanista.oneshot.sampling import Sampling


class SPOS(Sampling):
    """Trains the path of a random architecture in each step.

    Every decision is drawn uniformly (or by its prior), within the limits of the space: a limit on operations or
    latency holds in training too. The search itself is the second phase: evolution on the trained supernet, or any
    other strategy.
    """

    plain = True

    def passes(self, train: Any, loss: Loss) -> Iterator[Tensor]:
        architecture = self.network.supernet.space.decisions.sample(self.random())
        yield loss(self.network.sub(architecture), train)
