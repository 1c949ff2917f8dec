"""What a search survives: kills at any moment, a second runner, storages that fail, evaluations run amok."""

import ctypes
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, ProcessExecutor, choice, cli, integer
from lanista.errors import ExperimentError, StorageError
from lanista.profile import Measure, Measurement
from lanista.session import KEPT_WEIGHTS
from lanista.storage import Storage
from lanista.strategy import GridSearch, RegularizedEvolution
from lanista.trial import State

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "kill.py"


def network():
    return nn.Linear(integer(1, 40, label="inputs"), integer(1, 40, label="outputs"))


def size(model, trial):
    parameters = sum(p.numel() for p in model.parameters())
    for step in range(2):
        trial.report(parameters / (step + 1), step)
    return parameters + float(model.weight.detach().sum())


def make(storage, function=size, strategy=None, **options):
    evaluator = FunctionalEvaluator(function, keep_weights=options.pop("keep_weights", False))
    return Experiment(
        ModelSpace(options.pop("space", network)),
        evaluator,
        strategy or RegularizedEvolution(population_size=6, sample_size=3),
        **{"objectives": "maximize", "name": "test", "storage": storage} | options,
    )


def told(experiment):
    return [(t.number, t.architecture, t.seed, t.state, t.metrics, experiment.curve(t)) for t in experiment.trials]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "test.db"


@pytest.fixture(scope="module")
def whole():
    """What an undisturbed search tells, by its number of trials."""
    experiment = make(":memory:")
    experiment.run(max_trials=60)
    return told(experiment)


@pytest.fixture
def lanista(monkeypatch, capsys):
    """Call the command line; returns exit code, and both outputs as one line."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lanista", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, " ".join("".join(capsys.readouterr()).split())

    return call


# --- killed -------------------------------------------------------------------------------------------------

# Forks runs that kill themselves at the moments in its arguments, then finishes the search. The process of
# the tests may have threads, and so must not fork.
SUICIDES = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from sqlalchemy import Engine, event
from test_resume import make

file, trials, *moments = sys.argv[1:]

def countdown(count):
    steps = iter(range(int(count) - 1))
    def step(*_):
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
    return step

def life(moment):
    search = make(file)
    kind, _, count = moment.partition(":")
    if kind == "sql":
        step = countdown(count)
        for name in ("before_cursor_execute", "commit"):
            event.listen(Engine, name, step)
    elif kind == "propose":
        step, propose = countdown(count), search.strategy.propose
        search.strategy.propose = lambda: (step(), propose())[1]
    search.run(max_trials=int(trials))
    search.storage.close()

make(":memory:").run(max_trials=1)  # what starts slowly has started before the forks
for moment in moments:
    pid = os.fork()
    if not pid:
        try:
            life(moment)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
life("")
"""


def suicides(file, trials, moments):
    """Exit codes of the lives that ended at `moments`."""
    command = [sys.executable, "-c", SUICIDES, str(file), str(trials), *moments]
    return [int(code) for code in subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()]


def log(file):
    with Storage(file) as storage:
        return [(entry.kind, entry.number) for entry in storage.events(storage.find("test"))]


def test_killed_at_every_step_of_the_storage_it_becomes_the_search_that_was_not(file, whole):
    assert suicides(file, 60, [f"sql:{step}" for step in range(1, 41)]) == [-signal.SIGKILL] * 40
    assert told(make(file)) == whole
    events = log(file)
    assert [number for kind, number in events if kind == "proposed"] == list(range(60))
    assert [number for kind, number in events if kind == "finished"] == list(range(60))
    assert 1 <= sum(kind == "started" for kind, _ in events) < sum(kind == "run" for kind, _ in events) <= 41
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_killed_within_replay_nothing_happened(file, whole):
    make(file).run(max_trials=30)
    before = log(file)
    assert suicides(file, 30, ["propose:1", "propose:15", "propose:30"]) == [-signal.SIGKILL] * 3
    assert log(file) == [*before, ("run", None), ("stop", None)]
    assert told(make(file)) == whole[:30]


@pytest.mark.parametrize("figure", ["fork", "workers"])
def test_killed_at_random_moments_it_loses_nothing(figure):
    """The benchmark, in small; how many kills there are in time depends on the machine."""
    sizes = {"fork": ("8", "60"), "workers": ("2", "30")}[figure]
    command = [sys.executable, str(BENCHMARK), figure, "--kills", sizes[0], "--trials", sizes[1]]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    told = json.loads(run.stdout.splitlines()[-1])
    assert told["faults"] == []
    assert told.get("equal", True)
    assert told["value"] >= 1


def test_an_interrupted_trial_starts_when_it_is_tried_again(file):
    begins = []

    def interrupt(model, trial):
        begins.append(time.time())
        if len(begins) == 4:
            raise KeyboardInterrupt
        return size(model, trial)

    with pytest.raises(KeyboardInterrupt):
        make(file, interrupt).run(max_trials=5)
    make(file, interrupt).run(max_trials=5)
    del begins[3]
    for trial, begin in zip(make(file).trials, begins, strict=True):
        assert trial.started <= begin <= trial.finished
    assert make(file).trials[3].started > begins[2]


