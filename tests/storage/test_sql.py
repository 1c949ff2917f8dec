"""The contract on SQLite, and what is particular to files."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.storage import Storage
from lanista.testing.storages import StorageContract, experiment
from lanista.trial import State, Trial


class TestFile(StorageContract):
    @pytest.fixture
    def open_storage(self, tmp_path):
        opened = []

        def open_storage():
            opened.append(Storage(tmp_path / "x.db"))
            return opened[-1]

        yield open_storage
        for storage in opened:
            storage.close()


class TestMemory(StorageContract):
    @pytest.fixture
    def open_storage(self, tmp_path):
        with Storage(":memory:", artifacts=tmp_path) as storage:
            yield lambda: storage
        assert list(tmp_path.iterdir()) == []


def test_artifacts_lie_beside_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Storage(tmp_path / "runs" / "a.db") as storage:
        assert storage.artifacts == tmp_path / "runs" / "a.artifacts"
    with Storage("sqlite:///b.db") as storage:
        assert storage.artifacts == tmp_path / "b.artifacts"
    with Storage() as storage:
        assert (storage.name, storage.artifacts) == (
            str(tmp_path / "lanista.db"),
            tmp_path / "lanista.artifacts",
        )
    storage = Storage("sqlite://")
    passing = storage.artifacts
    assert tmp_path not in passing.parents  # where an experiment of the same name in lanista.db has its weights
    passing.mkdir()
    storage.close()
    del storage
    gc.collect()
    assert not passing.exists()
    with Storage("c.db", artifacts=Path("elsewhere")) as storage:
        assert storage.artifacts == tmp_path / "elsewhere"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.db", "c.db", "lanista.db", "runs"]


_name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.tuples(_name, _name) | _name.map(lambda name: (name, name.swapcase())))
def test_each_name_has_a_folder_of_its_own(names):
    with Storage("sqlite://", artifacts=Path("root")) as storage:
        folders = [storage.folder(name) for name in names]
    assert all(folder.parent == storage.artifacts and len(folder.name) < 128 for folder in folders)
    # also where the file system takes a capital for its small letter
    assert (folders[0].name.lower() == folders[1].name.lower()) == (names[0] == names[1])


@pytest.mark.parametrize("name", ["mnist-cell", "run.2", "a_b"])
def test_plain_names_are_folders(tmp_path, name):
    with Storage("sqlite://", artifacts=tmp_path) as storage:
        assert storage.folder(name) == tmp_path / name


@pytest.mark.parametrize("name", [".", "..", "a/b", "con", "nul.x", "a.", "-", "x" * 300, "Net"])
def test_other_names_are_made_safe(tmp_path, name):
    with Storage("sqlite://", artifacts=tmp_path) as storage:
        folder = storage.folder(name)
    folder.mkdir()
    assert list(tmp_path.iterdir()) == [folder]
    assert "~" in folder.name


KILLED = """
import sys
from dataclasses import replace
from lanista.storage import Storage
from lanista.trial import State, Trial
storage = Storage(sys.argv[1])
record = storage.find(sys.argv[2])
number = 0
while True:
    trial = Trial(number=number, architecture={"a": number}, started=1.0)
    storage.propose(record, trial)
    storage.report(record, number, 0, {"a": 1.0})
    storage.finish(record, replace(trial, state=State.COMPLETED, metrics={"a": 1.0, "b": 2.0}, finished=2.0))
    print(number, flush=True)
    number += 1
"""


def test_a_killed_writer_loses_no_finished_trial(tmp_path):
    with Storage(tmp_path / "x.db") as storage:
        record = experiment(storage)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "x.db"), record.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        told = -1
        while told < 40:
            told = int(writer.stdout.readline())
        writer.kill()
        told = max([told, *map(int, writer.stdout.read().split())])
    with Storage(tmp_path / "x.db") as storage:
        trials = storage.trials(record)
        assert all(trial.state is State.COMPLETED for trial in trials[: told + 1])
        assert len(trials) - (told + 1) in (0, 1)  # at most the one that it was at
        assert len(storage.top(record, "b", "maximize", 10**6)) == storage.counts(record)[State.COMPLETED]
        number = len(trials)
        storage.propose(record, Trial(number=number, architecture={}))
        assert storage.counts(record)[State.RUNNING] >= 1


def test_reading_imports_neither_torch_nor_alembic(tmp_path):
    Storage(tmp_path / "x.db").close()
    code = (
        "import sys; from lanista.storage import Storage; Storage(sys.argv[1], create=False).experiments();"
        "print(sorted({'torch', 'alembic', 'psycopg'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.db")]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert result.stdout.strip() == "[]"
