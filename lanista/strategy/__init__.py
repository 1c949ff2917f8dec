"""Search algorithms that propose architectures and learn from ended trials; loaded when they are first used."""

from lanista.lazy import exports

_HOMES = {
    "BayesianOptimization": "lanista.strategy.bayesian",
    "Deduplicated": "lanista.strategy.deduplicated",
    "Filtered": "lanista.strategy.filtered",
    "GridSearch": "lanista.strategy.grid",
    "NSGA2": "lanista.strategy.nsga2",
    "OptunaStrategy": "lanista.strategy.sampler",
    "Random": "lanista.strategy.random",
    "RegularizedEvolution": "lanista.strategy.evolution",
    "Strategy": "lanista.strategy.base",
    "TPE": "lanista.strategy.tpe",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