def test_weights_that_a_killed_run_left_over_are_deleted(file):
    experiment = make(file, keep_weights=True)
    experiment.run(max_trials=KEPT_WEIGHTS + 5)
    kept = {Path(trial.weights) for trial in experiment.trials if trial.weights}
    forgotten = next(trial.number for trial in experiment.trials if not trial.weights)
    folder = next(iter(kept)).parent
    for name in (f"{forgotten}.safetensors", "7.tmp", ".tmpAbC123"):
        (folder / name).write_bytes(b"half of it")
    make(file, keep_weights=True).run(max_trials=KEPT_WEIGHTS + 5)
    assert set(folder.iterdir()) == kept


# --- a second runner ----------------------------------------------------------------------------------------


def test_a_second_runner_is_sent_away_and_the_first_does_not_notice(file, whole):
    body = f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_resume import make, size

        def patient(model, trial):
            Path("begun").touch()
            while not Path("go").exists():
                time.sleep(0.01)
            return size(model, trial)

        make({file.name!r}, patient).run(max_trials=10)
    """
    first = subprocess.Popen([sys.executable, "-c", textwrap.dedent(body)], cwd=file.parent)
    try:
        while not (file.parent / "begun").exists():
            assert first.poll() is None
            time.sleep(0.01)
        with pytest.raises(
            ExperimentError, match=rf"'test' is being run by process {first.pid} on .*; wait .* end that"
        ):
            make(file).run(max_trials=20)
        (file.parent / "go").touch()
        assert first.wait() == 0
    finally:
        first.kill()
        first.wait()
    assert told(make(file)) == whole[:10]
    assert [kind for kind, _ in log(file)] == ["run", *["proposed", "finished"] * 10, "stop"]


# --- a storage that fails -----------------------------------------------------------------------------------


def pragma(storage, *statements):
    """Set something on the connection that the storage uses."""
    with storage._database.engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(f"PRAGMA {statement}")


def full(storage):
    pragma(storage, "max_page_count=1")  # that is: as many as there are


def read_only(storage):
    pragma(storage, "query_only=ON")


def quota(storage):
    wal = Path(storage.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def make_room():
    """Ends what `quota` began; at the end of a test, too."""

    def lift():
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    yield lift
    lift()


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        (full, "disk is full: free some space"),
        (read_only, "read-only: get write perm"),
        (quota, "quota is full: check"),
    ],
)
@pytest.mark.parametrize("number", [0, 8])
def test_a_storage_that_fails_within_a_run_keeps_what_it_had(file, whole, make_room, fail, words, number):
    storage = Storage(file)

    def break_down(model, trial):
        if trial.number == number:
            fail(storage)
        return size(model, trial)

    with pytest.raises(StorageError, match=f"test.db: .*{words}"):
        make(storage, break_down).run(max_trials=60)
    storage.close()
    make_room()
    kept = make(file).trials
    assert len(kept) > number
    assert all(trial.state is State.COMPLETED for trial in kept[:-1])
    make(file).run(max_trials=60)
    assert told(make(file)) == whole


def test_a_database_opened_for_reading_only_runs_nothing_and_shows_all(file, whole):
    make(file).run(max_trials=5)
    with Storage(f"sqlite:///file:{file}?mode=ro&uri=true", create=False) as storage:
        with pytest.raises(StorageError, match="read-only: get write permission"):
            make(storage).run(max_trials=10)
        assert told(make(storage)) == whole[:5]


def damage(file):
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"damaged!" * ((len(content) - 4096) // 8))


def replace_by_text(file):
    file.write_bytes(b"Dear diary, this is no database. " * 1000)


def age(file):
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE lanista_version SET version_num = '9000'")
        database.commit()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage, "the file is damaged: restore a copy"),
        (replace_by_text, "not an SQLite database: give another path"),
        (age, "has schema 9000, but this lanista knows schemas up to"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_the_way_out(file, lanista, change, words):
    experiment = make(file)
    experiment.run(max_trials=5)
    experiment.storage.close()
    change(file)
    with pytest.raises(StorageError, match=words):
        make(file).run(max_trials=10)
    for command in (["list"], ["show", "test"], ["top", "test"], ["resume", "test"]):
        code, output = lanista(*command, "--storage", file)
        assert code == 1
        assert "Error: storage" in output and "test.db" in output and words in output
        assert "Traceback" not in output


# --- evaluations that run amok ------------------------------------------------------------------------------

AMOK = {
    "raise": (
        State.FAILED,
        "ValueError: invalid literal for int() with base 10: 'luck'",
        lambda: int("luck"),
    ),
    "hang": (State.FAILED, "took longer than time_limit=3 s", lambda: time.sleep(1000)),
    "print": (State.COMPLETED, "", lambda: print(("x" * 63 + "\n") * 2**14)),
    "kill": (
        State.FAILED,
        "died with signal SIGKILL (out of memory?)",
        lambda: os.kill(os.getpid(), signal.SIGKILL),
    ),
    "exit": (State.FAILED, "exited with code 7", lambda: os._exit(7)),
    "segfault": (State.FAILED, "died with signal SIGSEGV", lambda: ctypes.string_at(0)),
    "nothing": (State.COMPLETED, "", lambda: None),
}


def amok(model, trial):
    print("about to", trial.architecture["what"], flush=True)
    AMOK[trial.architecture["what"]][2]()
    return float(trial.number)


def test_whatever_evaluations_do_each_trial_ends_as_it_should(file, lanista):
    def asked():
        choice(list(AMOK), label="what")
        return nn.Identity()

    executor = ProcessExecutor(2, devices=["cpu"], time_limit=3, retries=0)
    experiment = make(file, amok, GridSearch(), space=asked, executor=executor)
    experiment.run()
    trials = experiment.trials
    assert [trial.architecture["what"] for trial in trials] == list(AMOK)
    _, listed = lanista("trials", "test", "--storage", file)
    for trial in trials:
        what = trial.architecture["what"]
        state, words, _ = AMOK[what]
        assert trial.state is state, trial.error
        assert trial.metrics == ({"score": float(trial.number)} if state is State.COMPLETED else {})
        output = Path(trial.log).read_text()
        assert output.startswith(f"about to {what}\n")
        assert (len(output) > 2**20) == (what == "print")
        code, shown = lanista("show", "test", trial.number, "--storage", file)
        assert code == 0
        assert words in shown and words in trial.reason
        assert state is State.COMPLETED or trial.reason in listed
        # The error quotes the end of the log; there Python tells where it was when it crashed.
        quoted = {"raise": "in amok", "segfault": "in amok", "print": "", "nothing": ""}.get(what, f"about to {what}")
        assert quoted in shown


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (lambda: int("x"), "ValueError: invalid literal for int() with base 10: 'x'"),
        (lambda: json.loads("{\n}}"), "json.decoder.JSONDecodeError: Extra data: line 2 column 2 (char 3)"),
        (
            lambda: exec("raise RuntimeError('first line\\nsecond line\\n  third')"),
            "RuntimeError: first line",
        ),
        (
            lambda: exec("try: 1 / 0\nexcept ArithmeticError as e: raise KeyError('no') from e"),
            "KeyError: 'no'",
        ),
        (lambda: exec("="), "SyntaxError: invalid syntax"),
        (lambda: sys.exit(3), "SystemExit: 3"),
    ],
)
def test_a_failed_trial_has_its_reason_in_one_line(fail, reason, caplog):
    experiment = make(":memory:", lambda model: fail())
    experiment.run(max_trials=1)
    assert experiment.trials[0].reason == reason
    assert f"trial 0 failed: {reason}" in caplog.messages


class Clock(Measure):
    """A latency that is another one whenever it is measured, in each process."""

    name, unit, repeatable = "clock", "ms", False

    def __init__(self):
        self.count = 0

    def __call__(self, model, example_input=None):
        self.count += 1
        return Measurement(random.SystemRandom().uniform(0, 100), 0.0, "ms")


def clocked(storage):
    """An experiment under a measured limit, as a new process makes it."""
    clock = Clock()
    evaluator = FunctionalEvaluator(lambda model: model.out_features)
    strategy = RegularizedEvolution(population_size=4, sample_size=2)
    space = ModelSpace(network).constrain(clock <= 50)
    return clock, Experiment(space, evaluator, strategy, objectives="maximize", name="test", storage=storage)


def test_a_search_under_a_measured_limit_goes_on_in_another_process(file):
    _, experiment = clocked(file)
    experiment.run(max_trials=10)
    first = told(experiment)
    measured = experiment.storage.folder("test") / "measured.jsonl"
    with measured.open("a") as stream:
        stream.write('["clock", "{\\"inp')  # killed while it wrote
    clock, again = clocked(file)
    before = clock.count
    again.run(max_trials=10)
    assert clock.count == before  # nothing is measured twice
    assert told(again) == first
    _, further = clocked(file)
    further.run(max_trials=25)
    assert told(further)[:10] == first
    assert len(further.trials) == 25


def test_what_an_earlier_database_measured_is_forgotten(file):
    _, experiment = clocked(file)
    experiment.run(max_trials=5)
    experiment.storage.close()
    for path in file.parent.glob("test.db*"):
        path.unlink()
    measured = experiment.storage.folder("test") / "measured.jsonl"
    old = measured.read_text()
    _, fresh = clocked(file)
    fresh.run(max_trials=5)
    assert not measured.read_text().startswith(old)
