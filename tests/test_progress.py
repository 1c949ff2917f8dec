import io
import time
from dataclasses import replace

from rich.console import Console

from lanista.progress import Progress
from lanista.trial import State, Trial


def ended(number, score=None, state=State.COMPLETED, error=None):
    scores, metrics = ((), {}) if score is None else ((score,), {"accuracy": score})
    return Trial(number=number, architecture={}, state=state, scores=scores, metrics=metrics, error=error)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=160)


def test_the_line_has_trials_best_failures_and_time_left():
    with Progress("digits", 10, None, console(False)) as progress:
        progress.ended(ended(0, 0.5))
        progress.ended(ended(1, 0.75))
        progress.ended(ended(2, 0.6))
        progress.ended(ended(3, state=State.FAILED, error="Traceback (most recent call last):\nValueError: no"))
        line = progress.status()
    assert line.startswith("4/10 trials · ")
    assert line.endswith(" · best accuracy 0.75 (#1)")
    assert "1 failed" in line
    assert "left" in line
    assert progress.last_error == "ValueError: no"


def test_earlier_runs_count():
    progress = Progress("digits", None, None, console(False))
    progress.replayed({State.COMPLETED: 5, State.PRUNED: 2, State.RUNNING: 1}, ended(3, 0.9))
    assert progress.status() == "7 trials · 2 pruned · best accuracy 0.9 (#3)"


def test_a_deadline_gives_the_time_left():
    progress = Progress("digits", None, time.monotonic() + 3723.5, console(False))
    assert progress.status().endswith("1:02:03 left")


def test_nothing_is_written_where_there_is_no_terminal():
    quiet = console(False)
    with Progress("digits", 2, None, quiet) as progress:
        progress.ended(ended(0, 0.5))
        progress.tick(1)
    assert quiet.file.getvalue() == ""


def test_a_terminal_shows_the_line():
    shown = console(True)
    with Progress("digits", 2, None, shown) as progress:
        progress.ended(ended(0, 0.5))
        progress.tick(1)
    assert "digits" in shown.file.getvalue()
    assert "1/2 trials" in shown.file.getvalue()


def test_a_narrow_terminal_cuts_the_line_instead_of_wrapping_it():
    narrow = Console(file=io.StringIO(), force_terminal=True, width=60)
    with Progress("digits", 2, None, narrow) as progress:
        progress.ended(replace(ended(0, 0.5), metrics={"accuracy": 0.5, "parameters": 40890.0, "latency": 12.5}))
        assert "parameters 40,890" in progress.status()
        progress.tick(1)
    assert "\u2026" in narrow.file.getvalue()
    assert "latency" not in narrow.file.getvalue()
