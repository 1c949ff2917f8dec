"""Experiments and their trials in an SQL database, artifacts in a folder beside it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from lanista.errors import ExperimentError
from lanista.storage.database import Database
from lanista.storage.lock import FileLocks, Locks, MemoryLocks, ServerLocks
from lanista.storage.record import Direction, Entry, Record, Summary
from lanista.storage.schema import event, experiment, metric, report, trial
from lanista.trial import State, Trial

PAGE = 2000
"""Events that `history` reads at once; between pages no transaction is open, so a writer is never held up."""

PLAIN = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*")
"""Names that every file system takes as they are and tells apart: no capitals, none of Windows' own."""

_EXPERIMENT = (
    experiment.c.id,
    experiment.c.name,
    experiment.c.space,
    experiment.c.fingerprint,
    experiment.c.objectives,
    experiment.c.strategy,
    experiment.c.seed,
    experiment.c.source,
    experiment.c.versions,
    experiment.c.created,
)
_TRIAL = (
    trial.c.number,
    trial.c.state,
    trial.c.architecture,
    trial.c.seed,
    trial.c.attempts,
    trial.c.metrics,
    trial.c.error,
    trial.c.log,
    trial.c.weights,
    trial.c.started,
    trial.c.finished,
)

# Built once: SQLAlchemy then finds the compiled statement by identity, a tenth of a millisecond faster.
_OF_TRIAL = (trial.c.experiment_id == bindparam("of"), trial.c.number == bindparam("at"))
_REPORTS = (report.c.experiment_id == bindparam("of"), report.c.number == bindparam("at"))
_INSERT_EVENT = insert(event).inline()
_INSERT_TRIAL = insert(trial).inline()
_INSERT_METRIC = insert(metric).inline()
_INSERT_REPORT = insert(report).inline()
_SET_TRIAL = update(trial).where(*_OF_TRIAL)
_FINISH_TRIAL = update(trial).where(*_OF_TRIAL, trial.c.state == State.RUNNING.value)
_RUNNING = select(trial.c.started).where(*_OF_TRIAL, trial.c.state == State.RUNNING.value)
_DROP_REPORTS = delete(report).where(*_REPORTS)
_DROP_REPORT = delete(report).where(*_REPORTS, report.c.step == bindparam("on"))
_HISTORY = (
    select(event.c.id, event.c.kind, *_TRIAL)
    .join(trial, (trial.c.experiment_id == event.c.experiment_id) & (trial.c.number == event.c.number))
    .where(
        event.c.experiment_id == bindparam("of"),
        event.c.id > bindparam("after"),
        event.c.kind.in_(("proposed", "finished")),
    )
    .order_by(event.c.id)
    .limit(PAGE)
)


