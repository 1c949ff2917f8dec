"""One runner per experiment: locks that the system or the server releases when their holder dies."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import text

from lanista.errors import ExperimentError, StorageError
from lanista.storage.database import Database

PATIENCE = 0.5
"""Seconds that a runner tries: who only asks whether an experiment runs holds its lock for a moment."""


def refusal(name: str, holder: str) -> ExperimentError:
    """Say that the experiment is being run by `holder`."""
    return ExperimentError(
        f"experiment {name!r} is being run by {holder}; wait until it ends, end that process, "
        "or give this experiment another name"
    )


class Locks(ABC):
    """Exclusive locks by experiment name."""

    @abstractmethod
    def hold(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock of `name` within a `with` block. Raises ExperimentError when somebody holds it."""

    @abstractmethod
    def held(self, name: str) -> bool:
        """Whether somebody holds the lock of `name` now, this process included."""


class MemoryLocks(Locks):
    """For a database that only this object can reach."""

    def __init__(self) -> None:
        self._held: set[str] = set()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock."""
        if name in self._held:
            raise refusal(name, f"process {os.getpid()}, this one")
        self._held.add(name)
        try:
            yield
        finally:
            self._held.discard(name)

    def held(self, name: str) -> bool:
        """Whether the lock is held."""
        return name in self._held


class FileLocks(Locks):
    """A locked file `lock` in the experiment's folder; beside it, `runner` says who holds it."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock; makes the folder."""
        folder = self._folder(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / "lock")
            lock.acquire(timeout=PATIENCE, poll_interval=0.02)
        except Timeout as error:
            raise refusal(name, self._holder(folder)) from error
        except OSError as error:
            raise StorageError(f"cannot lock experiment {name!r} in {folder}: {error}") from error
        try:
            # A file of its own: on Windows nobody else can read the locked one.
            runner = json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
            (folder / "runner").write_text(runner, encoding="utf-8")
            yield
        finally:
            lock.release()

    def held(self, name: str) -> bool:
        """Whether the lock is held; False, too, for one who may not open the lock."""
        path = self._folder(name) / "lock"
        if not path.exists():
            return False
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        return False

    def _holder(self, folder: Path) -> str:
        try:
            runner = json.loads((folder / "runner").read_text(encoding="utf-8"))
            return f"process {runner['pid']} on {runner['host']}"
        except (OSError, ValueError, KeyError):  # caught between its lock and its line
            return "another process"


class ServerLocks(Locks):
    """PostgreSQL's advisory locks: each held by a connection of its own, and gone with it."""

    _TAKE = text("SELECT pg_try_advisory_lock(:key)")
    _GIVE = text("SELECT pg_advisory_unlock(:key)")
    _SIGN = text("SELECT set_config('application_name', :runner, false)")
    # A key of 64 bits is shown as two halves; objsubid 1 tells it from a pair of 32-bit keys.
    _HOLDER = text(
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'"
        " AND granted AND objsubid = 1 AND classid::bigint = :high AND objid::bigint = :low"
        " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    def __init__(self, database: Database) -> None:
        self._explained = database.explained
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")  # leaves no transaction open

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock."""
        key = {"key": self._key(name)}
        with self._explained():
            connection = self._engine.connect()
        try:
            with self._explained():
                runner = f"process {os.getpid()} on {socket.gethostname()}"
                connection.execute(self._SIGN, {"runner": runner})
                taken = connection.execute(self._TAKE, key).scalar_one()
            if not taken:
                raise refusal(name, self._holder(name) or "another process")
            try:
                yield
            finally:
                with self._explained():
                    connection.execute(self._GIVE, key)
        finally:
            connection.close()

    def held(self, name: str) -> bool:
        """Whether the lock is held."""
        return self._holder(name) is not None

    def _holder(self, name: str) -> str | None:
        high, low = divmod(self._key(name), 2**32)
        with self._explained(), self._engine.connect() as connection:
            holder = connection.execute(self._HOLDER, {"high": high, "low": low}).scalar()
        return None if holder is None else str(holder)

    def _key(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
