"""A database by URL: transactions, the version of its schema, and errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Text,
    column,
    create_engine,
    func,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from lanista.errors import StorageError
from lanista.storage import sqlite
from lanista.storage.schema import VERSION, VERSION_TABLE, metadata

_MIGRATING = 0x6C616E69737461
"""Key of PostgreSQL's advisory lock for migrations: "lanista" in ASCII."""


def _parsed(url: str | Path) -> URL:
    if str(url) == ":memory:":
        return URL.create("sqlite")
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(Path(url).absolute()))
    try:
        parsed = make_url(url)
    except ValueError as error:
        form = "dialect://user:password@host:port/database"
        raise ArgumentError(f"not a URL of the form {form}, as in sqlite:///x.db") from error
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or not url.database or url.query.get("mode") == "memory":
        return None
    if url.database.startswith("file:"):
        return Path(unquote(urlsplit(url.database).path)).absolute()
    return None if url.database == ":memory:" else Path(url.database).absolute()


class Database:
    """A database with lanista's schema. Every SQLAlchemy error leaves it as a StorageError.

    Attributes:
        name: the file's path, or the URL without its password.
        file: the SQLite file, or None.
        engine: for what needs a connection of its own.
    """

    def __init__(self, url: str | Path, *, create: bool) -> None:
        self.name = str(url).partition("://")[0]  # until the URL is understood, a password may be anywhere in it
        self.file: Path | None = None
        with self.explained():
            parsed = _parsed(url)
            self.file = _file(parsed)
            self.name = str(self.file or parsed.render_as_string(hide_password=True))
            if self.file:
                self._place(self.file, create=create)
            self.engine = self._engine(parsed)
        self._writer = self.engine.execution_options(**sqlite.ALONE)
        try:
            self._settle(create=create)
        except StorageError:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads: all its statements see the same state."""
        with self.explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is alone in writing; an exception undoes all of it."""
        with self.explained(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn each SQLAlchemy error within a `with` block into a StorageError that says what to do."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else None
            advice = sqlite.way_out(cause)
            if advice is None and isinstance(error, OperationalError):
                advice = "check that the server runs and can be reached, and the user and password in the URL"
            reason = str(cause or error).strip()
            raise StorageError(f"storage {self.name}: {reason}" + (f"; {advice}" if advice else "")) from error

    def _place(self, file: Path, *, create: bool) -> None:
        if not create and not file.is_file():
            raise StorageError(f"there is no storage {file}: check the path; an experiment creates it when it runs")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"storage {file}: its folder cannot be made ({error}); give another path") from error

    def _engine(self, url: URL) -> Engine:
        try:
            if url.get_backend_name() == "sqlite":
                return sqlite.engine(url, memory=self.file is None)
            return create_engine(url, pool_pre_ping=True)  # an experiment may outlive its connection
        except ModuleNotFoundError as error:
            raise StorageError(
                f"storage {self.name} needs the package {error.name!r}; for PostgreSQL: pip install 'lanista[postgres]'"
            ) from error

    def _settle(self, *, create: bool) -> None:
        with self.read() as connection:
            version = self._version(connection)
        if version is None and not create:
            raise StorageError(f"storage {self.name} holds no experiments of lanista; check the path")
        if version is not None and version > VERSION:
            raise StorageError(
                f"storage {self.name} has schema {version}, but this lanista knows schemas up to {VERSION}; "
                "upgrade it: pip install --upgrade lanista"
            )
        if create and self.file:
            with self.explained():
                sqlite.settle_journal(self.engine, self.file)
        if version != VERSION:
            self._migrate()

    def _version(self, connection: Connection) -> str | None:
        tables = inspect(connection).get_table_names()
        if VERSION_TABLE in tables:
            query = select(column("version_num", Text)).select_from(table(VERSION_TABLE))
            return connection.execute(query).scalar()
        if taken := sorted(metadata.tables.keys() & tables):
            raise StorageError(
                f"storage {self.name} has tables {', '.join(taken)} of another program; give another database"
            )
        return None

    def _migrate(self) -> None:
        # Imported here only: alembic costs a fifth of a second, and reading a storage does not need it.
        from lanista.storage import migration

        with self.write() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's transaction is alone already
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
            migration.upgrade(connection)  # does nothing where another process was first
