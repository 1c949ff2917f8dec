"""One-shot search: models that share weights, and the methods that train and search them."""

from lanista.lazy import exports

_HOMES = {
    "DARTS": "lanista.oneshot.darts",
    "Found": "lanista.oneshot.found",
    "Inherited": "lanista.oneshot.inherited",
    "Method": "lanista.oneshot.method",
    "Network": "lanista.oneshot.network",
    "Penalty": "lanista.oneshot.cost",
    "SPOS": "lanista.oneshot.spos",
    "Supernet": "lanista.oneshot.supernet",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
