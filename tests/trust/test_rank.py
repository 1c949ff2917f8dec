"""Rank correlations: against scipy, by hand, and under what must not change them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.trust import rank
from lanista.trust.rank import orders_as_good, ranks, spearman, without_each

stats = pytest.importorskip("scipy.stats")

lists = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=40)


def columns(pairs):
    return np.array(pairs, dtype=float).T


def test_ties_share_their_average_rank():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


@given(lists)
def test_it_is_scipys(pairs):
    x, y = columns(pairs)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert spearman(x, y) == 0
    else:
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


@given(lists)
def test_an_increasing_transform_changes_nothing_and_a_decreasing_one_the_sign(pairs):
    x, y = columns(pairs)
    assert spearman(np.exp(x) - 7, y**3) == pytest.approx(spearman(x, y))
    assert spearman(-x, y) == pytest.approx(-spearman(x, y))


@pytest.mark.parametrize("cells", [rank.CELLS, 50])
def test_leaving_one_out_is_counting_again_without_it(monkeypatch, cells):
    monkeypatch.setattr(rank, "CELLS", cells)  # all at once, and in blocks
    random = np.random.default_rng(0)
    y, x, p = random.normal(size=23), random.integers(0, 4, 23) * 1.0, random.normal(size=23)
    for values, found in zip((x, p), without_each(y, x, p), strict=True):
        again = [spearman(np.delete(values, i), np.delete(y, i)) for i in range(23)]
        assert found == pytest.approx(again)


def test_few_random_orders_are_as_good_as_a_perfect_one():
    x = np.arange(5.0)
    # Of all 120 orders, one is perfect.
    assert orders_as_good(x, x, 20_000, seed=0) == pytest.approx(1 / 120, abs=0.003)
    assert orders_as_good(-x, x, 999, seed=0) == 1


def test_random_orders_agree_with_all_orders():
    x, y = np.array([1.0, 1, 2, 5, 3, 4]), np.array([2.0, 1, 1, 3, 6, 5])
    exact = np.mean([spearman(np.array(o), y) >= spearman(x, y) - 1e-12 for o in itertools.permutations(x)])
    assert orders_as_good(x, y, 20_000, seed=1) == pytest.approx(exact, abs=0.01)
