"""Successive halving on curves whose ranks are known."""

import pytest

from lanista.errors import ExperimentError
from lanista.scheduler import ASHA
from lanista.testing.schedulers import drive, qualities


def test_rungs_are_at_powers_of_the_reduction_factor():
    scheduler = ASHA(min_resource=1, reduction_factor=3)
    scheduler.reset()
    lengths = drive(scheduler, [[quality] * 9 for quality in qualities(0, 90)])
    assert set(lengths) <= {1, 3, 9, 10}
    # A third of those that reach a rung pass, and some of the first ones, which had few to be compared with.
    assert 30 <= sum(length > 1 for length in lengths) <= 45
    assert 10 <= sum(length > 3 for length in lengths) <= 20


def test_the_first_rung_is_where_it_is_set():
    scheduler = ASHA(min_resource=2, reduction_factor=2)
    scheduler.reset()
    assert set(drive(scheduler, [[quality] * 7 for quality in qualities(1)])) == {2, 4, 8}


def test_a_trial_that_makes_all_its_reports_completes():
    with_end, without = ASHA(9, reduction_factor=3), ASHA(reduction_factor=3)
    for scheduler in (with_end, without):
        scheduler.reset()
    curves = [[quality] * 9 for quality in qualities(0, 90)]
    assert 9 not in drive(with_end, curves)
    assert 9 in drive(without, curves)


def test_a_rung_waits_for_its_first_trials():
    scheduler = ASHA(bootstrap=5)
    scheduler.reset()
    assert drive(scheduler, [[0.9 - 0.1 * number] * 3 for number in range(5)]) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("name", "value"), [("min_resource", 0), ("max_resource", 0), ("reduction_factor", 1), ("bootstrap", -1)]
)
def test_settings_are_checked(name, value):
    with pytest.raises(ExperimentError, match=rf"{name} is {value}; give an integer of at least"):
        ASHA(**{name: value})


def test_it_says_what_it_is():
    assert repr(ASHA()) == "ASHA(None, min_resource=1, reduction_factor=4, bootstrap=0)"
