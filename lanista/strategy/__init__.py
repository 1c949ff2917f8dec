"""Search algorithms that propose architectures and learn from ended trials; loaded when they are first used."""

from lanista.lazy import exports

_HOMES = {
    "Deduplicated": "lanista.strategy.deduplicated",
    "Filtered": "lanista.strategy.filtered",
    "GridSearch": "lanista.strategy.grid",
    "Listed": "lanista.strategy.listed",
    "Random": "lanista.strategy.random",
    "RegularizedEvolution": "lanista.strategy.evolution",
    "Strategy": "lanista.strategy.base",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
