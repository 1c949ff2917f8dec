"""Measured energy, where the machine reports it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import nn

from lanista.errors import LanistaError, SpaceError
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.stage import check, optional, stage, synchronize
from lanista.space.domain import is_integer, is_number

POWERCAP = "/sys/class/powercap"
"""Where Linux reports the energy of processors that count it (RAPL of Intel and AMD)."""

Counter = Callable[[], float]
"""Joules spent since some moment in the past; never falls."""


@dataclass(frozen=True)
class Energy(Measure):
    """Energy of one forward pass on the example input, measured on this machine: the median of repeated series of runs.

    On the CPU it is what the processor packages spend in the meantime (Linux, RAPL), on a GPU what the board does
    (NVIDIA, NVML): with what they spend when idle, and for other programs. The error is half the interquartile range.

    Args:
        backend: as of `Latency`.
        device: what it runs on, such as "cpu" or "cuda"; also says whose energy is read.
        seconds: how long each series of runs is, at least: counters are read some hundred times a second at best.
        repeats: number of series; at least 2.
        threads: how many threads the CPU uses for an operation; None: as torch is set.
        counter: `counter()` gives joules since some moment, where a power meter is to be read instead.
        powercap: the folder of Linux's counters.
        name: a word, where two energies are to be told apart.

    Raises:
        SpaceError: a setting is outside of its range.
    """

    backend: str = "eager"
    device: str = "cpu"
    seconds: float = 0.5
    repeats: int = 5
    threads: int | None = None
    counter: Counter | None = field(default=None, repr=False)
    powercap: str = field(default=POWERCAP, repr=False)
    name: str = field(default="energy", kw_only=True)
    unit: str = field(default="J", init=False, repr=False)
    repeatable: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        check(self.backend, self.threads)
        if not is_number(self.seconds) or not 0 < self.seconds < math.inf:
            raise SpaceError(f"seconds is {self.seconds!r}; give a number above 0")
        if not is_integer(self.repeats) or self.repeats < 2:
            raise SpaceError(f"repeats is {self.repeats!r}; give an integer of at least 2")

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        counter = self.counter or self._machine()
        with stage(
            model,
            example_input,
            name=self.name,
            backend=self.backend,
            device=self.device,
            threads=self.threads,
        ) as run:
            spent = [self._series(run, counter) for _ in range(self.repeats + 1)][1:]  # the first one warms up
        low, _, high = quantiles(spent, n=4, method="inclusive")
        return Measurement(median(spent), (high - low) / 2, self.unit)

    def _series(self, run: Callable[[], object], counter: Counter) -> float:
        """Joules of one run, of as many as fill the time."""
        synchronize(self.device)
        number, before, start = 0, counter(), perf_counter()
        while not number or perf_counter() - start < self.seconds:
            run()
            synchronize(self.device)
            number += 1
        return (counter() - before) / number

    def _machine(self) -> Counter:
        device = torch.device(self.device)
        if device.type == "cpu":
            return Packages(self.powercap)
        if device.type == "cuda":
            return Board(device)
        raise LanistaError(f"no energy counter is known for {self.device!r}; give Energy(counter=...)")


energy = Energy()
"""Energy of a forward pass on this machine's CPU."""


class Packages:
    """Joules that the processor packages have spent, by Linux's counters.

    Args:
        powercap: the folder that has them.

    Raises:
        LanistaError: there are none, or they may not be read.
    """

    def __init__(self, powercap: str | Path = POWERCAP) -> None:
        # intel-rapl:0 is a package; intel-rapl:0:1 is a part of it. AMD's have the same name.
        self._zones = sorted(zone for zone in Path(powercap).glob("intel-rapl:*") if zone.name.count(":") == 1)
        if not self._zones:
            raise LanistaError(
                f"energy cannot be measured: {powercap} has no intel-rapl:*, so this machine does not report what its "
                "processors spend (Linux on the metal of an Intel or AMD machine does; virtual machines rarely do); "
                "give Energy(counter=...) to read another meter"
            )
        self._ranges = [self._read(zone, "max_energy_range_uj") for zone in self._zones]
        self._last = [self._read(zone, "energy_uj") for zone in self._zones]
        self._spent = 0

    def __call__(self) -> float:
        for index, zone in enumerate(self._zones):
            now = self._read(zone, "energy_uj")
            passed = now - self._last[index]
            self._spent += passed if passed >= 0 else passed + self._ranges[index]  # it has begun again at 0
            self._last[index] = now
        return self._spent / 1e6

    def _read(self, zone: Path, name: str) -> int:
        try:
            return int((zone / name).read_text())
        except (OSError, ValueError) as error:
            raise LanistaError(
                f"energy cannot be measured: {zone / name} cannot be read ({error}); since 2020 Linux lets only root "
                f"read it: `sudo chmod a+r {zone / name}`"
            ) from error


class Board:
    """Joules that an NVIDIA GPU's board has spent, by NVML (from Volta on).

    Args:
        device: the GPU, as torch counts.

    Raises:
        LanistaError: pynvml is not installed, or the GPU does not report it.
    """

    def __init__(self, device: torch.device) -> None:
        self._library = optional("pynvml", "nvidia-ml-py")
        try:
            self._library.nvmlInit()
            index = torch.cuda.current_device() if device.index is None else device.index
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"  # NVML counts what CUDA_VISIBLE_DEVICES hides
            self._handle = self._library.nvmlDeviceGetHandleByUUID(uuid)
            self()
        except (self._library.NVMLError, AssertionError, RuntimeError) as error:
            raise LanistaError(f"energy cannot be measured: NVML says of {device}: {error}") from error

    def __call__(self) -> float:
        return float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
