"""Which SQLite is used, and how files are opened."""

import sqlite3

import pytest

from lanista.storage import Storage, sqlite
from lanista.testing.storages import experiment
from lanista.trial import Trial


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_the_versions_with_the_bug_are_known(version, sound):
    assert sqlite.sound(version) is sound


class Build:
    def __init__(self, *version):
        self.sqlite_version_info = version
        self.sqlite_version = ".".join(map(str, version))


OLD, SOUND = Build(3, 40, 1), Build(3, 51, 3)


@pytest.mark.parametrize(
    ("own", "bundled", "expected", "warned"),
    [
        (SOUND, None, SOUND, False),
        (SOUND, OLD, SOUND, False),
        (OLD, SOUND, SOUND, False),
        (OLD, OLD, OLD, True),
        (OLD, None, OLD, True),
    ],
)
def test_a_sound_build_is_preferred(monkeypatch, caplog, own, bundled, expected, warned):
    monkeypatch.setattr(sqlite, "sqlite3", own)
    monkeypatch.setattr(sqlite, "bundled", bundled)
    assert sqlite.driver() is expected
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert ("SQLite 3.40.1 can corrupt a database" in caplog.text) is warned


def journal(path):
    connection = sqlite3.connect(path)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    return mode


MOUNTS = """\
40 27 0:33 / {folder} rw,relatime shared:1 - {kind} server:/export rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
41 27 0:34 / /somewhere/else rw - nfs4 server:/other rw
"""


@pytest.mark.parametrize(("kind", "mode"), [("nfs4", "delete"), ("lustre", "delete"), ("xfs", "wal")])
def test_no_wal_on_network_file_systems(tmp_path, monkeypatch, kind, mode):
    folder = tmp_path / "shared home"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(folder=str(folder).replace(" ", "\\040"), kind=kind))
    monkeypatch.setattr(sqlite, "MOUNTS", mounts)
    with Storage(folder / "x.db") as storage, Storage(folder / "x.db") as reader:
        record = experiment(storage)
        storage.propose(record, Trial(number=0, architecture={}))
        history = reader.history(record)
        next(history)
        storage.propose(record, Trial(number=1, architecture={}))  # an unfinished history locks nothing
        assert len(reader.trials(record)) == 2
    assert journal(folder / "x.db") == mode


def test_without_a_list_of_mounts_wal_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "MOUNTS", tmp_path / "none")
    Storage(tmp_path / "x.db").close()
    assert journal(tmp_path / "x.db") == "wal"


def test_where_wal_cannot_be_had_it_works_without(tmp_path, monkeypatch):
    Storage(tmp_path / "x.db").close()
    # Two builds of SQLite in one process do not see each other's locks.
    holder = sqlite.driver().connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("PRAGMA journal_mode=delete")
    holder.execute("BEGIN")
    holder.execute("SELECT * FROM trial").fetchall()  # the journal is not changed under a reader
    monkeypatch.setattr(sqlite, "PATIENCE", 0.05)
    with Storage(tmp_path / "x.db") as storage:
        holder.execute("ROLLBACK")
        record = experiment(storage)
        assert storage.find(record.name) == record
    holder.close()
    assert journal(tmp_path / "x.db") == "delete"
