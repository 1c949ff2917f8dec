"""Verdicts: on measured tables, on made-up scores, on no scores at all; and how often they are wrong."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanista.errors import LanistaError, MetricError
from lanista.trust import Verdict, assess, needed
from lanista.trust.assessment import LEAST
from lanista.trust.rank import spearman
from lanista.trust.scores import in_top
from tests.trust.cases import measured, normal


@pytest.mark.parametrize("top", [0.1, 0.15, 0.2])
@pytest.mark.parametrize(
    ("dataset", "proxy", "headline"),
    [
        ("cifar10", "jacov", "uninformative in the top"),
        ("cifar10", "snip", "uninformative in the top"),
        ("ImageNet16-120", "synflow", "informative"),
        ("cifar100", "flops", "no better than parameter count"),
        ("cifar10", "plain", "uninformative here"),
    ],
)
def test_the_verdicts_on_the_measured_tables(dataset, proxy, headline, top):
    rows = measured(dataset)
    assert assess(rows[proxy], rows["val_accuracy"], rows["params"], top=top).headline == headline


def test_the_correlations_on_the_measured_tables():
    rows = measured("ImageNet16-120")
    found = assess(rows["synflow"], rows["val_accuracy"], rows["params"], top=0.1)
    assert found.overall.size == 491 and found.top.size == 50
    values = [
        part.value for part in (found.overall.proxy, found.overall.parameters, found.top.proxy, found.top.parameters)
    ]
    assert values == pytest.approx([0.76, 0.67, 0.60, 0.55], abs=0.01)
    assert found.overall.verdict is Verdict.INFORMATIVE
    assert found.top.verdict is Verdict.NO_BETTER, "0.60 against 0.55 says nothing"


def test_a_perfect_proxy_is_informative_and_its_reverse_is_not():
    _, y, p = normal(0, 100, None, 0.5)
    best, worst = assess(y, y, p), assess(-y, y, p)
    assert best.headline == "informative" and best.overall.proxy.value == pytest.approx(1) == best.top.proxy.high
    assert worst.headline == "uninformative here" and "in reverse" in worst.top.reason


def test_parameters_are_no_better_than_parameters():
    _, y, p = normal(0, 200, None, 0.9)
    found = assess(p, y, p)
    assert found.headline == "no better than parameter count"
    assert found.overall.difference.value == 0 and found.overall.difference.low <= 0


def test_what_is_worse_than_parameters_is_not_informative():
    x, y, _ = normal(1, 400, 0.9, 0.5)
    found = assess(x, y, y)
    assert found.headline == "no better than parameter count"
    assert "worse than parameter counts" in found.overall.reason


def test_better_over_all_but_worse_in_the_top_is_not_informative():
    random = np.random.default_rng(0)
    y = np.arange(600.0)
    x = np.where(y < 480, y, 480 + random.permutation(600) / 5 + (y - 480) / 2)
    p = np.where(y < 480, random.permutation(480).repeat(2)[:600], y)
    found = assess(x, y, p)
    assert found.overall.verdict is Verdict.INFORMATIVE and found.top.difference.high < 0 < found.top.proxy.low
    assert found.verdict is Verdict.NO_BETTER


def test_the_best_alone_are_not_enough():
    random = np.random.default_rng(1)
    y = np.arange(500.0)
    found = assess(np.where(y < 400, random.permutation(500), y - 400), y, random.normal(size=500))
    assert found.top.ranks and not found.overall.ranks
    assert found.headline == "uninformative over all" and found.verdict is Verdict.UNINFORMATIVE


def test_without_parameters_only_chance_is_ruled_out():
    x, y, _ = normal(0, 200, 0.95, 0)
    found = assess(x, y)
    assert found.headline == "informative" and found.overall.parameters is None
    assert "not compared" in found.overall.reason


def test_parameters_that_are_all_the_same_are_beaten_by_any_ranking():
    x, y, _ = normal(0, 200, 0.95, 0)
    found = assess(x, y, np.ones(200))
    assert found.headline == "informative" and "all the same" in found.top.reason
    assert found.overall.parameters.value is None and found.overall.difference is None


def test_a_constant_proxy_or_score_is_uninformative_with_its_reason():
    y = np.arange(60.0)
    assert assess(np.ones(60), y).headline == "uninformative here"
    assert assess(np.ones(60), y).overall.reason == "the proxy is the same for all of them"
    assert assess(y, np.ones(60)).top.reason == "the real score is the same for all of them"
    # The best are all equal: nothing to rank there.
    assert assess(y, np.minimum(y, 40)).headline == "uninformative in the top"


def test_too_few_are_said_to_be_too_few():
    y = np.arange(49.0)
    assert assess(y, y).headline == "informative"
    assert assess(y[:40], y[:40]).headline == "too few architectures to tell in the top"
    few = assess(y[: LEAST - 1], y[: LEAST - 1])
    assert few.headline == "too few architectures to tell" and few.verdict is Verdict.UNINFORMATIVE
    assert "9 architectures are too few" in few.overall.reason and few.overall.proxy.value is None
    assert assess([1.0], [2.0], [3]).verdict is Verdict.UNINFORMATIVE


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.2, 0.3])
def test_as_many_as_needed_give_the_top_enough(share):
    n = needed(share)
    assert in_top(np.arange(n * 1.0), share).sum() == LEAST > in_top(np.arange(n - 1.0), share).sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"proxy": [1, math.nan, 3]},
            r"proxy has 1 of 3 values that are not finite numbers, the first at index 1 \(nan\)",
        ),
        ({"real": [1, 2, -math.inf]}, "real has 1 of 3 values that are not finite"),
        ({"parameters": [1, 2]}, "parameters has 2 numbers, but real has 3"),
        ({"proxy": []}, "give a list with one number for each"),
        ({"proxy": [[1], [2], [3]]}, r"shape \(3, 1\)"),
        ({"real": ["a", "b", "c"]}, "real is not a list of numbers"),
        ({"proxy": None}, "proxy "),
    ],
)
def test_bad_scores(change, message):
    with pytest.raises(MetricError, match=message):
        assess(**{"proxy": [1, 2, 3], "real": [1, 2, 3], "parameters": [1, 2, 3], **change})


@pytest.mark.parametrize("change", [{"top": 0}, {"top": 1.5}, {"confidence": 95}, {"looks": 0}, {"top": math.nan}])
def test_bad_settings(change):
    (name, value), *_ = change.items()
    with pytest.raises(LanistaError, match=f"{name} is {value}"):
        assess([1, 2, 3], [1, 2, 3], **change)


@settings(max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([12, 60]))
def test_only_orders_count(seed, n):
    x, y, p = normal(seed, n, 0.6, 0.3)
    x = np.round(x, 1)
    assert assess(np.exp(x), y**3 + y, p * 7 - 3, seed=seed) == assess(x, y, p, seed=seed)


def test_more_looks_and_more_confidence_are_stricter():
    x, y, p = normal(0, 100, 0.6, 0.3)
    once, often, sure = assess(x, y, p), assess(x, y, p, looks=10), assess(x, y, p, confidence=0.995)
    assert often.overall.proxy.low < once.overall.proxy.low
    assert often.overall.proxy == sure.overall.proxy and often.confidence == pytest.approx(sure.confidence)


def test_the_detectable_correlation_is_where_intervals_of_chance_end():
    x, y, _ = normal(3, 100, 0.0, 0)
    found = assess(x, y).overall
    assert found.detectable == pytest.approx(0.2, abs=0.01)
    assert math.atanh(found.proxy.high) - math.atanh(found.proxy.value) >= math.atanh(found.detectable) - 1e-9


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_intervals_hold_what_they_promise(rho):
    """Of a normal pair, Spearman's correlation is 6 / pi asin(rho / 2); 150 intervals may miss it by chance, too."""
    true = 6 / math.pi * math.asin(rho / 2)
    regions = [assess(*normal(seed, 40, rho, rho)).overall for seed in range(150)]
    missed = [not r.proxy.low <= true <= r.proxy.high for r in regions]
    unlike = [not r.difference.low <= 0 <= r.difference.high for r in regions]
    assert np.mean(missed) <= 0.08 and np.mean(unlike) <= 0.08


@pytest.mark.parametrize("ties", [False, True])
def test_shuffled_scores_raise_few_false_alarms(ties):
    x, y, p = normal(0, 60, 0.9, 0.9)
    if ties:
        x, y = (x > 1.2) * 1.0, (y > 1) * 1.0
    random = np.random.default_rng(0)
    found = [assess(random.permutation(x), y, p, seed=seed) for seed in range(150)]
    assert np.mean([one.overall.ranks or one.top.ranks for one in found]) <= 0.08
    assert sum(one.verdict is not Verdict.UNINFORMATIVE for one in found) <= 3


def test_regions_are_records_of_the_subset():
    x, y, p = normal(5, 80, 0.7, 0.4)
    best = in_top(y, 0.25)
    found = assess(x, y, p, top=0.25)
    assert found.top.size == 20 and found.top.proxy.value == pytest.approx(spearman(x[best], y[best]))
    assert found.top.difference.value == pytest.approx(found.top.proxy.value - found.top.parameters.value)
    assert dataclasses.is_dataclass(found)
