from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.objective import dominates
from lanista.strategy.standing import normal, standings


def test_with_one_objective_it_is_the_rank_and_equals_share_theirs():
    assert standings([(3.0,), (1.0,), (2.0,), (9.0,)]) == pytest.approx([0.25, -0.75, -0.25, 0.75])
    assert standings([(5.0,), (5.0,), (5.0,)]) == pytest.approx([0, 0, 0])
    assert standings([(1e9,), (2.0,), (2.0,)]) == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_what_has_no_scores_is_below_all_others():
    assert standings([(), (-5.0, 1.0), (), (2.0, -3.0)]) == pytest.approx([-0.5, 0.5, -0.5, 0.5])
    assert standings([(), ()]) == pytest.approx([0, 0])
    assert len(standings([])) == 0


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 2) | st.just(()), min_size=1, max_size=12))
def test_it_counts_what_dominates(scores):
    def beats(one, other):
        return dominates(one, other) if one and other else bool(one) and not other

    expected = [sum(beats(one, other) - beats(other, one) for other in scores) / len(scores) for one in scores]
    assert standings(scores) == pytest.approx(expected)


def test_normal_quantiles_are_symmetric_and_in_order():
    quantiles = normal(standings([(float(n),) for n in range(1001)]))
    assert quantiles == pytest.approx(-quantiles[::-1], abs=1e-9)
    assert np.all(np.diff(quantiles) > 0)
    assert quantiles.std() == pytest.approx(1, abs=0.01)
