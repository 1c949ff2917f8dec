"""lanista: neural architecture search on PyTorch.

Names are loaded when they are first used, so that the command line and tools that only read results start without
torch. `__init__.pyi` lists the same names for type checkers.
"""

from lanista.lazy import exports

__version__ = "0.1.0"

_HOMES = {
    "Experiment": "lanista.experiment",
    "FunctionalEvaluator": "lanista.evaluator",
    "InlineExecutor": "lanista.executor",
    "LanistaError": "lanista.errors",
    "ModelSpace": "lanista.model",
    "ProcessExecutor": "lanista.executor",
    "Trial": "lanista.trial",
    "choice": "lanista.space",
    "from_model": "lanista.elastic",
    "integer": "lanista.space",
    "real": "lanista.space",
}

_PACKAGES = (
    "benchmark",
    "draw",
    "elastic",
    "evaluator",
    "graph",
    "hub",
    "nn",
    "oneshot",
    "profile",
    "scheduler",
    "space",
    "strategy",
    "testing",
    "trust",
)

__all__ = list(_HOMES)  # not the packages: a star import must not replace torch's `nn`

__getattr__, __dir__ = exports(__name__, _HOMES, _PACKAGES)
