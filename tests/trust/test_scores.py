"""The best of some scores, and lists that are none."""

import numpy as np
import pytest

from lanista.errors import MetricError
from lanista.trust.scores import in_top, numbers


def test_ties_at_the_border_are_in_the_top():
    assert in_top(np.array([1.0, 5, 4, 4, 4, 0, 0, 0, 0, 0]), 0.2).tolist() == [False, *[True] * 4, *[False] * 5]


@pytest.mark.parametrize(("share", "count"), [(0.1, 1), (0.2, 2), (0.21, 3), (0.99, 10), (1.0, 10)])
def test_a_share_is_rounded_up(share, count):
    assert in_top(np.arange(10.0), share).sum() == count


def test_any_list_of_numbers_is_read():
    for given in ([1, 2.5], (1, 2.5), np.array([1, 2.5], dtype=np.float32), [True, 2.5]):
        assert numbers("real", given).tolist() == [1, 2.5]
    with pytest.raises(MetricError, match="real has shape"):
        numbers("real", 3)
