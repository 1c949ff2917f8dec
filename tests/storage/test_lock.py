"""Locks between processes."""

import os
import socket
import subprocess
import sys
import threading

import pytest
from filelock import FileLock

from lanista.errors import ExperimentError, StorageError
from lanista.storage import Storage

HOLDER = """
import sys
from lanista.storage import Storage
with Storage(sys.argv[1]) as storage, storage.lock("net"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def storage(tmp_path):
    with Storage(tmp_path / "x.db") as storage:
        yield storage


@pytest.fixture
def holder(storage):
    """Another process that holds the lock of "net" until it reads a line."""
    command = [sys.executable, "-c", HOLDER, storage.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_named(storage, holder):
    assert storage.running("net")
    message = f"experiment 'net' is being run by process {holder.pid} on {socket.gethostname()}; wait until it ends"
    with pytest.raises(ExperimentError, match=message), storage.lock("net"):
        pass
    assert storage.running("net")  # a refused one leaves the lock alone
    holder.communicate("go\n")
    assert not storage.running("net")
    with storage.lock("net"):
        assert storage.running("net")


def test_the_death_of_the_holder_frees_the_lock(storage, holder):
    holder.kill()
    holder.wait()
    assert not storage.running("net")
    with storage.lock("net"):
        assert storage.running("net")


def test_a_holder_between_its_lock_and_its_name(storage):
    with storage.lock("net"):
        (storage.folder("net") / "runner").write_text('{"pid": ')
        with pytest.raises(ExperimentError, match="is being run by another process"), storage.lock("net"):
            pass


def test_who_only_asks_makes_no_folder(storage):
    assert not storage.running("net")
    assert not storage.artifacts.exists()


def test_who_only_asks_keeps_no_runner_out(storage):
    with storage.lock("net"):
        pass
    asked = FileLock(storage.folder("net") / "lock", thread_local=False)
    asked.acquire()
    threading.Timer(0.05, asked.release).start()
    with storage.lock("net"):
        assert storage.running("net")


def test_artifacts_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with (
        Storage(tmp_path / "x.db", artifacts=tmp_path / "file") as storage,
        pytest.raises(StorageError, match=r"cannot lock experiment 'net' in .*file"),
        storage.lock("net"),
    ):
        pass


FORKED = """
import os, sys
from lanista.storage import Storage
with Storage(sys.argv[1]) as storage, storage.lock("net"):
    if os.fork() == 0:
        print("forked", flush=True)
    sys.stdin.readline()
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_forked_child_does_not_keep_the_lock(storage):
    """A data loader's worker outlives a killed runner for some seconds."""
    command = [sys.executable, "-c", FORKED, storage.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "forked\n"
        assert storage.running("net")
        process.kill()
        process.wait()
        assert not storage.running("net")
        process.stdin.close()  # ends the child
