"""What models cost: parameters, operations, memory, latency, energy."""

from lanista.profile.measure import Bound, Measure, Measurement

__all__ = ["Bound", "Measure", "Measurement"]
