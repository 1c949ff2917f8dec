"""lanista: neural architecture search on PyTorch.

Names are loaded when they are first used, so that the command line and tools that only read results start without
torch. `__init__.pyi` lists the same names for type checkers.
"""

from importlib import import_module

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

_PACKAGES = ("draw", "elastic", "graph", "hub", "nn", "profile", "space", "strategy", "testing")

__all__ = list(_HOMES)  # not the packages: a star import must not replace torch's `nn`


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _PACKAGES:
        value = import_module(f"lanista.{name}")
    else:
        raise AttributeError(f"module 'lanista' has no attribute {name!r}; it has {', '.join([*__all__, *_PACKAGES])}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_PACKAGES})
