"""Pictures of models, architectures and search spaces, as SVG text."""

from lanista.draw.decisions import space
from lanista.draw.network import architecture, model

__all__ = ["architecture", "model", "space"]
