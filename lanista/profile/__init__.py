"""What models cost: parameters, operations, memory, latency, energy; and what they promise: zero-cost scores."""

from lanista.profile.arithmetic import Flops, Macs, flops, macs
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.clock import Latency, latency
from lanista.profile.flow import Synflow, synflow
from lanista.profile.footprint import ActivationMemory, PeakMemory, activations, memory
from lanista.profile.gaussian import Zen, zen
from lanista.profile.gradient import GradNorm
from lanista.profile.jacobian import Jacov
from lanista.profile.kernel import NASWOT
from lanista.profile.operation import Operation, operations
from lanista.profile.own import measure
from lanista.profile.parameter import Parameters, parameters
from lanista.profile.power import Energy, energy
from lanista.profile.report import Summary, summary
from lanista.profile.screening import Screening, screen
from lanista.profile.snip import Snip
from lanista.profile.table import Calibration, LatencyTable

__all__ = [
    "NASWOT",
    "ActivationMemory",
    "Calibration",
    "Energy",
    "Example",
    "Flops",
    "GradNorm",
    "Jacov",
    "Latency",
    "LatencyTable",
    "Macs",
    "Measure",
    "Measurement",
    "Operation",
    "Parameters",
    "PeakMemory",
    "Screening",
    "Snip",
    "Summary",
    "Synflow",
    "Zen",
    "activations",
    "energy",
    "flops",
    "latency",
    "macs",
    "measure",
    "memory",
    "operations",
    "parameters",
    "screen",
    "summary",
    "synflow",
    "zen",
]
