"""The tables. A change here needs a migration in `migrations/versions` and a new `VERSION`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

VERSION = "0001"
"""The newest migration. Versions are running numbers of four digits, so that text order is their order."""

VERSION_TABLE = "lanista_version"
"""Not alembic's default name: the database may be shared with another program that uses alembic."""

metadata = MetaData()

experiment = Table(
    "experiment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("space", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("objectives", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("source", Text),
    Column("versions", Text, nullable=False),
    Column("created", Double, nullable=False),
)

trial = Table(
    "trial",
    metadata,
    Column("experiment_id", ForeignKey("experiment.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("error", Text),
    Column("log", Text),
    Column("weights", Text),
    Column("started", Double),
    Column("finished", Double),
    Index("trial_by_state", "experiment_id", "state", "number"),
)

# The final metrics of completed trials once more, as rows: finds the best without reading all trials.
metric = Table(
    "metric",
    metadata,
    Column("experiment_id", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Double, nullable=False),
    ForeignKeyConstraint(["experiment_id", "number"], ["trial.experiment_id", "trial.number"]),
    Index("metric_by_value", "experiment_id", "name", "value", "number"),
    sqlite_with_rowid=False,
)

report = Table(
    "report",
    metadata,
    Column("experiment_id", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("metrics", Text, nullable=False),
    ForeignKeyConstraint(["experiment_id", "number"], ["trial.experiment_id", "trial.number"]),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("experiment_id", ForeignKey("experiment.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("number", Integer),
    Column("time", Double, nullable=False),
    Column("detail", Text),
    Index("event_by_experiment", "experiment_id", "id"),
)
