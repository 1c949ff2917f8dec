"""Hyperband's brackets."""

import pytest

from lanista.errors import ExperimentError
from lanista.scheduler import Hyperband
from lanista.testing.schedulers import drive, qualities


def test_brackets_begin_at_different_rungs():
    scheduler = Hyperband(9)
    scheduler.reset()
    lengths = drive(scheduler, [[quality] * 9 for quality in qualities(0, 200)])
    assert set(lengths) == {1, 3, 10}
    assert 0.2 < sum(length == 1 for length in lengths) / 200 < 0.8


@pytest.mark.parametrize(
    "settings",
    [{"max_resource": 0}, {"max_resource": 3, "min_resource": 4}, {"max_resource": 9, "reduction_factor": 1}],
)
def test_settings_are_checked(settings):
    with pytest.raises(ExperimentError, match=r"(max_resource|reduction_factor) is \d"):
        Hyperband(**settings)


def test_it_says_what_it_is():
    assert repr(Hyperband(27)) == "Hyperband(27, min_resource=1, reduction_factor=3)"
