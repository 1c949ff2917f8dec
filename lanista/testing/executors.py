"""The laws that every executor keeps: each takes a maker of fresh executors and an empty folder, and asserts.

With pytest: `@pytest.mark.parametrize("law", EXECUTOR_LAWS)`, and `law(MyExecutor, tmp_path)` in the test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from lanista.errors import ExecutorError, Pruned
from lanista.executor.base import Event, Executor, Finished, Outcome, Reported, Started, Work
from lanista.trial import State, Trial

Factory = Callable[[], Executor]


class _ListenerError(Exception):
    pass


def collect(executor: Executor, work: Work, trials: Iterable[Trial], logs: Path) -> list[Event]:
    """Start `executor`, run `trials` as slots come free, stop it, and return all events in their order."""
    events: list[Event] = []
    executor.start(work, events.append, logs)
    try:
        running = 0
        for trial in trials:
            executor.submit(trial)
            running += 1
            while running == executor.slots:
                running -= _finished_by_wait(executor, events)
        while running:
            running -= _finished_by_wait(executor, events)
    finally:
        executor.stop()
    return events


def outcomes(events: Iterable[Event]) -> dict[int, Outcome]:
    """The outcome of each finished trial, by number."""
    return {event.number: event.outcome for event in events if isinstance(event, Finished)}


def numbered(count: int) -> list[Trial]:
    """Trials 0 to `count` - 1, each with its number also as the answer to `x`."""
    return [Trial(number=number, architecture={"x": number}) for number in range(count)]


def _finished_by_wait(executor: Executor, events: list[Event]) -> int:
    before = len(events)
    executor.wait()
    return sum(isinstance(event, Finished) for event in events[before:])


def _echo(trial: Trial) -> dict[str, float]:
    return {"x": trial.architecture["x"], "seed": trial.seed, "attempts": trial.attempts}


def _report(trial: Trial) -> dict[str, float]:
    print("a line of output")
    trial.report(0.5)
    trial.report({"loss": 2.0, "score": 0.25}, step=4)
    trial.report(0.75)
    if trial.number == 1:
        raise Pruned
    return {"score": 1.0}


def _fail(trial: Trial) -> dict[str, float]:
    match trial.architecture["how"]:
        case "raise":
            raise ZeroDivisionError(f"trial {trial.number}")
        case "exit":
            sys.exit("enough")
        case "recurse":
            return _fail(trial)
        case "not a number":
            return {"score": float("nan")}
        case _:
            return {"score": object()}  # type: ignore[dict-item]


def completes(make: Factory, folder: Path) -> None:
    """A trial arrives with its fields, and its metrics come back."""
    trial = Trial(number=7, architecture={"x": 3}, seed=5)
    started, finished = collect(make(), _echo, [trial], folder)
    assert isinstance(started, Started)
    assert (started.number, started.attempt) == (7, 1)
    assert finished == Finished(7, Outcome(State.COMPLETED, {"x": 3.0, "seed": 5.0, "attempts": 1.0}), 1)


def failures_are_data(make: Factory, folder: Path) -> None:
    """Whatever an evaluation raises or returns ends one trial, with a traceback that tells, and no other."""
    expected = {
        "raise": "ZeroDivisionError: trial 0",
        "exit": "SystemExit: enough",
        "recurse": "RecursionError",
        "not a number": "MetricError",
        "object": "MetricError",
    }
    trials = [Trial(number=number, architecture={"how": how}) for number, how in enumerate(expected)]
    ended = outcomes(collect(make(), _fail, trials, folder))
    for number, error in enumerate(expected.values()):
        assert ended[number].state is State.FAILED
        assert ended[number].metrics == {}
        assert "Traceback" in str(ended[number].error)
        assert error in str(ended[number].error)


def reports_arrive_in_order(make: Factory, folder: Path) -> None:
    """Reports come between Started and Finished; a missing step is one more than the last."""
    _, *reported, finished = collect(make(), _report, numbered(1), folder)
    assert reported == [
        Reported(0, 0, {"score": 0.5}),
        Reported(0, 4, {"loss": 2.0, "score": 0.25}),
        Reported(0, 5, {"score": 0.75}),
    ]
    assert finished == Finished(0, Outcome(State.COMPLETED, {"score": 1.0}), 1)


def pruned_keeps_last_report(make: Factory, folder: Path) -> None:
    """Pruned is not failed, and leaves the metrics of the last report."""
    ended = outcomes(collect(make(), _report, numbered(2), folder))
    assert ended[1] == Outcome(State.PRUNED, {"score": 0.75})


def answers_prune(make: Factory, folder: Path) -> None:
    """Where the listener's answer to a report is true, the evaluation ends at that very report."""
    executor = make()
    events: list[Event] = []

    def listener(event: Event) -> bool:
        events.append(event)
        return isinstance(event, Reported) and event.number == 0 and event.step == 4

    executor.start(_report, listener, folder)
    try:
        for trial in (Trial(number=0, architecture={}), Trial(number=2, architecture={})):
            executor.submit(trial)
            while trial.number not in outcomes(events):
                executor.wait()
    finally:
        executor.stop()
    assert [event.step for event in events if isinstance(event, Reported) and event.number == 0] == [0, 4]
    assert outcomes(events)[0] == Outcome(State.PRUNED, {"loss": 2.0, "score": 0.25})
    assert outcomes(events)[2] == Outcome(State.COMPLETED, {"score": 1.0})


