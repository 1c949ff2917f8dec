"""Bringing a database to the newest schema. The only module that needs alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Apply the missing migrations on `connection`, within its transaction."""
    config = Config()
    config.set_main_option("script_location", "lanista.storage:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
