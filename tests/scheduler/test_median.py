"""The median rule on curves whose medians are known."""

import pytest

from lanista.errors import ExperimentError
from lanista.scheduler import MedianStop
from lanista.testing.schedulers import drive


def test_a_trial_below_the_median_of_completed_ones_stops():
    scheduler = MedianStop(startup=3)
    scheduler.reset()
    flat = [[0.2] * 4, [0.4] * 4, [0.6] * 4]
    assert drive(scheduler, [*flat, [0.39] * 4, [0.41] * 4, [0.1, 0.9, 0.9, 0.9]]) == [5, 5, 5, 1, 5, 1]


def test_nothing_stops_before_startup_and_warmup():
    scheduler = MedianStop(startup=4, warmup=2)
    scheduler.reset()
    curves = [[0.5] * 4] * 3 + [[0.1] * 4, [0.1, 0.1, 0.1, 0.1]]
    assert drive(scheduler, curves) == [5, 5, 5, 5, 3]
    scheduler = MedianStop(startup=1, warmup=1)
    scheduler.reset()
    assert drive(scheduler, [[0.5] * 4, [0.1] * 4]) == [5, 2]


@pytest.mark.parametrize(("name", "value"), [("startup", -1), ("warmup", 0.5), ("startup", True)])
def test_settings_are_checked(name, value):
    with pytest.raises(ExperimentError, match=rf"{name} is {value}"):
        MedianStop(**{name: value})


def test_it_says_what_it_is():
    assert repr(MedianStop(warmup=1)) == "MedianStop(startup=5, warmup=1)"
