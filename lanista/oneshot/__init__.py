"""One-shot search: models that share weights, and the methods that train and search them."""

from lanista.lazy import exports

_HOMES = {
    "DARTS": "lanista.oneshot.darts",
    "DrNAS": "lanista.oneshot.drnas",
    "FBNet": "lanista.oneshot.fbnet",
    "GDAS": "lanista.oneshot.gdas",
    "Method": "lanista.oneshot.method",
    "Network": "lanista.oneshot.network",
    "Penalty": "lanista.oneshot.cost",
    "ProxylessNAS": "lanista.oneshot.proxylessnas",
    "SPOS": "lanista.oneshot.spos",
    "Supernet": "lanista.oneshot.supernet",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
