"""Random search at equal cost."""

import itertools
import math

import numpy as np
import pytest

from lanista.errors import LanistaError, MetricError
from lanista.trust import random_search
from lanista.trust.budget import best_weights
from tests.hub.cases import table

SCORES = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]


@pytest.mark.parametrize("evaluations", [1, 2, 3, 5, 6])
def test_the_expected_best_is_the_mean_over_all_subsets(evaluations):
    exact = np.mean([max(subset) for subset in itertools.combinations(SCORES, evaluations)])
    found = random_search(SCORES, each=10, spent=10 * evaluations, chosen=3)
    assert found.expected.value == pytest.approx(exact)
    assert dict(found.curve)[evaluations] == pytest.approx(exact)


def test_parts_of_an_evaluation_lie_between():
    low, high = (best_weights(6, count) @ np.sort(SCORES) for count in (2, 3))
    assert best_weights(6, 2.25) @ np.sort(SCORES) == pytest.approx(0.75 * low + 0.25 * high)
    assert best_weights(6, 4.5).sum() == pytest.approx(1)


def test_a_large_sample_has_exact_weights():
    weights = best_weights(2000, 700)
    assert weights.sum() == pytest.approx(1) and weights[:699].max() == 0
    assert weights[-3] == pytest.approx(math.comb(1997, 699) / math.comb(2000, 700))


def test_what_costs_less_than_one_evaluation_is_compared_with_one():
    found = random_search(SCORES, each=100, spent=30, chosen=3)
    assert found.evaluations == 0.3 and not found.affordable
    assert found.expected.value == pytest.approx(np.mean(SCORES))


def test_more_than_the_sample_gives_a_lower_bound_and_an_honest_upper_end():
    random = np.random.default_rng(0)
    scores = random.exponential(size=40)
    found = random_search(scores, each=1, spent=400, chosen=scores.max())
    assert found.extrapolated and found.expected.value == scores.max()
    assert found.expected.high > scores.max() + 1
    assert found.outcome == "not told apart"
    assert not random_search(scores, each=1, spent=40, chosen=1).extrapolated


def test_outcomes():
    scores = np.arange(100.0)
    search = {"each": 1, "spent": 5}
    assert random_search(scores, chosen=150, **search).outcome == "better"
    assert random_search(scores, chosen=20, **search).outcome == "worse"
    assert random_search(scores, chosen=83, **search).outcome == "not told apart"
    assert random_search(scores, chosen=150, deviation=60, **search).outcome == "not told apart"


def test_equivalents():
    scores = np.arange(100.0)
    # The expected best of m of 0..99 is (100 m - 1) / (m + 1).
    assert random_search(scores, each=1, spent=5, chosen=899 / 10).equivalents.value == pytest.approx(9, rel=0.01)
    beyond = random_search(scores, each=1, spent=5, chosen=120).equivalents
    assert beyond.value is None and math.isinf(beyond.high) and 0 < beyond.low <= 100
    bad = random_search(scores, each=1, spent=5, chosen=3).equivalents
    assert bad.value == bad.high == bad.low == 1


def test_chance_and_spread():
    scores = np.arange(999.0)
    found = random_search(scores, each=1, spent=10, chosen=899.5)
    # Each evaluation is as good with a chance of 100 in 1,000.
    assert found.chance == pytest.approx(1 - 0.9**10)
    low, high = found.spread
    assert low == pytest.approx(999 * 0.025**0.1, abs=2) and high == pytest.approx(999 * 0.975**0.1, abs=2)
    assert random_search([5.0, 5, 5], each=1, spent=2, chosen=5).outcome == "not told apart"


def test_intervals_hold_what_they_promise():
    """The expected best of m uniform numbers is m / (m + 1)."""
    for n, evaluations in ((20, 5), (20, 20), (60, 20)):
        missed = 0
        for seed in range(80):
            scores = np.random.default_rng(seed).uniform(size=n)
            found = random_search(scores, each=2, spent=2 * evaluations, chosen=0.5, seed=seed).expected
            missed += not found.low <= evaluations / (evaluations + 1) <= found.high
        assert missed / 80 <= 0.1


def test_published_random_searches():
    """The mean validation accuracy that a random search finds, from the whole table (numpy's draws, 2,000 searches)."""
    scores = np.load(table("nasbench201.npz"))["cifar10_val_200"] / 100.0
    random = np.random.default_rng(0)
    for count in (5, 50):
        drawn = random.choice(scores, (2000, count)).max(1).mean()
        assert best_weights(len(scores), count) @ np.sort(scores) == pytest.approx(drawn, abs=0.06)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"real": [1.0]}, MetricError, "real has 1 score"),
        ({"real": [1.0, math.nan]}, MetricError, "not finite"),
        ({"chosen": math.inf}, MetricError, "chosen has 1 of 1"),
        ({"each": 0}, LanistaError, "each is 0; it is a cost"),
        ({"spent": -3}, LanistaError, "spent is -3"),
        ({"deviation": -1}, LanistaError, "deviation is -1"),
        ({"confidence": 1}, LanistaError, "confidence is 1"),
    ],
)
def test_bad_input(change, error, message):
    with pytest.raises(error, match=message):
        random_search(**{"real": SCORES, "each": 1, "spent": 1, "chosen": 1, **change})
