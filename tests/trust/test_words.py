"""Numbers and sentences."""

import numpy as np
import pytest

from lanista.trust import Estimate, assess, random_search
from lanista.trust.words import amount, comparison, correlation, number, percent, ranking, summary
from tests.trust.cases import normal


def test_numbers():
    shown = [number(value) for value in (0.91234, 46.0, 93.236, 12345.6, 1.5e9, -1e8, 0.0)]
    assert shown == ["0.9123", "46", "93.24", "12,346", "1.5e+09", "-1e+08", "0"]
    assert [percent(share) for share in (0.2, 0.005, 0.123)] == ["20 %", "0.5 %", "12.3 %"]
    assert correlation(Estimate(0.5, -0.1, 0.8)) == "0.50 [-0.10, 0.80]"
    assert correlation(None) == correlation(Estimate(None, -1, 1)) == "-"
    assert amount(Estimate(2.0, 1.0, float("inf"))) == "2 [1, ?]"


def test_every_headline_has_a_meaning_of_its_own():
    random = np.random.default_rng(1)
    y = np.arange(500.0)
    x, z, p = normal(0, 400, 0.95, 0.6)
    found = [
        assess(x, z, p),
        assess(x, z),
        assess(p, z, p),
        assess(y[:9], y[:9]),
        assess(y[:30], y[:30]),
        assess(np.minimum(y, 400), y),
        assess(np.where(y < 400, random.permutation(500), y - 400), y),
        assess(-y, y),
    ]
    assert len({summary(one) for one in found}) == len(found)
    assert len({one.headline for one in found}) == len(found) - 1


def test_the_ranking_says_what_it_was_corrected_for():
    x, y, p = normal(0, 100, 0.9, 0.1)
    assert "corrected for 4 proxies" in ranking(assess(x, y, p, looks=4)).summary
    assert "98.75" in ranking(assess(x, y, p, looks=4)).summary or "98.8 %" in ranking(assess(x, y, p, looks=4)).summary
    assert "Under 0.1 % of random orders" in ranking(assess(x, y, p)).lines[0].meaning


@pytest.mark.parametrize(
    ("spent", "chosen", "words", "worth"),
    [
        (5, 150, "found more than random search", "more than 100"),
        (5, 98.5, "found more than random search", "more than 100]"),
        (5, 20, "found less than random search", "at most 1"),
        (5, 83, "cannot be told from random search", "4.9 ["),
        (0.5, 83, "does not even pay one", "4.9 ["),
        (200, 83, "at least this one", "4.9 ["),
    ],
)
def test_the_comparison_says_its_limits(spent, chosen, words, worth):
    said = comparison(random_search(np.arange(100.0), each=1, spent=spent, chosen=chosen))
    assert words in said.summary
    assert worth in said.lines[-1].value
