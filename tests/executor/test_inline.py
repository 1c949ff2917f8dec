import os
import threading

import pytest

from lanista.executor import Finished, InlineExecutor, Started
from lanista.testing.executors import EXECUTOR_LAWS, collect, numbered, outcomes


@pytest.mark.parametrize("law", EXECUTOR_LAWS, ids=lambda law: law.__name__)
def test_law(law, tmp_path):
    law(InlineExecutor, tmp_path)


def test_runs_in_the_calling_thread_and_leaves_output_alone(tmp_path, capsys):
    lock = threading.Lock()  # cannot be pickled, and need not be

    def work(trial):
        print("seen by the caller")
        with lock:
            return {"pid": os.getpid(), "thread": threading.get_ident()}

    started, finished = collect(InlineExecutor(), work, numbered(1), tmp_path)
    assert started == Started(0, 1, None)
    assert finished.outcome.metrics == {"pid": os.getpid(), "thread": threading.get_ident()}
    assert capsys.readouterr().out == "seen by the caller\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_passes_and_frees_the_slot(tmp_path):
    def work(trial):
        if trial.number == 0:
            raise KeyboardInterrupt
        return {"score": 1}

    executor, events = InlineExecutor(), []
    executor.start(work, events.append, tmp_path)
    interrupted, following = numbered(2)
    executor.submit(interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.wait()
    executor.submit(following)
    executor.wait()
    assert list(outcomes(events)) == [1]


def test_evaluation_that_swallows_a_listener_error_does_not_hide_it(tmp_path):
    def work(trial):
        try:
            trial.report(1)
        except OSError:
            return {"score": 1}

    def listener(event):
        assert not isinstance(event, Finished)
        if not isinstance(event, Started):
            raise OSError("the disk is full")

    executor = InlineExecutor()
    executor.start(work, listener, tmp_path)
    executor.submit(numbered(1)[0])
    with pytest.raises(OSError, match="disk is full"):
        executor.wait()
