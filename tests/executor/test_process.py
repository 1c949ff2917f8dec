import contextlib
import fcntl
import gc
import importlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import cloudpickle
import pytest

import lanista
from lanista.errors import ExecutorError
from lanista.executor import Finished, ProcessExecutor, Reported, Started
from lanista.testing.executors import EXECUTOR_LAWS, collect, numbered, outcomes
from lanista.trial import State

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # so that workers need not import pytest
ROOT = Path(lanista.__file__).parents[1]
RUN = {
    "env": {name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    "stdout": subprocess.PIPE,
    "text": True,
}


def processes(workers=2, **options):
    return ProcessExecutor(workers, devices=["cpu"], **options)


def script(source, folder):
    """Write a script that finds lanista by its own means only, to run in another folder than its own."""
    path = folder / "script.py"
    path.write_text(f"import sys; sys.path.append({str(ROOT)!r})\n{source}")
    (folder / "elsewhere").mkdir()
    return [sys.executable, str(path)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("law", EXECUTOR_LAWS, ids=lambda law: law.__name__)
def test_law(law, workers, tmp_path):
    law(lambda: processes(workers), tmp_path)


def test_a_default_timeout_for_sockets_is_not_for_ours(tmp_path):
    socket.setdefaulttimeout(0.01)
    try:
        events = collect(processes(), lambda trial: {"score": time.sleep(0.1) or 1}, numbered(4), tmp_path)
    finally:
        socket.setdefaulttimeout(None)
    assert {outcome.state for outcome in outcomes(events).values()} == {State.COMPLETED}


def segfault(trial):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(trial):
    os._exit(3)


def vanish(trial):
    os.kill(os.getpid(), signal.SIGKILL)


def vanish_from_a_child(trial):
    if os.fork():
        vanish(trial)
    time.sleep(3600)  # and holds the socket open


def disconnect(trial):
    os.closerange(3, 256)


def leave_a_thread(trial):
    threading.Thread(target=time.sleep, args=(3600,)).start()  # Python waits for it at exit
    raise GeneratorExit


def hang(trial):
    time.sleep(3600)


def lock(path):
    """Lock a file until this process is gone, and who else gets the descriptor."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def lock_with_child(path):
    subprocess.Popen(["sleep", "3600"], pass_fds=[lock(path)])


def wait_for_death(path):
    with path.open() as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)


DEATHS = {
    segfault: r"^the worker died with signal SIGSEGV in attempt 2 of 2\n(?s:.*)Segmentation fault",
    leave: r"^the worker exited with code 3 in attempt 2 of 2\n",
    vanish: r"^the worker died with signal SIGKILL \(out of memory\?\) in attempt 2 of 2\n",
    vanish_from_a_child: r"^the worker died with signal SIGKILL",
    disconnect: r"^the worker exited with code 1 in attempt 2 of 2\n(?s:.*)OSError",
    leave_a_thread: r"^the worker closed its connection (?s:.*)GeneratorExit",
    hang: r"^the trial took longer than time_limit=1 s in attempt 2 of 2\n",
}


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.__name__)
def test_a_death_costs_its_trial_an_attempt_and_no_other_trial(death, tmp_path):
    def work(trial):
        if trial.number == 0:
            print("this is number", trial.attempts)
            death(trial)
        return {"score": trial.number}

    events = collect(processes(time_limit=1 if death is hang else None), work, numbered(20), tmp_path)
    ended, log = outcomes(events), str(tmp_path / "0.log")
    starts = [event for event in events if isinstance(event, Started) and event.number == 0]
    assert starts == [Started(0, 1, log), Started(0, 2, log)]
    assert [event.attempts for event in events if isinstance(event, Finished) and event.number == 0] == [2]
    assert ended[0].state is State.FAILED
    assert re.search(DEATHS[death], ended[0].error), ended[0].error
    assert "this is number 2" in ended[0].error.split("the last lines of its log:")[1]
    assert [ended[number].metrics for number in range(1, 20)] == [{"score": x} for x in range(1, 20)]


def test_an_attempt_that_survives_is_an_ordinary_trial(tmp_path):
    def work(trial):
        trial.report(trial.attempts)
        if trial.attempts < 3:
            vanish(trial)
        return {"attempts": trial.attempts}

    events = collect(processes(1, retries=2), work, numbered(1), tmp_path)
    assert [event.attempt for event in events if isinstance(event, Started)] == [1, 2, 3]
    assert [event.metrics for event in events if isinstance(event, Reported)] == [{"score": x} for x in (1, 2, 3)]
    assert events[-1].attempts == 3
    assert outcomes(events)[0].metrics == {"attempts": 3}


def test_what_was_reported_before_a_death_arrives(tmp_path):
    """The main process is kept from reading until the worker is dead."""

    def work(trial):
        lock(tmp_path / "lock")
        threading.Timer(1, os._exit, [3]).start()
        print("reports")
        trial.report({"x" * 1000: 1}, 7)  # waits for an answer that does not come

    def listener(event):
        events.append(event)
        if isinstance(event, Started):
            while not Path(event.log).exists() or not Path(event.log).read_text():
                time.sleep(0.01)
            wait_for_death(tmp_path / "lock")

    executor, events = processes(1, retries=0), []
    executor.start(work, listener, tmp_path)
    executor.submit(numbered(1)[0])
    executor.wait()
    executor.stop()
    assert [event.step for event in events if isinstance(event, Reported)] == [7]
    assert "exited with code 3" in events[-1].outcome.error


def test_without_retries_the_first_death_fails_the_trial_but_an_exception_never_costs_a_worker(tmp_path):
    def work(trial):
        trial.report(os.getpid())
        if trial.number == 3:
            leave(trial)
        raise ValueError("no")

    events = collect(processes(1, retries=0), work, numbered(5), tmp_path)
    pids = [event.metrics["score"] for event in events if isinstance(event, Reported)]
    assert len(set(pids[:4])) == 1
    assert pids[4] != pids[3]
    assert [event.attempts for event in events if isinstance(event, Finished)] == [1] * 5
    assert "attempt 1 of 1\nit printed nothing" in outcomes(events)[3].error


def test_random_kills_lose_no_trial_and_double_none(tmp_path):
    chance, killed, events = random.Random(0), set(), []

    def work(trial):
        trial.report(os.getpid())
        time.sleep(0.002)
        return {"score": trial.number}

    def listener(event):
        events.append(event)
        if isinstance(event, Reported):
            pid = int(event.metrics["score"])
            if chance.random() < 0.1 and pid not in killed:
                killed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    executor = processes()
    executor.start(work, listener, tmp_path)
    waiting = numbered(200)
    while len(outcomes(events)) < 200:
        running = 200 - len(waiting) - len(outcomes(events))
        for _ in range(min(executor.slots - running, len(waiting))):
            executor.submit(waiting.pop())
        executor.wait()
    executor.stop()
    assert len(killed) > 5
    finished = [event for event in events if isinstance(event, Finished)]
    assert sorted(event.number for event in finished) == list(range(200))
    for event in finished:
        assert event.outcome.metrics == {"score": event.number} or "SIGKILL" in event.outcome.error
        starts = [start.attempt for start in events if isinstance(start, Started) and start.number == event.number]
        assert starts == list(range(1, event.attempts + 1))


def test_waits_no_longer_than_its_timeout(tmp_path):
    executor, events = processes(1), []
    executor.start(hang, events.append, tmp_path)
    executor.submit(numbered(1)[0])
    while not events:
        executor.wait(0.05)
    executor.stop()
    assert [type(event) for event in events] == [Started]


@pytest.mark.parametrize("death", [hang, vanish], ids=lambda death: death.__name__)
def test_children_die_with_the_attempt(death, tmp_path):
    def work(trial):
        lock_with_child(tmp_path / "lock")
        if trial.attempts == 1:
            death(trial)
        return {"attempts": trial.attempts}

    events = collect(processes(1, time_limit=1, retries=5), work, numbered(1), tmp_path)
    assert outcomes(events)[0].metrics["attempts"] > 1


@pytest.mark.parametrize("end", ["stopped", "forgotten"])
def test_children_die_with_the_executor(end, tmp_path):
    def work(trial):
        lock_with_child(tmp_path / "lock")
        trial.report(1)
        hang(trial)

    executor, events = processes(1), []
    executor.start(work, events.append, tmp_path)
    executor.submit(numbered(1)[0])
    while len(events) < 2:
        executor.wait(0.05)
    if end == "stopped":
        executor.stop()
    del executor
    gc.collect()
    wait_for_death(tmp_path / "lock")


def test_workers_and_children_die_with_the_main_process(tmp_path):
    def work(trial):
        lock_with_child(tmp_path / "lock")
        trial.report(1)
        hang(trial)

    (tmp_path / "work").write_bytes(cloudpickle.dumps(work))
    source = """
import pickle, pathlib
from lanista.executor import ProcessExecutor
from lanista.testing.executors import numbered

executor = ProcessExecutor(1, devices=["cpu"])
work = pickle.loads(pathlib.Path("../work").read_bytes())
executor.start(work, lambda event: print(event, flush=True), pathlib.Path("logs"))
executor.submit(numbered(1)[0])
executor.wait()
"""
    with subprocess.Popen(script(source, tmp_path), **RUN, cwd=tmp_path / "elsewhere") as main:
        assert main.stdout.readline().startswith("Started")
        assert main.stdout.readline().startswith("Reported")
        main.kill()
    wait_for_death(tmp_path / "lock")


def test_main_script_needs_no_guard_and_finds_the_module_beside_it(tmp_path):
    (tmp_path / "beside.py").write_text("def double(x): return 2 * x")
    source = """
import json, pathlib
import beside
from lanista.executor import ProcessExecutor
from lanista.testing.executors import collect, numbered, outcomes

OFFSET = 1
class Work:
    def __call__(self, trial):
        return {"score": beside.double(trial.number) + OFFSET, "arguments": len(sys.argv)}

ended = outcomes(collect(ProcessExecutor(2, devices=["cpu"]), Work(), numbered(4), pathlib.Path("logs")))
print(json.dumps([ended[number].metrics or ended[number].error for number in range(4)]))
"""
    command = [*script(source, tmp_path), "one", "two"]
    run = subprocess.run(command, check=True, cwd=tmp_path / "elsewhere", **RUN)
    assert json.loads(run.stdout) == [{"score": score, "arguments": 3} for score in (1, 3, 5, 7)]


def test_odd_files_beside_a_notebook_do_not_hide_standard_modules(tmp_path):
    for name in ("random", "json", "socket", "pickle", "threading"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the standard module')")
    (tmp_path / "profile.py").write_text("COLUMNS = 80  # the user's own, and not yet imported by anyone")
    source = f"""
import os, pathlib, random
from lanista.executor import ProcessExecutor
from lanista.testing.executors import collect, numbered, outcomes
os.chdir({str(tmp_path)!r})
sys.path[0] = ""  # as IPython does, late
import profile
work = lambda trial: {{"score": random.Random(0).random(), "columns": profile.COLUMNS}}
print(outcomes(collect(ProcessExecutor(1, devices=["cpu"]), work, numbered(1), pathlib.Path("logs")))[0])
"""
    (tmp_path / "notebook").mkdir()
    run = subprocess.run(script(source, tmp_path / "notebook"), check=True, **RUN)
    assert f"'score': {random.Random(0).random()}, 'columns': 80.0" in run.stdout


def test_workers_that_cannot_start_end_in_an_error_with_their_output(tmp_path):
    class Broken:
        def __reduce__(self):
            return compile_away, ()

        def __call__(self, trial):
            return {}

    def compile_away():
        raise ImportError("no module named beside")

    executor = processes()
    executor.start(Broken(), lambda event: None, tmp_path)
    executor.submit(numbered(1)[0])
    with pytest.raises(ExecutorError, match=r"(?s)3 workers in a row .* code 1.*ImportError: no module named beside"):
        executor.wait()
    with pytest.raises(ExecutorError, match="not started"):
        executor.wait()
    assert len(collect(executor, lambda trial: {"score": 1}, numbered(3), tmp_path)) == 6


def test_work_that_cannot_be_pickled_is_named(tmp_path):
    class Evaluator:
        def __init__(self):
            self.guard = threading.Lock()

        def __call__(self, trial):
            return {}

    executor = processes()
    with pytest.raises(ExecutorError, match=r"type lock, held as 'guard', cannot be pickled .*InlineExecutor\(\)"):
        executor.start(Evaluator(), lambda event: None, tmp_path)
    executor.stop()


def environments(executor, folder):
    """What each of two workers sees, in order; a trial goes on only when the other one runs, too."""

    def work(trial):
        names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        print(*[f"[{os.environ[name]}]" for name in names])
        while len(list(folder.glob("*.log"))) < 2:
            time.sleep(0.01)
        return {"score": 0}

    collect(executor, work, numbered(2), folder)
    return sorted(path.read_text().strip() for path in folder.glob("*.log"))


@pytest.fixture
def two_gpus(monkeypatch):
    """A torch that sees two GPUs, of which the user chose numbers 5 and 7 of the machine."""
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=types.SimpleNamespace(device_count=lambda: 2)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 7")


@pytest.mark.usefixtures("two_gpus")
def test_each_worker_sees_its_own_gpu(tmp_path):
    assert ProcessExecutor().slots == 2
    assert environments(ProcessExecutor(threads=3), tmp_path / "all") == ["[5] [3] [3]", "[7] [3] [3]"]
    some = ProcessExecutor(devices=["cuda:1", "cpu"], threads=1)
    assert environments(some, tmp_path / "some") == ["[7] [1] [1]", "[] [1] [1]"]
    assert ProcessExecutor(3).slots == 3
    for device in (2, "cuda:2", "gpu", -1, True):
        with pytest.raises(ExecutorError, match=f"{device!r}|{str(device)!r}.*0 to 1"):
            ProcessExecutor(devices=[device])


def test_without_gpus_workers_share_the_processors(tmp_path, monkeypatch):
    none = types.SimpleNamespace(cuda=types.SimpleNamespace(device_count=lambda: 0))
    monkeypatch.setitem(sys.modules, "torch", none)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert ProcessExecutor().slots == 6
    assert ProcessExecutor(devices=["cpu", "cpu"]).slots == 2
    assert environments(ProcessExecutor(2), tmp_path) == ["[] [3] [3]"] * 2
    with pytest.raises(ExecutorError, match="no GPU, as torch sees none"):
        ProcessExecutor(devices=[0])


def test_torch_computes_with_the_threads_that_are_asked_for(tmp_path):
    def work(trial):
        return {"threads": importlib.import_module("torch").get_num_threads()}

    assert outcomes(collect(processes(1, threads=3), work, numbered(1), tmp_path))[0].metrics == {"threads": 3}


@pytest.mark.parametrize(
    "arguments",
    [
        {"workers": 0},
        {"workers": 1.5},
        {"workers": True},
        {"threads": 0},
        {"retries": -1},
        {"time_limit": 0},
        {"time_limit": float("inf")},
        {"time_limit": "1"},
        {"devices": []},
        {"devices": "cpu"},
        {"devices": 1},
    ],
    ids=str,
)
def test_bad_arguments_are_named_with_their_value(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ExecutorError, match=f"{name}={value!r}; give ".replace("[", r"\[")):
        ProcessExecutor(**{"devices": ["cpu"], **arguments})
