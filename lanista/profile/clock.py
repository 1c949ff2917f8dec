"""Measured latency."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from statistics import median, quantiles
from time import perf_counter

from torch import nn

from lanista.errors import SpaceError
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.stage import Run, check, stage, synchronize
from lanista.space.domain import is_integer, is_number

BLOCK = 0.002
"""Seconds that a timed block of runs takes at least, so that reading the clock does not matter."""

STEADY = 0.05
"""Relative difference of two blocks that counts as none during the warm-up."""


@dataclass(frozen=True)
class Latency(Measure):
    """Time of one forward pass on the example input, measured on this machine: the median of repeated blocks of runs.

    In evaluation mode, without gradients. First the model warms up: it runs until three blocks in a row take the
    same time, to 5 %, or for `warmup` seconds. The error is half the interquartile range of the blocks. Other load on
    the machine makes it slower, which the error shows only in part.

    Args:
        backend: "eager"; "compile" (`torch.compile`, which needs a C++ compiler on the CPU, and is reset before); or
            "onnxruntime" (the model exported to ONNX; inputs are handed over from the CPU at each run).
        device: what it runs on, such as "cpu" or "cuda"; the model is copied there. Waits for the device at both ends
            of a block.
        warmup: seconds after which the warm-up ends at the latest.
        repeats: number of blocks; at least 2.
        threads: how many threads the CPU uses for an operation; None: as torch is set.
        name: a word, where two latencies are to be told apart.

    Raises:
        SpaceError: a setting is outside of its range.
    """

    backend: str = "eager"
    device: str = "cpu"
    warmup: float = 1.0
    repeats: int = 25
    threads: int | None = None
    name: str = field(default="latency", kw_only=True)
    unit: str = field(default="ms", init=False, repr=False)
    repeatable: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        check(self.backend, self.threads)
        if not is_number(self.warmup) or not self.warmup >= 0:
            raise SpaceError(f"warmup is {self.warmup!r}; give a number of seconds, of at least 0")
        if not is_integer(self.repeats) or self.repeats < 2:
            raise SpaceError(f"repeats is {self.repeats!r}; give an integer of at least 2")

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        with stage(
            model,
            example_input,
            name=self.name,
            backend=self.backend,
            device=self.device,
            threads=self.threads,
        ) as run:
            number = self._warm(run)
            times = [1000 * self._block(run, number) for _ in range(self.repeats)]
        low, _, high = quantiles(times, n=4, method="inclusive")
        return Measurement(median(times), (high - low) / 2, self.unit)

    def _warm(self, run: Run) -> int:
        """Run until it is steady; how many runs make a block."""
        number, calm, last = 1, 0, 0.0
        start = perf_counter()
        while True:
            time = self._block(run, number)
            if time * number < BLOCK:
                number = max(number + 1, min(10 * number, ceil(1.2 * BLOCK / time)))
                continue
            calm = calm + 1 if abs(time - last) <= STEADY * time else 0
            last = time
            if calm == 2 or perf_counter() - start >= self.warmup:
                return number

    def _block(self, run: Run, number: int) -> float:
        """Seconds that one of `number` runs takes."""
        synchronize(self.device)
        start = perf_counter()
        for _ in range(number):
            run()
        synchronize(self.device)
        return max(perf_counter() - start, 1e-9) / number


latency = Latency()
"""Time of a forward pass on this machine's CPU, as torch is set."""
