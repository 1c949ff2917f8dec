"""What methods have in common that train paths, and do not learn which are good."""

from __future__ import annotations

from random import Random

from lanista.oneshot.method import Method, checked_count
from lanista.space.domain import Architecture

TRIES = 100
"""How often an architecture is drawn for each that is wanted, in search of new ones."""


class Sampling(Method):
    """A method that trains the paths of architectures which it draws; the search is the second phase.

    So any decision of any layer will do. A strategy searches the trained supernet: each architecture that it proposes
    is evaluated with the shared weights, with statistics of batch norms of its own (`lanista.evaluator.recalibrate`).
    """

    def strengths(self) -> None:
        """All options are as strong."""

    def best(self, k: int = 1) -> list[Architecture]:
        """A random sample: no architecture is known to be better than another before the supernet is searched."""
        space, random = self.network.supernet.space.decisions, Random(self.seed)
        found: dict[str, Architecture] = {}
        for _ in range(TRIES * checked_count(k)):
            architecture = space.sample(random)
            found[space.key(architecture)] = architecture
            if len(found) == k:
                break
        return list(found.values())
