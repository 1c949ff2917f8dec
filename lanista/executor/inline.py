"""Trials in the calling process, one after the other: what a debugger wants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType

from lanista.errors import ExecutorError
from lanista.executor.base import Event, Executor, Finished, Listener, Started, Work, perform
from lanista.trial import Trial


class InlineExecutor(Executor):
    """One slot, in the process and the thread that calls `wait`.

    Breakpoints, profilers and Ctrl-C work as in any script; output is left alone (`Started.log` is None) and
    nothing needs to be picklable. A trial cannot be ended from outside: `wait` outlasts its timeout while one
    runs, and what kills the process kills the search.
    """

    def __init__(self) -> None:
        self._session: tuple[Work, Listener] | None = None
        self._trial: Trial | None = None

    @property
    def slots(self) -> int:
        """Always 1."""
        return 1

    def start(self, work: Work, listener: Listener, logs: Path) -> None:
        """Keep `work` and `listener`; `logs` stays untouched.

        Raises:
            ExecutorError: it is started already.
        """
        if self._session:
            raise ExecutorError("InlineExecutor is started already; call stop() before the next start()")
        self._session = work, listener

    def submit(self, trial: Trial) -> None:
        """Put `trial` in the slot; the next `wait` runs it.

        Raises:
            ExecutorError: the slot is taken, or the executor is not started.
        """
        self._running()
        if self._trial:
            raise ExecutorError(
                f"no slot is free for trial {trial.number}: the only one has trial {self._trial.number}; "
                "call wait() first"
            )
        self._trial = replace(trial, reporter=None, attempts=1, log=None)

    def wait(self, timeout: float | None = None) -> None:
        """Run the submitted trial to its end, if there is one; the timeout has no effect.

        An exception of the listener comes out here, as does KeyboardInterrupt; the trial is then forgotten.

        Raises:
            ExecutorError: the executor is not started.
        """
        work, listener = self._running()
        if not self._trial:
            return
        trial, self._trial = self._trial, None
        delivery = _Delivery(lambda event: listener(event) if self._session else None)  # it may stop us
        delivery(Started(trial.number, 1, None))
        outcome = perform(work, trial, delivery)
        if delivery.error:
            raise delivery.error
        delivery(Finished(trial.number, outcome, 1))

    def stop(self) -> None:
        """Forget `work` and a trial that has not run yet."""
        self._session = self._trial = None

    def _running(self) -> tuple[Work, Listener]:
        if not self._session:
            raise ExecutorError("InlineExecutor is not started; call start() first")
        return self._session


class _Delivery:
    """Calls a listener from inside an evaluation, and keeps its failure, which is not the evaluation's."""

    def __init__(self, listener: Listener) -> None:
        self.error: BaseException | None = None
        self._listener = listener

    def __call__(self, event: Event) -> bool | None:
        with self:
            return self._listener(event)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.error = self.error or error
