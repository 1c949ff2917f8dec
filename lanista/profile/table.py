"""Latency tables: the latency of a model, estimated from that of its operations."""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from lanista.errors import LanistaError, SpaceError
from lanista.model import ModelSpace
from lanista.profile.attribution import Unlearnable, learn
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.clock import Latency
from lanista.profile.operation import Operation, operations
from lanista.profile.stage import place_of
from lanista.space.domain import Architecture, is_number

FORMAT = 1
"""Version of the JSON form of a table."""

SETTINGS = ("backend", "device", "warmup", "repeats", "threads")
"""The settings of `Latency` that a stored table has."""

Naming = Callable[[Operation], str | None]
"""The name of an operation in a table; None for one that costs nothing."""


@dataclass(frozen=True)
class Calibration:
    """How a table's estimates compare with measured models.

    Attributes:
        estimated: what the table says of each model, in ms.
        measured: what was measured of it, in ms.
    """

    estimated: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def rank_correlation(self) -> float:
        """Spearman's rank correlation: 1 where the table orders models as the clock does; NaN where all are equal."""
        if len(set(self.estimated)) < 2 or len(set(self.measured)) < 2:
            return math.nan
        return float(np.corrcoef(_ranks(self.estimated), _ranks(self.measured))[0, 1])

    @property
    def ratio(self) -> float:
        """Median of measured over estimated: below 1 where a whole model is faster than its operations one by one."""
        return median(m / e for m, e in zip(self.measured, self.estimated, strict=True))

    def __str__(self) -> str:
        return (
            f"{len(self.measured)} models: rank correlation {self.rank_correlation:.2f}, "
            f"measured / estimated {self.ratio:.2f}"
        )