def _deaf(trial: Trial) -> dict[str, float]:
    try:
        trial.report(0.5)
    except Pruned:  # which an evaluation should let pass
        if trial.number == 1:
            raise ZeroDivisionError from None
    return {"score": 1.0}


def a_stop_is_a_stop(make: Factory, folder: Path) -> None:
    """A trial that was told to end counts as pruned, whatever its evaluation makes of it."""
    executor = make()
    events: list[Event] = []

    def listener(event: Event) -> bool:
        events.append(event)
        return isinstance(event, Reported)

    executor.start(_deaf, listener, folder)
    try:
        for trial in numbered(2):
            executor.submit(trial)
            while trial.number not in outcomes(events):
                executor.wait()
    finally:
        executor.stop()
    assert outcomes(events) == {number: Outcome(State.PRUNED, {"score": 0.5}) for number in range(2)}


def many_trials_end_once(make: Factory, folder: Path) -> None:
    """Each of many trials starts and finishes once, with its own result, at most `slots` at a time."""
    executor = make()
    events = collect(executor, _echo, numbered(100), folder)
    for kind in (Started, Finished):
        assert sorted(event.number for event in events if isinstance(event, kind)) == list(range(100))
    assert [outcomes(events)[number].metrics["x"] for number in range(100)] == list(range(100))
    running = 0
    for event in events:
        running += {Started: 1, Finished: -1}.get(type(event), 0)
        assert 0 <= running <= executor.slots


def order_of_calls_is_checked(make: Factory, folder: Path) -> None:
    """Calls out of order raise ExecutorError and change nothing; `wait` with no trial returns at once."""
    executor = make()
    spare, *trials = numbered(executor.slots + 1)
    _refuses(lambda: executor.submit(spare))
    _refuses(executor.wait)
    executor.stop()
    events: list[Event] = []
    executor.start(_echo, events.append, folder)
    try:
        executor.wait()
        _refuses(lambda: executor.start(_echo, events.append, folder))
        for trial in trials:
            executor.submit(trial)
        _refuses(lambda: executor.submit(spare))
        while len(outcomes(events)) < len(trials):
            executor.wait()
        assert spare.number not in outcomes(events)
    finally:
        executor.stop()
        executor.stop()
    _refuses(executor.wait)


def stop_forgets(make: Factory, folder: Path) -> None:
    """After `stop` in the middle, `start` begins anew, with other work and nothing of the former trials."""
    executor = make()
    events: list[Event] = []
    executor.start(_report, events.append, folder)
    for trial in numbered(executor.slots):
        executor.submit(trial)
    executor.stop()
    before = len(events)
    assert set(outcomes(collect(executor, _echo, numbered(200)[100:110], folder))) == set(range(100, 110))
    assert len(events) == before


def listener_may_stop(make: Factory, folder: Path) -> None:
    """`stop` may be called from the listener: `wait` returns and nothing more is delivered."""
    executor = make()
    events: list[Event] = []

    def listener(event: Event) -> None:
        events.append(event)
        if isinstance(event, Reported):
            executor.stop()

    executor.start(_report, listener, folder)
    for trial in numbered(executor.slots):
        executor.submit(trial)
    executor.wait()
    assert isinstance(events.pop(), Reported)
    assert {type(event) for event in events} == {Started}


def listener_errors_come_out(make: Factory, folder: Path) -> None:
    """What the listener raises comes out of `wait`, fails no trial, and leaves an executor that stops."""
    executor = make()

    def listener(event: Event) -> None:
        if isinstance(event, Reported):
            raise _ListenerError

    executor.start(_report, listener, folder)
    executor.submit(numbered(1)[0])
    try:
        executor.wait()
    except _ListenerError:
        pass
    else:
        raise AssertionError("wait() swallowed what the listener raised")
    finally:
        executor.stop()
    completes(lambda: executor, folder)


def _refuses(call: Callable[[], None]) -> None:
    try:
        call()
    except ExecutorError:
        return
    raise AssertionError("a call out of order was accepted; raise ExecutorError")


EXECUTOR_LAWS: tuple[Callable[[Factory, Path], None], ...] = (
    completes,
    failures_are_data,
    reports_arrive_in_order,
    pruned_keeps_last_report,
    answers_prune,
    a_stop_is_a_stop,
    many_trials_end_once,
    order_of_calls_is_checked,
    stop_forgets,
    listener_may_stop,
    listener_errors_come_out,
)
