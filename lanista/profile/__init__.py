"""What models cost: parameters, operations, memory, latency, energy."""

from lanista.profile.measure import Measure, Measurement

__all__ = ["Measure", "Measurement"]
