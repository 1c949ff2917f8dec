"""The first schema: experiments, trials, their metrics and reports, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "experiment",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("space", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("objectives", sa.Text, nullable=False),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "trial",
        sa.Column("experiment_id", sa.Integer, sa.ForeignKey("experiment.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("architecture", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("log", sa.Text),
        sa.Column("weights", sa.Text),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
    )
    op.create_index("trial_by_state", "trial", ["experiment_id", "state", "number"])
    op.create_table(
        "metric",
        sa.Column("experiment_id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["experiment_id", "number"], ["trial.experiment_id", "trial.number"]),
        sqlite_with_rowid=False,
    )
    op.create_index("metric_by_value", "metric", ["experiment_id", "name", "value", "number"])
    op.create_table(
        "report",
        sa.Column("experiment_id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["experiment_id", "number"], ["trial.experiment_id", "trial.number"]),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("experiment_id", sa.Integer, sa.ForeignKey("experiment.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("detail", sa.Text),
    )
    op.create_index("event_by_experiment", "event", ["experiment_id", "id"])
