"""What stops unpromising trials early; loaded when it is first used."""

from lanista.lazy import exports

_HOMES = {
    "ASHA": "lanista.scheduler.halving",
    "Hyperband": "lanista.scheduler.hyperband",
    "MedianStop": "lanista.scheduler.median",
    "OptunaScheduler": "lanista.scheduler.study",
    "Scheduler": "lanista.scheduler.base",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
