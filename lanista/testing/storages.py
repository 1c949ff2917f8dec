"""What every database under `Storage` must keep to; needs pytest and hypothesis.

In a test module write `class TestMine(StorageContract)` and override `open_storage`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lanista.errors import ExperimentError, StorageError
from lanista.storage import Direction, Record, Storage
from lanista.trial import State, Trial

Open = Callable[[], Storage]
"""Opens the same database anew at each call, as another process would."""

_names = itertools.count()

_floats = st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | _floats | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
_metrics = st.dictionaries(st.sampled_from(["accuracy", "latency", "größe"]), _floats, min_size=1)
_readable = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
_times = st.floats(0, 4e9)
_number = st.integers(0, 2)

_proposed = st.builds(
    Trial,
    number=st.just(0),
    architecture=st.dictionaries(st.text(), _json, max_size=3),
    seed=st.integers(0, 2**63 - 1),
    log=st.none() | _readable,
    started=st.none() | _times,
)
_ends = st.fixed_dictionaries(
    {
        "state": st.sampled_from([State.COMPLETED, State.PRUNED, State.FAILED]),
        "metrics": _metrics,
        "error": st.none() | _readable,
        "attempts": st.integers(1, 9),
        "weights": st.none() | _readable,
        "log": st.none() | _readable,
        "started": _times,
        "finished": _times,
    }
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("propose"), _proposed),
        st.tuples(st.just("start"), _number, st.integers(1, 9), st.none() | _readable, _times),
        st.tuples(st.just("report"), _number, st.integers(0, 3), _metrics),
        st.tuples(st.just("finish"), _number, _ends),
        st.tuples(st.just("forget"), _number),
    ),
    min_size=4,
    max_size=16,
)


def experiment(storage: Storage, **changes: Any) -> Record:
    """Create an experiment with a name of its own."""
    return create(storage, f"experiment {next(_names)}", **changes)


def create(storage: Storage, name: str, **changes: Any) -> Record:
    """Create an experiment of which only the name matters, and `changes`."""
    settings: dict[str, Any] = {
        "space": {"width": {"values": [16, 32]}},
        "fingerprint": "f1",
        "objectives": {"accuracy": "maximize", "latency": "minimize"},
        "strategy": "Random()",
        "seed": 2**63 - 1,
        "source": None,
        "versions": {"torch": "2.13.0"},
    }
    return storage.create(name, **(settings | changes))


@dataclass
class Model:
    """What a storage should hold of one experiment, in plain dictionaries."""

    trials: dict[int, Trial] = field(default_factory=dict)
    reports: dict[int, dict[int, dict[str, float]]] = field(default_factory=dict)
    log: list[tuple[str, int]] = field(default_factory=list)

    def running(self, number: int) -> bool:
        """Whether there is such a trial, and it is running."""
        return number in self.trials and self.trials[number].state is State.RUNNING

    def propose(self, trial: Trial) -> None:
        """Add a trial."""
        self.trials[trial.number] = trial
        self.reports[trial.number] = {}
        self.log.append(("proposed", trial.number))

    def start(self, number: int, attempt: int, log: str | None, started: float) -> None:
        """Begin an attempt."""
        if self.trials[number].started is not None:
            self.reports[number] = {}
            self.log.append(("started", number))
        self.trials[number] = replace(self.trials[number], attempts=attempt, log=log, started=started)

    def finish(self, trial: Trial) -> None:
        """End a trial."""
        self.trials[trial.number] = trial
        self.log.append(("finished", trial.number))

    def forget(self, number: int) -> None:
        """Drop the weights."""
        if number in self.trials:
            self.trials[number] = replace(self.trials[number], weights=None)

    def top(self, metric: str, sign: int, k: int) -> list[Trial]:
        """Return the best by sorting all."""
        scored = [t for t in self.trials.values() if t.state is State.COMPLETED and metric in t.metrics]
        return sorted(scored, key=lambda t: (sign * t.metrics[metric], t.number))[:k]

    def check(self, storage: Storage, record: Record) -> None:
        """Compare with what `storage` reads."""
        assert storage.find(record.name) == record
        assert storage.trials(record) == list(self.trials.values())
        for last in (0, 1, len(self.trials), len(self.trials) + 1):
            assert storage.trials(record, last=last) == list(self.trials.values())[-last or len(self.trials) :]
        counts = {state: storage.trials(record, state=state) for state in State}
        assert storage.counts(record) == {state: len(trials) for state, trials in counts.items()}
        assert sorted(trial.number for trials in counts.values() for trial in trials) == list(self.trials)
        for number, trial in self.trials.items():
            assert storage.trial(record, number) == trial
            assert list(trial.metrics) == list(storage.trials(record)[number].metrics)
            assert storage.reports(record, number) == sorted(self.reports[number].items())
        assert [(entry.kind, entry.number) for entry in storage.events(record)] == self.log
        ends = [(kind, number) for kind, number in self.log if kind != "started"]
        history = list(storage.history(record))
        assert [(kind, trial.number) for kind, trial in history] == ends
        for kind, read in history:
            stored = self.trials[read.number]
            fresh = Trial(number=stored.number, architecture=stored.architecture, seed=stored.seed)
            assert read == (stored if kind == "finished" else fresh)
        assert storage.top(record, "accuracy", "maximize", 3) == self.top("accuracy", -1, 3)
        assert storage.top(record, "latency", "minimize", 3) == self.top("latency", 1, 3)
        assert storage.top(record, "no such metric", "maximize", 3) == []


class StorageContract:
    """Tests that a storage must pass."""

    @pytest.fixture
    def open_storage(self) -> Iterator[Open]:
        """Give a function that opens one and the same database; close what it opened afterwards."""
        raise NotImplementedError("override open_storage")

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=_steps)
    def test_every_prefix_of_writes_reads_back(self, open_storage: Open, steps: list[Any]) -> None:
        """Another process sees each write as soon as it returns; refused ones change nothing."""
        storage, reader = open_storage(), open_storage()
        record, model = experiment(storage), Model()
        begin = ("propose", Trial(number=0, architecture={}))
        for kind, *arguments in [begin, begin, *steps]:
            match kind, arguments:
                case "propose", [trial]:
                    trial = replace(trial, number=len(model.trials))
                    storage.propose(record, trial)
                    model.propose(trial)
                case "forget", [number]:
                    storage.forget_weights(record, number)
                    model.forget(number)
                case "start", [number, attempt, log, started]:
                    with self.refused(unless=model.running(number)):
                        storage.start(record, number, attempt=attempt, log=log, started=started)
                        model.start(number, attempt, log, started)
                case "report", [number, step, metrics]:
                    with self.refused(unless=model.running(number)):
                        storage.report(record, number, step, metrics)
                        model.reports[number][step] = metrics
                case "finish", [number, end]:
                    with self.refused(unless=model.running(number)):
                        stored = model.trials.get(number, Trial(number=number, architecture={}))
                        storage.finish(record, replace(stored, **end))
                        model.finish(replace(stored, **end))
            model.check(reader, record)

        model.check(open_storage(), record)

    def refused(self, *, unless: bool) -> AbstractContextManager[Any]:
        """Expect that the block is refused, or that it is not."""
        if unless:
            return nullcontext()
        return pytest.raises(ExperimentError, match=r"is not running in storage .*: propose it first")

    def test_an_experiment_comes_back_as_it_was_given(self, open_storage: Open) -> None:
        """All fields survive, the order of the objectives too."""
        storage = open_storage()
        objectives: dict[str, Direction] = {"z": "maximize", "a": "minimize", "": "maximize"}
        record = experiment(storage, objectives=objectives, source="a/b.py:Net", seed=0)
        read = open_storage().find(record.name)
        assert read == record
        assert (record.source, record.seed, record.fingerprint, record.strategy) == (
            "a/b.py:Net",
            0,
            "f1",
            "Random()",
        )
        assert record.space == {"width": {"values": [16, 32]}}
        assert list(record.objectives.items()) == list(objectives.items())
        assert storage.find("no such experiment") is None

    @pytest.mark.parametrize("name", ["../x", "Größe 名前", "%41", "' OR 1=1 --", "\\", "."])
    def test_any_printable_name_is_a_name(self, open_storage: Open, name: str) -> None:
        """It need be no file name, nor ASCII."""
        record = create(open_storage(), name)
        assert open_storage().find(name) == record

    @pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "\ud800"])
    def test_other_names_are_refused(self, open_storage: Open, name: str) -> None:
        """No database takes them all, and no terminal."""
        with pytest.raises(ExperimentError, match="must be one or more printable characters"):
            create(open_storage(), name)

    def test_a_name_is_taken_once(self, open_storage: Open) -> None:
        """The second experiment of a name is refused, and the first stays."""
        record = experiment(open_storage())
        with pytest.raises(ExperimentError, match=f"has an experiment '{record.name}' already; resume it"):
            create(open_storage(), record.name, seed=5)
        assert open_storage().find(record.name) == record

    def test_a_number_is_proposed_once(self, open_storage: Open) -> None:
        """The second trial of a number is refused, and the first stays."""
        storage = open_storage()
        record = experiment(storage)
        storage.propose(record, Trial(number=0, architecture={"a": 1}))
        with pytest.raises(StorageError):
            storage.propose(record, Trial(number=0, architecture={"a": 2}))
        assert [trial.architecture for trial in storage.trials(record)] == [{"a": 1}]
        assert len(storage.events(record)) == 1

    def test_equal_trials_rank_by_age(self, open_storage: Open) -> None:
        """The best come first, of equals the older; those without the metric, or not completed, never."""
        storage = open_storage()
        record = experiment(storage)
        values = [0.5, 0.9, 0.1, 0.9, 0.1, None]
        for number, value in enumerate(values):
            metrics = {"latency": 1.0} if value is None else {"accuracy": value}
            storage.propose(record, Trial(number=number, architecture={}))
            storage.finish(record, Trial(number=number, architecture={}, state=State.COMPLETED, metrics=metrics))
        storage.propose(record, Trial(number=6, architecture={}))
        storage.finish(record, Trial(number=6, architecture={}, state=State.PRUNED, metrics={"accuracy": 1.0}))
        best = [trial.number for trial in storage.top(record, "accuracy", "maximize", 3)]
        assert best == [1, 3, 0]
        best = [trial.number for trial in storage.top(record, "accuracy", "minimize", 9)]
        assert best == [2, 4, 0, 1, 3]

    def test_a_report_replaces_that_of_its_step(self, open_storage: Open) -> None:
        """Other steps stay; a new attempt drops all."""
        storage = open_storage()
        record = experiment(storage)
        storage.propose(record, Trial(number=0, architecture={}))
        storage.start(record, 0, attempt=1, log=None)
        for step, value in ((2, 0.2), (0, 0.0), (1, 0.1), (1, 0.9)):
            storage.report(record, 0, step, {"accuracy": value})
        steps = [(0, {"accuracy": 0.0}), (1, {"accuracy": 0.9}), (2, {"accuracy": 0.2})]
        assert storage.reports(record, 0) == steps
        storage.start(record, 0, attempt=2, log="2.log")
        assert storage.reports(record, 0) == []
        assert [(entry.kind, entry.detail) for entry in storage.events(record)][1:] == [("started", "attempt 2")]

    def test_a_trial_ends_once(self, open_storage: Open) -> None:
        """A second end, or a report after the end, is refused and changes nothing."""
        storage = open_storage()
        record = experiment(storage)
        storage.propose(record, Trial(number=0, architecture={}))
        ended = Trial(number=0, architecture={}, state=State.COMPLETED, metrics={"accuracy": 1.0})
        storage.finish(record, ended)
        with self.refused(unless=False):
            storage.finish(record, replace(ended, state=State.FAILED))
        with self.refused(unless=False):
            storage.report(record, 0, 0, {"accuracy": 0.0})
        assert (storage.trials(record), storage.reports(record, 0)) == ([ended], [])
        assert len(storage.events(record)) == 2

    def test_a_write_is_whole_or_not_at_all(self, open_storage: Open) -> None:
        """Where a part of it fails, what came before is undone."""
        storage = open_storage()
        record = experiment(storage)
        proposed = Trial(number=0, architecture={})
        storage.propose(record, proposed)
        broken: Any = {"accuracy": 1.0, "latency": None}
        with pytest.raises(StorageError):
            storage.finish(record, replace(proposed, state=State.COMPLETED, metrics=broken))
        for reader in (storage, open_storage()):
            assert reader.trials(record) == [proposed]
            assert reader.top(record, "accuracy", "maximize", 1) == []
            assert [entry.kind for entry in reader.events(record)] == ["proposed"]

    def test_a_record_of_another_storage_is_refused(self, open_storage: Open) -> None:
        """A trial belongs to an experiment."""
        storage = open_storage()
        stranger = replace(experiment(storage), id=10**6)
        with pytest.raises(StorageError):
            storage.propose(stranger, Trial(number=0, architecture={}))
        assert (storage.trials(stranger), storage.events(stranger)) == ([], [])

    def test_experiments_do_not_mix(self, open_storage: Open) -> None:
        """Two experiments with equal numbers keep their own trials, reports and log."""
        storage = open_storage()
        first, second = experiment(storage), experiment(storage)
        for record, value in ((first, 1.0), (second, 2.0)):
            trial = Trial(number=0, architecture={"of": record.name})
            storage.propose(record, trial)
            storage.report(record, 0, 0, {"accuracy": value})
            storage.finish(record, replace(trial, state=State.COMPLETED, metrics={"accuracy": value}))
        for record, value in ((first, 1.0), (second, 2.0)):
            [best] = storage.top(record, "accuracy", "maximize", 9)
            assert (best.architecture, best.metrics) == ({"of": record.name}, {"accuracy": value})
            assert storage.reports(record, 0) == [(0, {"accuracy": value})]
            assert [entry.kind for entry in storage.events(record)] == ["proposed", "finished"]
            assert [trial.architecture for _, trial in storage.history(record)] == [{"of": record.name}] * 2

    def test_a_summary_counts_and_times(self, open_storage: Open) -> None:
        """`experiments` agrees with the log and the trials, in the order of creation."""
        storage = open_storage()
        records = [experiment(storage), experiment(storage)]
        for number in range(3):
            storage.propose(records[0], Trial(number=number, architecture={}))
        storage.finish(records[0], Trial(number=1, architecture={}, state=State.FAILED, error="no"))
        busy, idle = (s for s in open_storage().experiments() if s.record in records)
        log = storage.events(records[0])
        assert (busy.record, busy.started, busy.updated) == (records[0], log[0].time, log[-1].time)
        assert busy.counts == {State.RUNNING: 2, State.COMPLETED: 0, State.PRUNED: 0, State.FAILED: 1}
        assert (idle.record, idle.started, idle.updated, set(idle.counts.values())) == (
            records[1],
            None,
            None,
            {0},
        )

    def test_the_log_takes_other_entries(self, open_storage: Open) -> None:
        """Entries keep their order, and can be read from one on; replay does not see them."""
        storage = open_storage()
        record = experiment(storage)
        storage.log(record, "run", "process 7")
        storage.propose(record, Trial(number=0, architecture={}))
        storage.log(record, "stopped")
        run, proposed, stopped = storage.events(record)
        assert (run.kind, run.number, run.detail) == ("run", None, "process 7")
        assert (stopped.kind, stopped.number, stopped.detail) == ("stopped", None, None)
        assert storage.events(record, after=run.id) == [proposed, stopped]
        assert [kind for kind, _ in storage.history(record)] == ["proposed"]

    def test_an_error_may_quote_anything(self, open_storage: Open) -> None:
        """NUL and halves of surrogate pairs are stored in a form that can be."""
        storage = open_storage()
        record = experiment(storage)
        storage.propose(record, Trial(number=0, architecture={}))
        error = "bytes \0 and \udc80 in a path, ünïcode"
        storage.finish(record, Trial(number=0, architecture={}, state=State.FAILED, error=error))
        [trial] = storage.trials(record)
        assert trial.error == r"bytes \x00 and \udc80 in a path, ünïcode"

    def test_history_goes_on_while_trials_are_written(self, open_storage: Open) -> None:
        """Longer than what is read at once, it is complete, and it keeps nobody from writing."""
        storage, writer = open_storage(), open_storage()
        record = experiment(storage)
        for number in range(1100):
            storage.propose(record, Trial(number=number, architecture={}))
            storage.finish(record, Trial(number=number, architecture={}, state=State.COMPLETED))
        history = storage.history(record)
        head = [next(history) for _ in range(3)]
        writer.propose(record, Trial(number=1100, architecture={}))
        storage.forget_weights(record, 0)
        whole = [(kind, trial.number) for kind, trial in (*head, *history)]
        expected = [(kind, number) for number in range(1100) for kind in ("proposed", "finished")]
        assert whole == [*expected, ("proposed", 1100)]

    def test_one_runner_at_a_time(self, open_storage: Open) -> None:
        """A held lock refuses others, this process included, until it is released; other names are free."""
        storage, other = open_storage(), open_storage()
        assert not storage.running("contest")
        with storage.lock("contest"):
            assert other.running("contest")
            assert not other.running("another")
            for contender in (storage, other):
                with (
                    pytest.raises(ExperimentError, match=rf"'contest' is being run by process {os.getpid()}\b"),
                    contender.lock("contest"),
                ):
                    pass
            with other.lock("another"):
                pass
            assert other.running("contest")
        assert not other.running("contest")
        with pytest.raises(ZeroDivisionError), other.lock("contest"):
            1 / 0  # noqa: B018
        with storage.lock("contest"):
            record = create(storage, "contest")
            [summary] = [s for s in other.experiments() if s.record == record]
            assert summary.running