class LatencyTable(Measure):
    """Latency as the sum of a model's operations, each measured once: an estimate that costs no run of the model.

    An operation is a layer of torch.nn, or a function of torch outside of such layers, with its settings and the shapes
    of its inputs. Those that the table does not know are measured and kept. The sum leaves out what lies between
    operations, and what they gain from running together (fusion, caches, operations side by side): see `calibrate`.

    A frozen table measures nothing: an unknown operation is an error, and results are the same at each call. Searches
    that are to be resumed need that; `cover` a space, `save`, and `load`.

    Args:
        entries: name of the operation -> milliseconds, such as a table measured on a phone. See `operations` for names.
        latency: how operations are measured, and on what.
        frozen: measure nothing; None (default): where there are entries.
        naming: `naming(operation)` gives its name in the table, or None if it costs nothing; default: its own name.
        name: a word, where two latencies are to be told apart.

    Raises:
        SpaceError: an entry is not a number of at least 0.
    """

    unit = "ms"

    def __init__(
        self,
        entries: Mapping[str, float | Measurement] | None = None,
        *,
        latency: Latency = Latency(),  # noqa: B008 - immutable
        frozen: bool | None = None,
        naming: Naming | None = None,
        name: str = "latency",
    ) -> None:
        self.name = name
        self.latency = latency
        self.frozen = bool(entries) if frozen is None else frozen
        self._naming = naming
        self._entries = {key: _entry(key, value) for key, value in (entries or {}).items()}

    @property
    def repeatable(self) -> bool:  # type: ignore[override]
        """Whether it is frozen."""
        return self.frozen

    # --- measuring ----------------------------------------------------------------------------------------

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        """Estimate the latency of a model, which may be on the meta device.

        The error is that of the entries, taken as independent of each other; not that of the estimate.
        """
        found = self._found(model, example_input)
        times = Counter(name for _, name in found)
        error = math.hypot(*(count * self._entries[name].error for name, count in times.items()))
        return Measurement(sum(self._by_path(found).values()), error, self.unit)

    def parts(self, model: nn.Module, example_input: Example = None) -> Mapping[str, float]:
        return self._by_path(self._found(model, example_input))

    def operations(self, model: nn.Module, example_input: Example = None) -> dict[str, int]:
        """The names that this table looks up for a model -> how often; nothing is measured."""
        found = operations(model, example_input, name=self.name)
        return dict(Counter(name for operation in found if (name := self._called(operation)) is not None))

    @property
    def entries(self) -> dict[str, Measurement]:
        """What the table knows."""
        return dict(self._entries)

    def _called(self, operation: Operation) -> str | None:
        return operation.name if self._naming is None else self._naming(operation)

    def _found(self, model: nn.Module, example_input: Example) -> list[tuple[str, str]]:
        """Path and name of each operation, all of them in the table by now."""
        found = []
        for operation in operations(model, example_input, name=self.name):
            name = self._called(operation)
            if name is None:
                continue
            if name not in self._entries:
                self._entries[name] = self._measured(operation, name)
            found.append((operation.path, name))
        return found

    def _by_path(self, found: list[tuple[str, str]]) -> dict[str, float]:
        parts: dict[str, float] = {}
        for path, name in found:
            parts[path] = parts.get(path, 0.0) + self._entries[name].value
        return parts

    def _measured(self, operation: Operation, name: str) -> Measurement:
        if self.frozen:
            raise LanistaError(
                f"the frozen latency table has no entry for {name!r} ({operation.path or 'the model itself'}), only "
                f"for {len(self._entries)} others; measure it where the table is from (`cover` with more samples), or "
                "let `naming` return None for what costs nothing"
            )
        try:
            module, inputs = operation.real(place_of(self.latency.device))
            return self.latency(module, inputs)
        except LanistaError as error:
            raise LanistaError(f"the operation {operation.name} cannot be measured by itself: {error}") from error

    # --- spaces -------------------------------------------------------------------------------------------

    def cover(self, space: ModelSpace, *, samples: int = 100, seed: int = 0, example_input: Example = None) -> int:
        """Measure the operations of a space before a search.

        Random architectures are looked at, then further ones that have an answer not seen yet, as far as a hundred
        times `samples` draws find them, and then all that a limit on this table would look at: so `load` and
        `ModelSpace.constrain` find every operation that they need where the latency is a sum over decisions. Elsewhere
        operations that only rare combinations of answers have can be missed.

        Args:
            space: the space.
            samples: how many architectures are looked at in any case.
            seed: of the draws.
            example_input: what models are run on; None: the space's.

        Returns:
            how many operations were new.
        """
        before, random, seen = len(self._entries), Random(seed), set[tuple[str, str]]()
        example = _example(space, example_input)
        for draw in range(100 * samples):
            architecture = space.sample(random)
            answers = set(_answers(architecture))
            if draw < samples or not answers <= seen:
                self._found(space.sketch(architecture), example)
            seen |= answers
        with suppress(Unlearnable):
            learn(space.decisions, lambda architecture: self.parts(space.sketch(architecture), example), self.name)
        return len(self._entries) - before

    def calibrate(
        self, space: ModelSpace, *, samples: int = 10, seed: int = 0, example_input: Example = None
    ) -> Calibration:
        """Measure random models of a space as a whole and compare with the estimates.

        Args:
            space: the space.
            samples: how many models, at least 2; they are built with their weights.
            seed: of the draws.
            example_input: what models are run on; None: the space's.
        """
        if samples < 2:
            raise SpaceError(f"samples is {samples}; two models at least are compared")
        random, example = Random(seed), _example(space, example_input)
        estimated, measured = [], []
        for _ in range(samples):
            with torch.random.fork_rng(devices=[]):
                model = space.build(space.sample(random))
            estimated.append(self(model, example).value)
            measured.append(self.latency(model, example).value)
        return Calibration(tuple(estimated), tuple(measured))

    # --- files --------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the table as JSON, with what it was measured on."""
        data = {
            "format": FORMAT,
            **self._conditions(),
            "latency": {setting: getattr(self.latency, setting) for setting in SETTINGS},
            "operations": {name: [entry.value, entry.error] for name, entry in sorted(self._entries.items())},
        }
        path = Path(path)
        written = path.with_name(f"{path.name}.part")
        written.write_text(json.dumps(data, indent=1), encoding="utf-8")
        written.replace(path)

    @classmethod
    def load(
        cls, path: str | Path, *, frozen: bool = True, naming: Naming | None = None, name: str = "latency"
    ) -> LatencyTable:
        """Read what `save` wrote.

        Args:
            path: the file.
            frozen: False goes on measuring, on the machine that the table was measured on and as it was.
            naming: as given to the table that was saved.
            name: as of the constructor.

        Raises:
            LanistaError: the file is not a table, or is to go on under other conditions.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise LanistaError(f"{path} has format {data['format']!r}; this version of lanista reads {FORMAT}")
            entries = {key: Measurement(value, error, "ms") for key, (value, error) in data["operations"].items()}
            table = cls(entries, latency=Latency(**data["latency"]), frozen=frozen, naming=naming, name=name)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LanistaError(f"{path} is not a latency table: {type(error).__name__}: {error}") from error
        changed = {key: data.get(key) for key, value in table._conditions().items() if data.get(key) != value}
        if changed and not frozen:
            found = ", ".join(f"{key} {value}" for key, value in changed.items())
            raise LanistaError(
                f"{path} was measured with {found}, and here it is "
                f"{', '.join(f'{key} {table._conditions()[key]}' for key in changed)}; numbers of both do not "
                "add up: load it with frozen=True, or start a new table"
            )
        return table

    def _conditions(self) -> dict[str, object]:
        return {
            "machine": _machine(self.latency.device),
            "torch": torch.__version__,
            "threads": self.latency.threads or torch.get_num_threads(),
        }

    def __repr__(self) -> str:
        words = [f"latency={self.latency!r}", f"frozen={self.frozen}"]
        if self._naming is not None:
            words.append(f"naming={getattr(self._naming, '__qualname__', type(self._naming).__qualname__)}")
        if self.frozen:  # then the entries decide what it gives
            values = sorted((name, entry.value, entry.error) for name, entry in self._entries.items())
            words.append(f"entries={hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]}")
        return f"LatencyTable({', '.join(words)}, name={self.name!r})"


def _entry(name: str, value: float | Measurement) -> Measurement:
    if isinstance(value, Measurement):
        return value
    if not is_number(value) or not 0 <= value < math.inf:
        raise SpaceError(f"the entry of {name!r} is {value!r}; give milliseconds, of at least 0")
    return Measurement(float(value), 0.0, "ms")


def _answers(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Label and answer; of a list, its length and each entry by itself."""
    for label, value in architecture.items():
        if isinstance(value, list):
            yield label, f"{len(value)} entries"
        entries: list[Any] = value if isinstance(value, list) else [value]
        yield from ((label, json.dumps(entry)) for entry in entries)


def _example(space: ModelSpace, example_input: Example) -> Example:
    return space.example_input if example_input is None else example_input


def _ranks(values: tuple[float, ...]) -> list[float]:
    """Place of each value among all; equal values share theirs."""
    return [(sum(v < value for v in values) + sum(v <= value for v in values) - 1) / 2 for value in values]


def _machine(device: str) -> str:
    """What operations run on, in the maker's words."""
    if torch.device(device).type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(torch.device(device))
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
