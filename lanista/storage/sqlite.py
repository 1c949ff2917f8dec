"""SQLite: which build of it, how a file is opened, and what its errors mean."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, StaticPool, create_engine, event
from sqlalchemy.exc import OperationalError

try:
    from pysqlite3 import dbapi2 as bundled
except ImportError:  # no wheel for this platform
    bundled = None

logger = logging.getLogger(__name__)

BEGIN = "lanista_begin"
"""Execution option of connections: the statement that begins a transaction, or "" for none."""

ALONE = {BEGIN: "BEGIN IMMEDIATE"}
"""For transactions that write. With a bare BEGIN, one that reads first fails if another wrote in between."""

RELAXED = "PRAGMA synchronous=NORMAL"
"""With WAL this is safe: a power cut may undo the last transactions, but only as a whole."""

PATIENCE = 60
"""Seconds that a transaction waits for the one of another process."""

MOUNTS = Path("/proc/self/mountinfo")

NETWORKED = frozenset(
    [
        *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gpfs"),
        *("lustre", "nfs", "nfs4", "panfs", "pvfs2", "smb3", "smbfs"),
    ]
)
"""Linux's names of file systems on which processes of two hosts do not share memory, as WAL needs."""

WAYS_OUT = {
    "SQLITE_READONLY": "the file or its folder is read-only: get write permission, or copy it elsewhere",
    "SQLITE_FULL": "the disk is full: free some space and run again; finished trials are kept",
    "SQLITE_IOERR": "the disk fails, or a quota is full: check both and run again; finished trials are kept",
    "SQLITE_CORRUPT": "the file is damaged: restore a copy, or save what can be read with "
    "`sqlite3 DAMAGED .recover | sqlite3 NEW`",
    "SQLITE_NOTADB": "the file is not an SQLite database: give another path",
    "SQLITE_BUSY": f"another process kept the database locked for {PATIENCE} s: end it, or run again later",
    "SQLITE_CANTOPEN": "check that the folder exists, and that you may read and write in it",
}
"""What to do, by how the name of the error begins."""


def sound(version: tuple[int, ...]) -> bool:
    """Whether this SQLite is free of the WAL-reset bug, by which two connections can corrupt a file.

    Found in 3.7.0 to 3.51.2; the fix was also put into 3.50.7 and 3.44.6 (https://sqlite.org/wal.html#walresetbug).
    """
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def driver() -> Any:
    """Choose the DBAPI module: Python's own, or pysqlite3 where only that is free of the WAL-reset bug."""
    for module in (sqlite3, bundled):
        if module is not None and sound(module.sqlite_version_info):
            return module
    logger.warning(
        "SQLite %s can corrupt a database that two processes use at once "
        "(https://sqlite.org/wal.html#walresetbug); install pysqlite3>=0.6.1, or a Python "
        "with SQLite 3.51.3 or newer",
        sqlite3.sqlite_version,
    )
    return sqlite3


def networked(path: Path) -> bool:
    """Whether `path` lies on a network file system. Only Linux tells; elsewhere the answer is no."""
    try:
        mounts = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    path = path.resolve()
    depth, kind = -1, ""
    for mount in mounts:
        place, _, source = mount.partition(" - ")
        point = Path(place.split()[4].replace("\\040", " "))
        if path.is_relative_to(point) and len(point.parts) >= depth:
            depth, kind = len(point.parts), source.split()[0]
    return kind in NETWORKED


def engine(url: URL, *, memory: bool) -> Engine:
    """Make an engine for the database at `url`, a file or in memory."""
    module = driver()
    # Isolation level None leaves BEGIN to us. One thread at a time uses the connection, not always the same.
    settings = {"isolation_level": None, "timeout": PATIENCE, "check_same_thread": False}
    # In memory, the connection is the database: there must be one.
    pool = StaticPool if memory else QueuePool
    made = create_engine(url, module=module, connect_args=settings, poolclass=pool)

    @event.listens_for(made, "connect")
    def configure(connection: Any, _: object) -> None:
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                connection.execute(RELAXED)
        except module.Error:
            connection.close()
            raise

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        if how := connection.get_execution_options().get(BEGIN, "BEGIN"):
            connection.exec_driver_sql(how)

    return made


def settle_journal(engine: Engine, file: Path) -> None:
    """Turn the file's journal to WAL, so that readers and a writer do not wait, where that can be."""
    wanted = "delete" if networked(file) else "wal"
    with engine.execution_options(**{BEGIN: ""}).connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        if mode == wanted:
            return
        try:
            mode = connection.exec_driver_sql(f"PRAGMA journal_mode={wanted}").scalar()
        except OperationalError as error:
            logger.info("%s keeps its journal mode %s: %s", file, mode, error.orig)
        if mode == "wal":
            connection.exec_driver_sql(RELAXED)


def way_out(error: BaseException | None) -> str | None:
    """Say what to do about an error of SQLite, or None for others."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return next((advice for prefix, advice in WAYS_OUT.items() if name.startswith(prefix)), None)
