"""One-shot search: models that share weights, and the methods that train and search them."""

from lanista.lazy import exports

_HOMES = {
    "Collapse": "lanista.oneshot.collapse",
    "DARTS": "lanista.oneshot.darts",
    "DrNAS": "lanista.oneshot.drnas",
    "ENAS": "lanista.oneshot.enas",
    "FairNAS": "lanista.oneshot.fairnas",
    "FBNet": "lanista.oneshot.fbnet",
    "Found": "lanista.oneshot.found",
    "GDAS": "lanista.oneshot.gdas",
    "Inherited": "lanista.oneshot.inherited",
    "Method": "lanista.oneshot.method",
    "Network": "lanista.oneshot.network",
    "PCDARTS": "lanista.oneshot.pcdarts",
    "Penalty": "lanista.oneshot.cost",
    "ProgressiveShrinking": "lanista.oneshot.shrinking",
    "ProxylessNAS": "lanista.oneshot.proxylessnas",
    "RandomSharing": "lanista.oneshot.randomsharing",
    "Sandwich": "lanista.oneshot.sandwich",
    "SPOS": "lanista.oneshot.spos",
    "Supernet": "lanista.oneshot.supernet",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
