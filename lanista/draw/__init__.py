"""Pictures of models, architectures, search spaces and one-shot searches, as SVG text."""

from lanista.lazy import exports

_HOMES = {
    "architecture": "lanista.draw.network",
    "model": "lanista.draw.network",
    "space": "lanista.draw.decisions",
    "strengths": "lanista.draw.strength",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES)
