"""What models cost: parameters, operations, memory, latency, energy."""

from lanista.profile.arithmetic import Flops, Macs, flops, macs
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.clock import Latency, latency
from lanista.profile.footprint import ActivationMemory, PeakMemory, activations, memory
from lanista.profile.operation import Operation, operations
from lanista.profile.own import measure
from lanista.profile.parameter import Parameters, parameters
from lanista.profile.power import Energy, energy
from lanista.profile.report import Summary, summary
from lanista.profile.table import Calibration, LatencyTable

__all__ = [
    "ActivationMemory",
    "Calibration",
    "Energy",
    "Example",
    "Flops",
    "Latency",
    "LatencyTable",
    "Macs",
    "Measure",
    "Measurement",
    "Operation",
    "Parameters",
    "PeakMemory",
    "Summary",
    "activations",
    "energy",
    "flops",
    "latency",
    "macs",
    "measure",
    "memory",
    "operations",
    "parameters",
    "summary",
]
