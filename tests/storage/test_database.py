"""Where a database cannot be opened, read or written: what is said, and that nothing is lost."""

import re
import sqlite3
import subprocess
import sys
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from lanista.errors import StorageError
from lanista.storage import Storage, sqlite
from lanista.testing.storages import experiment
from lanista.trial import State, Trial


@pytest.fixture
def file(tmp_path):
    """A storage with one experiment and 200 finished trials, some megabytes in all."""
    with Storage(tmp_path / "x.db") as storage:
        record = experiment(storage)
        for number in range(200):
            storage.propose(record, Trial(number=number, architecture={"filler": "x" * 9000}))
            storage.finish(record, Trial(number=number, architecture={}, state=State.COMPLETED))
    return tmp_path / "x.db"


@contextmanager
def pragma(statement):
    """Give each new SQLite connection a setting, as a full disk or a read-only one would."""

    def configure(connection, _):
        connection.execute(statement)

    event.listen(Engine, "connect", configure)
    yield
    event.remove(Engine, "connect", configure)


def grow(storage, record):
    """Add trials until it fails; return the number of the one that did."""
    number = len(storage.trials(record))
    while True:
        try:
            storage.propose(record, Trial(number=number, architecture={"filler": "x" * 9000}))
        except StorageError as error:
            return number, str(error)
        number += 1


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "no" / "x.db"
    with pytest.raises(StorageError, match=f"there is no storage {re.escape(str(path))}: check the path"):
        Storage(path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_experiments_is_named(tmp_path):
    (tmp_path / "x.db").touch()
    with pytest.raises(StorageError, match=r"x.db holds no experiments of lanista; check the path"):
        Storage(tmp_path / "x.db", create=False)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"its folder cannot be made .*; give another path"):
        Storage(tmp_path / "file" / "x.db")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(StorageError, match="unable to open database file; check that the folder exists"):
        Storage(tmp_path)


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    content = b"this is a diary, not a database" * 100
    (tmp_path / "x.db").write_bytes(content)
    for create in (True, False):
        with pytest.raises(StorageError, match=r"file is not a database; .* give another path"):
            Storage(tmp_path / "x.db", create=create)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


def test_the_tables_of_another_program_are_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as other:
        other.execute("CREATE TABLE trial (verdict TEXT)")
    other.close()
    before = (tmp_path / "x.db").read_bytes()
    with pytest.raises(StorageError, match="has tables trial of another program; give another database"):
        Storage(tmp_path / "x.db")
    assert (tmp_path / "x.db").read_bytes() == before


def test_a_newer_schema_is_refused(file):
    with sqlite3.connect(file) as newer:
        newer.execute("UPDATE lanista_version SET version_num = '0042'")
    newer.close()
    for create in (True, False):
        with pytest.raises(StorageError, match=r"has schema 0042, but .* up to 0001; upgrade it: pip install"):
            Storage(file, create=create)


@pytest.mark.parametrize("how", ["uri", "pragma"])
def test_a_read_only_file_can_be_read(file, how):
    url = f"sqlite:///file:{file}?mode=ro&uri=true" if how == "uri" else file
    with pragma("PRAGMA query_only=1" if how == "pragma" else "PRAGMA user_version"), Storage(url) as storage:
        record = storage.experiments()[0].record
        assert storage.artifacts == file.with_suffix(".artifacts")
        assert len(storage.trials(record)) == 200
        with pytest.raises(StorageError, match=r"readonly database; the file or its folder is read-only"):
            storage.propose(record, Trial(number=200, architecture={}))
        assert len(storage.trials(record)) == 200


def test_a_full_disk_loses_nothing(file):
    pages = file.stat().st_size // 4096 + 20
    with pragma(f"PRAGMA max_page_count={pages}"), Storage(file) as storage:
        record = storage.experiments()[0].record
        number, message = grow(storage, record)
        assert re.search("disk is full; .*free some space and run again; finished trials are kept", message)
        assert 200 < number < 220
        assert len(storage.trials(record)) == number
        assert storage.counts(record)[State.COMPLETED] == 200
    with Storage(file) as storage:  # the disk has room again
        storage.propose(record, Trial(number=number, architecture={"filler": "x" * 9000}))
        assert [entry.number for entry in storage.events(record)][-1] == number
        assert len(storage.trials(record)) == number + 1


QUOTA = """
import resource, sys
from lanista.errors import StorageError
from lanista.storage import Storage, sqlite
from lanista.trial import Trial
storage = Storage(sys.argv[1])
record = storage.experiments()[0].record
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    for number in range(200, 600):
        storage.propose(record, Trial(number=number, architecture={"filler": "x" * 9000}))
except StorageError as error:
    print(number, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the file size are POSIX")
def test_a_quota_loses_nothing(file):
    result = subprocess.run([sys.executable, "-c", QUOTA, file], capture_output=True, text=True, check=True)
    number, message = result.stdout.split(maxsplit=1)
    assert "disk I/O error; the disk fails, or a quota is full: check both and run again" in message
    with Storage(file) as storage:
        assert len(storage.trials(storage.experiments()[0].record)) == int(number) > 200


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_file_is_named(file, damage):
    content = bytearray(file.read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[16384:] = b"\xaa" * (len(content) - 16384)
    file.write_bytes(content)
    with (
        pytest.raises(StorageError, match=r"x.db: database disk image is malformed; .* restore a copy"),
        Storage(file) as storage,
    ):
        for summary in storage.experiments():
            list(storage.history(summary.record))
    assert file.read_bytes() == content


def test_a_database_locked_for_long_is_named(file, monkeypatch):
    monkeypatch.setattr("lanista.storage.sqlite.PATIENCE", 0.05)
    holder = sqlite.driver().connect(file, isolation_level=None)  # locks do not work between two builds
    with Storage(file) as storage:
        record = storage.experiments()[0].record
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="database is locked; another process kept the database locked"):
            storage.log(record, "run")
        assert len(storage.trials(record)) == 200  # who reads does not wait
        holder.execute("ROLLBACK")
        storage.log(record, "run")
        assert storage.events(record)[-1].kind == "run"
    holder.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+nonsense://me:hunter2@host/db", "nonsense"),
        ("nonsense://me:hunter2@host/db", "nonsense"),
        ("postgresql://me:hunter2@host:port/db", "storage postgresql: not a URL .*, as in sqlite:///x.db"),
        ("mysql+asyncmy://me:hunter2@host/db", "needs the package 'asyncmy'; for PostgreSQL: pip install"),
    ],
)
def test_a_bad_url_is_refused_without_its_password(url, message):
    with pytest.raises(StorageError, match=message) as caught:
        Storage(url)
    assert "hunter2" not in str(caught.value)


def test_many_processes_create_it_at_once(tmp_path):
    code = "import sys; from lanista.storage import Storage; Storage(sys.argv[1]).experiments()"
    command = [sys.executable, "-c", code, str(tmp_path / "x.db")]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 4
