"""Search algorithms that propose architectures and learn from ended trials; loaded when they are first used."""

from lanista.lazy import exports

_HOMES = {
    "BANANAS": "lanista.strategy.bananas",
    "Deduplicated": "lanista.strategy.deduplicated",
    "Filtered": "lanista.strategy.filtered",
    "GridSearch": "lanista.strategy.grid",
    "Initial": "lanista.strategy.initial",
    "LocalSearch": "lanista.strategy.local",
    "PolicyBasedRL": "lanista.strategy.policy_gradient",
    "Random": "lanista.strategy.random",
    "RegularizedEvolution": "lanista.strategy.evolution",
    "Strategy": "lanista.strategy.base",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
