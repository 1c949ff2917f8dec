import pytest

from lanista.errors import OneShotError
from lanista.oneshot.temperature import checked, exponential, linear


@pytest.mark.parametrize(
    ("schedule", "values"), [(linear, [8.0, 5.0, 2.0]), (exponential, [8.0, 4.0, 2.0])], ids=["linear", "exponential"]
)
def test_a_schedule_goes_from_the_first_to_the_last(schedule, values):
    assert [schedule((8.0, 2.0), progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, -1.0), (1.0, float("inf")), (1.0,)])
def test_temperatures_are_above_zero(ends):
    with pytest.raises(OneShotError, match=r"temperatures is .* above 0"):
        checked(ends)
    assert checked((5.0, 0.1)) == (5.0, 0.1)