class Storage:
    """Remembers experiments.

    What a method writes is there when it returns, as a whole or not at all: a process killed at any moment
    loses what it was just writing, and no more. When the database cannot be read or written, every method
    raises StorageError and changes nothing; the object stays usable.
    One thread at a time may use a Storage. Any number of processes may each have their own on one database,
    where each experiment has one writer at a time (see `lock`).

    Attributes:
        name: the path of the SQLite file, or the URL without its password.
        artifacts: the folder of all artifacts.
    """

    def __init__(self, url: str | Path = "lanista.db", *, artifacts: Path | None = None, create: bool = True) -> None:
        """Open the database, and bring it to the newest schema.

        Args:
            url: the path of an SQLite file, `:memory:`, or an SQLAlchemy URL.
            artifacts: folder of logs, weights and locks; default: beside an SQLite file `x.db` the folder
                `x.artifacts`; for a database in memory a temporary one, which goes with this object; for
                a server `<database>@<host>.artifacts` in the current directory.
            create: make the database where there is none; otherwise that is a StorageError.

        Raises:
            StorageError: cannot be opened; has a newer schema; is no database, or another program's.
        """
        self._database = Database(url, create=create)
        self.name = self._database.name
        file = self._database.file
        if artifacts is None and file is None and self._database.engine.dialect.name == "sqlite":
            # Not `lanista.artifacts`: an experiment of the same name in `lanista.db` has its weights there.
            artifacts = Path(tempfile.gettempdir(), f"lanista-{uuid4().hex}")
            weakref.finalize(self, _remove, artifacts, os.getpid())
        server = self._database.engine.url
        name = f"{server.database or 'lanista'}@{server.host or 'localhost'}"
        beside = file.with_suffix(".artifacts") if file else Path(f"{name}.artifacts")
        self.artifacts = (artifacts or beside).absolute()
        self._locks = self._choose_locks()

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def engine(self) -> str:
        """The database system and its version, such as `sqlite 3.53.4`."""
        with self._database.read() as connection:
            dialect = connection.dialect
            return f"{dialect.name} {'.'.join(map(str, dialect.server_version_info or ()))}"

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def create(
        self,
        name: str,
        *,
        space: Mapping[str, Any],
        fingerprint: str,
        objectives: Mapping[str, Direction],
        strategy: str,
        seed: int,
        source: str | None,
        versions: Mapping[str, str],
    ) -> Record:
        """Add an experiment; see `Record` for the arguments.

        Raises:
            ExperimentError: the name exists, is empty, or has characters that cannot be printed.
        """
        if not name or not name.isprintable():
            raise ExperimentError(f"experiment name {name!r} must be one or more printable characters")
        row = {
            "name": name,
            "space": _dumped(space),
            "fingerprint": fingerprint,
            "objectives": _dumped(objectives),
            "strategy": strategy,
            "seed": seed,
            "source": source,
            "versions": _dumped(versions),
            "created": time.time(),
        }
        with self._database.write() as connection:
            try:
                connection.execute(insert(experiment), row)
            except IntegrityError as error:
                raise ExperimentError(
                    f"storage {self.name} has an experiment {name!r} already; resume it, or give another name"
                ) from error
            return _record(connection.execute(select(*_EXPERIMENT).where(experiment.c.name == name)).one())

    def find(self, name: str) -> Record | None:
        """Return the experiment of that name, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(*_EXPERIMENT).where(experiment.c.name == name)).one_or_none()
        return None if row is None else _record(row)

    def experiments(self) -> list[Summary]:
        """Return all experiments, oldest first."""
        log = select(event.c.time).where(event.c.experiment_id == experiment.c.id).limit(1)
        first = log.order_by(event.c.id).scalar_subquery()
        last = log.order_by(event.c.id.desc()).scalar_subquery()
        with self._database.read() as connection:
            rows = connection.execute(select(first, last, *_EXPERIMENT).order_by(experiment.c.id)).all()
            counts = self._counts(connection)
        return [
            Summary(
                record=_record(row[2:]),
                counts=_counted(counts.get(row.id, {})),
                started=row[0],
                updated=row[1],
                running=self.running(row.name),
            )
            for row in rows
        ]

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Be the only runner of an experiment within a `with` block; it need not exist yet.

        A holder that dies, by whatever signal, holds it no more.

        Raises:
            ExperimentError: it is being run already, be it by this process; the message says by whom.
            StorageError: the artifacts folder cannot be written.
        """
        return self._locks.hold(name)

    def running(self, name: str) -> bool:
        """Whether somebody holds the lock of that experiment; False where the lock may not be opened."""
        return self._locks.held(name)

    def folder(self, name: str) -> Path:
        """Return the folder of an experiment's artifacts: one for each name. It may not exist yet."""
        if PLAIN.fullmatch(name) and len(name) <= 64:
            return self.artifacts / name
        readable = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40]
        return self.artifacts / f"{readable}~{hashlib.sha256(name.encode()).hexdigest()[:20]}"

    def propose(self, record: Record, proposed: Trial) -> None:
        """Add a running trial, and `proposed` to the log.

        Stores number, architecture and seed, and also attempts, log and started, so that a trial which begins
        at once needs no `start`.
        """
        row = {
            "experiment_id": record.id,
            "number": proposed.number,
            "state": State.RUNNING.value,
            "architecture": _dumped(proposed.architecture),
            "seed": proposed.seed,
            "attempts": proposed.attempts,
            "metrics": "{}",
            "log": proposed.log,
            "started": proposed.started,
        }
        with self._database.write() as connection:
            connection.execute(_INSERT_TRIAL, row)
            self._happened(connection, record, "proposed", proposed.number)

    def start(
        self, record: Record, number: int, *, attempt: int, log: str | None, started: float | None = None
    ) -> None:
        """Note that an attempt at a running trial begins (`started`: default now).

        When the trial had begun before, the reports made since are dropped and `started` goes to the log.

        Raises:
            ExperimentError: there is no such trial, or it is not running.
        """
        with self._database.write() as connection:
            before = self._require(connection, record, number)
            values = {"attempts": attempt, "log": log, "started": time.time() if started is None else started}
            connection.execute(_SET_TRIAL, {"of": record.id, "at": number, **values})
            if before is not None:
                connection.execute(_DROP_REPORTS, {"of": record.id, "at": number})
                self._happened(connection, record, "started", number, f"attempt {attempt}")

    def report(self, record: Record, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of a running trial at `step`, instead of those that it reported there before.

        Raises:
            ExperimentError: there is no such trial, or it is not running.
        """
        with self._database.write() as connection:
            self._require(connection, record, number)
            connection.execute(_DROP_REPORT, {"of": record.id, "at": number, "on": step})
            connection.execute(
                _INSERT_REPORT,
                {"experiment_id": record.id, "number": number, "step": step, "metrics": _dumped(metrics)},
            )

    def finish(self, record: Record, finished: Trial) -> None:
        """Store how a running trial ended, all but architecture and seed, and `finished` in the log.

        Raises:
            ExperimentError: there is no such trial, or it is not running.
        """
        values = {
            "state": finished.state.value,
            "attempts": finished.attempts,
            "metrics": _dumped(finished.metrics),
            "error": None if finished.error is None else _storable(finished.error),
            "log": finished.log,
            "weights": finished.weights,
            "started": finished.started,
            "finished": finished.finished,
        }
        with self._database.write() as connection:
            done = connection.execute(_FINISH_TRIAL, {"of": record.id, "at": finished.number, **values})
            if not done.rowcount:
                raise self._not_running(record, finished.number)
            if finished.state is State.COMPLETED and finished.metrics:
                connection.execute(
                    _INSERT_METRIC,
                    [
                        {"experiment_id": record.id, "number": finished.number, "name": name, "value": value}
                        for name, value in finished.metrics.items()
                    ],
                )
            self._happened(connection, record, "finished", finished.number)

    def forget_weights(self, record: Record, number: int) -> None:
        """Note that the weights of a trial are no longer kept."""
        with self._database.write() as connection:
            connection.execute(_SET_TRIAL, {"of": record.id, "at": number, "weights": None})

    def log(self, record: Record, kind: str, detail: str | None = None) -> None:
        """Add an entry that is about no trial, such as `run`, to the log."""
        with self._database.write() as connection:
            self._happened(connection, record, kind, None, detail)

    def history(self, record: Record) -> Iterator[tuple[Literal["proposed", "finished"], Trial]]:
        """Iterate over proposals and ends of trials in the order in which they were stored.

        A proposed trial has number, architecture and seed only; a finished one is as it was stored last.
        """
        after = 0
        while True:
            with self._database.read() as connection:
                rows = connection.execute(_HISTORY, {"of": record.id, "after": after}).all()
            for after, kind, *columns in rows:  # noqa: B007 (the next page begins there)
                happened = _trial(columns)
                if kind == "finished":
                    yield "finished", happened
                else:
                    yield (
                        "proposed",
                        Trial(number=happened.number, architecture=happened.architecture, seed=happened.seed),
                    )
            if len(rows) < PAGE:
                return

    def trials(self, record: Record, *, state: State | None = None, last: int | None = None) -> list[Trial]:
        """Return the trials, or those in one state, by number; only the `last` ones, if that is given."""
        query = select(*_TRIAL).where(trial.c.experiment_id == record.id)
        if state is not None:
            query = query.where(trial.c.state == state.value)
        query = query.order_by(trial.c.number.desc()).limit(last)
        with self._database.read() as connection:
            return [_trial(row) for row in connection.execute(query)][::-1]

    def trial(self, record: Record, number: int) -> Trial | None:
        """Return one trial, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(*_TRIAL).where(*_OF_TRIAL), {"of": record.id, "at": number}).one_or_none()
        return None if row is None else _trial(row)

    def top(self, record: Record, metric_name: str, direction: Direction, k: int) -> list[Trial]:
        """Return the `k` best completed trials by a metric, best first; of equal ones the older first."""
        order = metric.c.value.desc() if direction == "maximize" else metric.c.value
        query = (
            select(*_TRIAL)
            .join(
                metric,
                (metric.c.experiment_id == trial.c.experiment_id) & (metric.c.number == trial.c.number),
            )
            .where(metric.c.experiment_id == record.id, metric.c.name == metric_name)
            .order_by(order, metric.c.number)
            .limit(k)
        )
        with self._database.read() as connection:
            return [_trial(row) for row in connection.execute(query)]

    def metrics(self, record: Record) -> list[str]:
        """Return the names of the first completed trial's metrics, in the evaluator's order; none, if there is none."""
        query = select(trial.c.metrics).where(
            trial.c.experiment_id == record.id, trial.c.state == State.COMPLETED.value
        )
        with self._database.read() as connection:
            row = connection.execute(query.order_by(trial.c.number).limit(1)).one_or_none()
        return [] if row is None else list(json.loads(row[0]))

    def reports(self, record: Record, number: int) -> list[tuple[int, dict[str, float]]]:
        """Return what a trial reported in its last attempt: steps, ascending, with their metrics."""
        query = select(report.c.step, report.c.metrics).where(*_REPORTS).order_by(report.c.step)
        with self._database.read() as connection:
            rows = connection.execute(query, {"of": record.id, "at": number})
            return [(step, json.loads(metrics)) for step, metrics in rows]

    def counts(self, record: Record) -> dict[State, int]:
        """Return the number of trials in each state."""
        with self._database.read() as connection:
            return _counted(self._counts(connection, record).get(record.id, {}))

    def events(self, record: Record, *, after: int = 0) -> list[Entry]:
        """Return the log in order: the entries whose id is greater than `after`."""
        query = (
            select(event.c.id, event.c.kind, event.c.number, event.c.time, event.c.detail)
            .where(event.c.experiment_id == record.id, event.c.id > after)
            .order_by(event.c.id)
        )
        with self._database.read() as connection:
            return [
                Entry(id=id, kind=kind, number=number, time=time, detail=detail)
                for id, kind, number, time, detail in connection.execute(query)
            ]

    def _choose_locks(self) -> Locks:
        if self._database.engine.dialect.name == "postgresql":
            return ServerLocks(self._database)
        if self._database.engine.dialect.name == "sqlite" and self._database.file is None:
            return MemoryLocks()
        return FileLocks(self.folder)

    def _counts(self, connection: Connection, record: Record | None = None) -> dict[int, dict[str, int]]:
        query = select(trial.c.experiment_id, trial.c.state, func.count()).group_by(
            trial.c.experiment_id, trial.c.state
        )
        if record is not None:
            query = query.where(trial.c.experiment_id == record.id)
        counts: dict[int, dict[str, int]] = {}
        for id, state, count in connection.execute(query):
            counts.setdefault(id, {})[state] = count
        return counts

    def _require(self, connection: Connection, record: Record, number: int) -> float | None:
        """Return when the running trial was started, if it was."""
        row = connection.execute(_RUNNING, {"of": record.id, "at": number}).one_or_none()
        if row is None:
            raise self._not_running(record, number)
        return row.started  # type: ignore[no-any-return]

    def _not_running(self, record: Record, number: int) -> ExperimentError:
        return ExperimentError(
            f"trial {number} of experiment {record.name!r} is not running in storage {self.name}: "
            "propose it first, and finish it once"
        )

    def _happened(
        self, connection: Connection, record: Record, kind: str, number: int | None, detail: str | None = None
    ) -> None:
        row = {
            "experiment_id": record.id,
            "kind": kind,
            "number": number,
            "time": time.time(),
            "detail": None if detail is None else _storable(detail),
        }
        connection.execute(_INSERT_EVENT, row)


def _remove(folder: Path, owner: int) -> None:
    """Delete a temporary folder; does nothing in a fork of the process that owns it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _storable(text: str) -> str:
    # PostgreSQL takes no NUL, and no driver half a surrogate pair; a traceback may quote either.
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _record(row: Sequence[Any]) -> Record:
    id, name, space, fingerprint, objectives, strategy, seed, source, versions, created = row
    return Record(
        id=id,
        name=name,
        space=json.loads(space),
        fingerprint=fingerprint,
        objectives=json.loads(objectives),
        strategy=strategy,
        seed=seed,
        source=source,
        versions=json.loads(versions),
        created=created,
    )


def _trial(row: Sequence[Any]) -> Trial:
    number, state, architecture, seed, attempts, metrics, error, log, weights, started, finished = row
    return Trial(
        number=number,
        architecture=json.loads(architecture),
        seed=seed,
        state=State(state),
        metrics=json.loads(metrics),
        error=error,
        attempts=attempts,
        started=started,
        finished=finished,
        log=log,
        weights=weights,
    )


def _counted(counts: Mapping[str, int]) -> dict[State, int]:
    return {state: counts.get(state.value, 0) for state in State}
