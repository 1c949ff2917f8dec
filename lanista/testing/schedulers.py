"""The laws that every scheduler keeps: each takes a maker of fresh schedulers, and raises AssertionError.

With pytest: `@pytest.mark.parametrize("law", SCHEDULER_LAWS)`, and `law(MyScheduler)` in the test.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from lanista.scheduler.base import Scheduler
from lanista.trial import State, Trial

Factory = Callable[[], Scheduler]

REPORTS = 9
"""Length of the learning curves that the laws use."""

TRIALS = 60


def curve(quality: float, reports: int = REPORTS) -> list[float]:
    """A learning curve without noise that rises towards `quality`: curves of different qualities never cross."""
    return [quality * (1 - 0.5 ** (step + 1)) for step in range(reports)]


def qualities(seed: int, count: int = TRIALS) -> list[float]:
    """Distinct qualities in random order, from just above 0 to 1."""
    order = [(number + 1) / count for number in range(count)]
    random.Random(seed).shuffle(order)
    return order


def drive(scheduler: Scheduler, curves: list[list[float]], first: int = 0) -> list[int]:
    """Run trials one after the other, numbered from `first`; how many reports each made before it was stopped.

    One that made all its reports without being stopped at the last counts one more: it completed.
    """
    lengths = []
    for number, scores in enumerate(curves, first):
        for step, score in enumerate(scores):
            if scheduler.report(number, step, score):
                scheduler.end(Trial(number=number, architecture={}, state=State.PRUNED))
                lengths.append(step + 1)
                break
        else:
            scheduler.end(Trial(number=number, architecture={}, state=State.COMPLETED, scores=(scores[-1],)))
            lengths.append(len(scores) + 1)
    return lengths


def the_worst_are_stopped_and_the_best_complete(make: Factory) -> None:
    """Of curves that never cross, a share is stopped, the best one completes, and stopped ones are worse on average."""
    for seed in (0, 1):
        scheduler = make()
        scheduler.reset()
        order = qualities(seed)
        lengths = drive(scheduler, [curve(quality) for quality in order])
        stopped = [quality for quality, length in zip(order, lengths, strict=True) if length <= REPORTS]
        completed = [quality for quality, length in zip(order, lengths, strict=True) if length > REPORTS]
        assert stopped, f"seed {seed}: no trial was stopped"
        assert max(completed, default=0.0) == max(order), f"seed {seed}: the best trial was stopped"
        assert sum(stopped) / len(stopped) < sum(completed) / len(completed), f"seed {seed}: the better were stopped"


def what_was_stored_is_all_that_counts(make: Factory) -> None:
    """A fresh scheduler that is shown the stored curves of ended trials decides as the first one does."""
    order = qualities(2)
    curves = [curve(quality) for quality in order]
    first = make()
    first.reset()
    for cut in (7, 23):
        first.reset()
        lengths = drive(first, curves[:cut])
        fresh = make()
        fresh.reset()
        for number, length in enumerate(lengths):
            for step, score in enumerate(curves[number][:length]):
                fresh.report(number, step, score)
            state = State.COMPLETED if length > REPORTS else State.PRUNED
            scores = (curves[number][-1],) if state is State.COMPLETED else ()
            fresh.end(Trial(number=number, architecture={}, state=state, scores=scores))
        expected, found = drive(first, curves[cut:], cut), drive(fresh, curves[cut:], cut)
        assert expected == found, f"after {cut} trials, one scheduler gave {expected} and a fresh one {found}"


def an_attempt_may_be_repeated(make: Factory) -> None:
    """A trial whose worker died reports the same steps again; that changes nothing for later trials."""
    order = qualities(3)
    plain, repeated = make(), make()
    for scheduler in (plain, repeated):
        scheduler.reset()
    expected = drive(plain, [curve(quality) for quality in order])
    lengths = []
    for number, quality in enumerate(order):
        for step, score in enumerate(curve(quality)[: min(3, expected[number])]):
            repeated.report(number, step, score)
        lengths += drive(repeated, [curve(quality)], number)
    assert lengths == expected


def failures_are_survived(make: Factory) -> None:
    """Trials that fail, with or without reports, or end before they report, do not get in the way."""
    scheduler = make()
    scheduler.reset()
    for number in range(20):
        for step, score in enumerate(curve(0.5, number % 3)):
            scheduler.report(number, step, score)
        state = State.FAILED if number % 2 else State.PRUNED
        scheduler.end(Trial(number=number, architecture={}, state=state))
    drive(scheduler, [curve(quality) for quality in qualities(4)], first=20)


def trials_may_run_side_by_side(make: Factory) -> None:
    """Reports of several trials arrive in turn; numbers need not begin in order."""
    scheduler = make()
    scheduler.reset()
    order = qualities(5)
    for block in range(0, TRIALS, 4):
        running = {number: curve(order[number]) for number in reversed(range(block, block + 4))}
        for step in range(REPORTS):
            for number in list(running):
                if scheduler.report(number, step, running[number][step]):
                    del running[number]
                    scheduler.end(Trial(number=number, architecture={}, state=State.PRUNED))
        for number, scores in running.items():
            scheduler.end(Trial(number=number, architecture={}, state=State.COMPLETED, scores=(scores[-1],)))


def reset_forgets(make: Factory) -> None:
    """After `reset` a scheduler decides as a new one, and two do not share anything."""
    curves = [curve(quality) for quality in qualities(6)]
    one, two = make(), make()
    one.reset()
    expected = drive(one, curves)
    drive(one, curves, TRIALS)
    one.reset()
    two.reset()
    assert drive(one, curves) == expected
    assert drive(two, curves) == expected


def global_generators_rest(make: Factory) -> None:
    """The global generator of `random` is neither used nor seeded."""
    before = random.getstate()
    scheduler = make()
    scheduler.reset()
    drive(scheduler, [curve(quality) for quality in qualities(7)])
    assert random.getstate() == before


SCHEDULER_LAWS: tuple[Callable[[Factory], None], ...] = (
    the_worst_are_stopped_and_the_best_complete,
    what_was_stored_is_all_that_counts,
    an_attempt_may_be_repeated,
    failures_are_survived,
    trials_may_run_side_by_side,
    reset_forgets,
    global_generators_rest,
)
