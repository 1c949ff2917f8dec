"""Search algorithms that propose architectures and learn from ended trials."""

from lanista.strategy.base import Strategy
from lanista.strategy.deduplicated import Deduplicated
from lanista.strategy.evolution import RegularizedEvolution
from lanista.strategy.filtered import Filtered
from lanista.strategy.grid import GridSearch
from lanista.strategy.random import Random

__all__ = ["Deduplicated", "Filtered", "GridSearch", "Random", "RegularizedEvolution", "Strategy"]
