"""`Table`: architectures whose results were measured once, so that a search takes milliseconds instead of months."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import final

from torch import nn

from lanista.errors import ArchitectureError, BenchmarkError
from lanista.evaluator.base import Evaluator
from lanista.model import ModelSpace
from lanista.space.domain import Architecture, Value, listed
from lanista.space.search import SearchSpace
from lanista.trial import Trial


@final
class Table:
    """Measured results of all architectures of a space. The functions of `lanista.benchmark` read the known ones.

    Args:
        name: benchmark and data set.
        models: a model space whose decisions are those of the table, limits included.
        architectures: what was measured, canonical, in the order of the columns.
        columns: metric -> its value for each architecture. No NaN.
        seeds: metric -> the metrics that hold it for each seed of the training, where these are known; the metric
            itself is then their mean.
        missing: what the source of this table does not hold, for messages; empty if nothing is missing.

    Attributes:
        name, models, seeds, missing: as given.
        space: the decisions of `models`.

    Raises:
        BenchmarkError: a column has more or fewer values than there are architectures, or the metrics of a seed
            are not there.
    """

    def __init__(
        self,
        name: str,
        models: ModelSpace,
        architectures: Iterable[Architecture],
        columns: Mapping[str, Iterable[float]],
        *,
        seeds: Mapping[str, Sequence[str]] | None = None,
        missing: str = "",
    ) -> None:
        self.name, self.models, self.missing = name, models, missing
        self.space: SearchSpace = models.decisions
        self.seeds = {metric: tuple(each) for metric, each in (seeds or {}).items()}
        self._architectures = list(architectures)
        self._columns = {metric: array("d", values) for metric, values in columns.items()}
        self._rows = {self.space.key(architecture): row for row, architecture in enumerate(self._architectures)}
        for metric, column in self._columns.items():
            if len(column) != len(self._rows):
                raise BenchmarkError(
                    f"{name}: {len(column):,} values of {metric!r} for {len(self._rows):,} architectures"
                )
        for metric, each in self.seeds.items():
            self.columns(metric, *each)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {len(self):,} architectures, {len(self.metrics)} metrics)"

    def __len__(self) -> int:
        return len(self._architectures)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all metrics."""
        return tuple(self._columns)

    @property
    def architectures(self) -> list[Architecture]:
        """All architectures that were measured, in the order of the columns."""
        return [dict(architecture) for architecture in self._architectures]

    def columns(self, *metrics: str) -> list[Sequence[float]]:
        """The values of each metric, in the order of `architectures`; not to be changed.

        Raises:
            BenchmarkError: there is no such metric.
        """
        for metric in metrics:
            if metric not in self._columns:
                lacks = f"; {self.missing}" if self.missing else ""
                raise BenchmarkError(f"{self.name} has no metric {metric!r}; it has {listed(self.metrics, 60)}{lacks}")
        return [self._columns[metric] for metric in metrics]

    def row(self, architecture: Architecture) -> int:
        """The position of a canonical architecture in the columns.

        Raises:
            BenchmarkError: it was not measured.
        """
        try:
            return self._rows[self.space.key(architecture)]
        except KeyError:
            raise BenchmarkError(f"{self.name} holds no results of {architecture}") from None

    def query(self, architecture: Mapping[str, Value], *metrics: str) -> dict[str, float]:
        """Measured results of an architecture, in any form that `SearchSpace.validate` reads.

        Args:
            architecture: label -> value.
            metrics: which; default: all.

        Raises:
            ArchitectureError: it does not fit the space.
            BenchmarkError: it was not measured, or there is no such metric.
        """
        row = self.row(self.space.validate(architecture))
        wanted = metrics or self.metrics
        return {metric: column[row] for metric, column in zip(wanted, self.columns(*wanted), strict=True)}

    def optimum(self, metric: str, *, minimize: bool = False) -> tuple[Architecture, float]:
        """The best architecture by a metric, the first one at a tie, and its value.

        Raises:
            BenchmarkError: there is no such metric.
        """
        (column,) = self.columns(metric)
        row = (min if minimize else max)(range(len(column)), key=column.__getitem__)
        return dict(self._architectures[row]), column[row]

    def evaluator(self, *metrics: str, steps: Mapping[int, str] | None = None) -> TableEvaluator:
        """An evaluator that answers from the table, for an `Experiment` on `models`.

        Args:
            metrics: what it gives; default: `validation`. `validation_seed0` is what a search would meet that trains
                each network once.
            steps: intermediate metrics for schedulers: step -> metric, reported under the name of the first one of
                `metrics` before the trial ends: `{12: "validation_12"}`.

        Raises:
            BenchmarkError: there is no such metric.
        """
        named, reports = metrics or ("validation",), dict(sorted((steps or {}).items()))
        return TableEvaluator(
            f"{self.name}, {', '.join(named)}",
            self.space,
            self._rows,
            dict(zip(named, self.columns(*named), strict=True)),
            dict(zip(reports, self.columns(*reports.values()), strict=True)),
        )


@final
class TableEvaluator(Evaluator):
    """Looks at a trial's architecture, and not at its model; made by `Table.evaluator`."""

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        rows: Mapping[str, int],
        answers: Mapping[str, Sequence[float]],
        steps: Mapping[int, Sequence[float]],
    ) -> None:
        self._name, self._space, self._rows = name, space, dict(rows)
        self._answers, self._steps = dict(answers), dict(steps)

    def __repr__(self) -> str:
        return f"TableEvaluator({self._name!r})"

    def evaluate(self, model: nn.Module, trial: Trial) -> Mapping[str, float]:
        """What was measured of the trial's architecture; raises ArchitectureError if nothing was."""
        mine = {label: value for label, value in trial.architecture.items() if label in self._space}
        row = self._rows.get(self._space.key(mine))
        if row is None:
            raise ArchitectureError(f"the table ({self._name}) holds no results of {mine}; search its `models`")
        for step, column in self._steps.items():
            trial.report({next(iter(self._answers)): column[row]}, step)
        return {metric: column[row] for metric, column in self._answers.items()}
