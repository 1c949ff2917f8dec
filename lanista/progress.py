"""What a person at a terminal sees while an experiment runs."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from lanista.trial import State, Trial

REDRAW_SECONDS = 0.1


class Progress:
    """A line that is redrawn on standard error while trials end; silent where that is not a terminal.

    Args:
        name: of the experiment.
        max_trials: trials in all, if limited.
        deadline: `time.monotonic()` after which no trial starts, if limited.
        console: where to draw.

    Attributes:
        last_error: why the last failed trial failed, in one line.
    """

    def __init__(
        self, name: str, max_trials: int | None, deadline: float | None, console: Console | None = None
    ) -> None:
        self.last_error = ""
        self._console = console or Console(stderr=True)
        self._max_trials = max_trials
        self._deadline = deadline
        self._begin = time.monotonic()
        self._drawn = 0.0
        self._counts = dict.fromkeys(State, 0)
        self._ended = 0
        self._running = 0
        self._best: Trial | None = None
        self._task: TaskID | None = None
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=16),
            _Status(self),
            console=self._console,
            auto_refresh=False,
            transient=False,
        )
        self._name = name

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bars.start()
            self._task = self._bars.add_task(self._name, total=self._max_trials)
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._draw()
            self._bars.stop()

    def replayed(self, counts: Mapping[State, int], leader: Trial | None) -> None:
        """Begin with what earlier runs did."""
        self._counts.update({state: n for state, n in counts.items() if state is not State.RUNNING})
        self._best = leader

    def ended(self, trial: Trial) -> None:
        """Count an ended trial."""
        self._counts[trial.state] += 1
        self._ended += 1
        if trial.state is State.FAILED:
            self.last_error = trial.reason
        if trial.scores and (self._best is None or trial.scores[0] > self._best.scores[0]):
            self._best = trial

    def tick(self, running: int) -> None:
        """Redraw, if it is time."""
        self._running = running
        if self._task is not None and time.monotonic() - self._drawn > REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        if self._task is None:
            return
        self._drawn = time.monotonic()
        self._bars.update(self._task, completed=self._done, refresh=True)

    @property
    def _done(self) -> int:
        return sum(self._counts.values())

    def status(self) -> str:
        """Trials, rate, failures, time left and the best so far, in one line."""
        elapsed = time.monotonic() - self._begin
        of = f"/{self._max_trials}" if self._max_trials else ""
        parts = [f"{self._done}{of} trials"]
        if self._ended:
            rate = self._ended / elapsed
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
        if self._counts[State.FAILED]:
            parts.append(f"{self._counts[State.FAILED]} failed")
        if self._counts[State.PRUNED]:
            parts.append(f"{self._counts[State.PRUNED]} pruned")
        left = self._left(elapsed)
        if left is not None:
            parts.append(f"{_clock(left)} left")
        if self._best is not None:
            metrics = " ".join(f"{name} {_short(value)}" for name, value in self._best.metrics.items())
            parts.append(f"best {metrics} (#{self._best.number})")
        return " · ".join(parts)

    def _left(self, elapsed: float) -> float | None:
        """Seconds until a limit is reached, as it looks now."""
        estimates = []
        if self._max_trials and self._ended:
            estimates.append((self._max_trials - self._done) * elapsed / self._ended)
        if self._deadline is not None:
            estimates.append(self._deadline - time.monotonic())
        return max(min(estimates), 0.0) if estimates else None


class _Status(ProgressColumn):
    def __init__(self, progress: Progress) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis"))
        self._progress = progress

    def render(self, task: Task) -> Text:
        return Text(self._progress.status(), no_wrap=True, overflow="ellipsis")


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
