import math
import pickle
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lanista import Trial
from lanista.errors import LanistaError, MetricError
from lanista.trial import State, checked_metrics


@pytest.mark.parametrize(
    "given",
    [
        3,
        3.0,
        Fraction(3),
        np.float32(3),
        np.int64(3),
        np.array(3.0),
        np.array([3]),
        torch.tensor(3),
        torch.tensor([3.0]),
    ],
)
def test_a_number_of_any_kind_becomes_the_score(given):
    assert repr(checked_metrics(given, "f")) == "{'score': 3.0}"
    assert repr(checked_metrics({"loss": given}, "f")) == "{'loss': 3.0}"


@settings(deadline=None, derandomize=True)
@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_metrics_stay_what_they_are(metrics):
    assert checked_metrics(metrics, "f") == metrics


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ["no metric", "names to numbers"]),
        (None, ["None (NoneType)", "'score'", "a finite number"]),
        ("0.9", ["'0.9' (str)"]),
        (True, ["True (bool)"]),
        (np.bool_(True), ["(bool"]),
        (1j, ["1j (complex)"]),
        ([0.9], ["[0.9] (list)"]),
        (np.ones(2), ["array([1., 1.]) (ndarray)"]),
        (torch.ones(2), ["tensor([1., 1.]) (Tensor)"]),
        (torch.ones(1, device="meta"), ["(Tensor)"]),
        (math.nan, ["gave nan", "'score'", "raise an exception"]),
        (torch.tensor(-math.inf), ["gave -inf"]),
        ({"accuracy": 0.5, "loss": math.nan}, ["gave nan", "'loss'"]),
        ({"": 1}, ["named ''", "non-empty strings"]),
        ({3: 1}, ["named 3"]),
        ({"a\udc80": 1}, ["whole characters"]),
    ],
)
def test_what_is_no_number_is_refused(given, words):
    with pytest.raises(MetricError) as caught:
        checked_metrics(given, "the evaluator")
    assert all(word in str(caught.value) for word in ["the evaluator gave", *words]), caught.value


def test_reports_reach_the_reporter():
    seen = []
    trial = Trial(number=3, architecture={}, reporter=lambda *report: seen.append(report))
    trial.report(torch.tensor(0.5))
    trial.report({"loss": 2, "accuracy": 0.1}, step=7)
    assert seen == [({"score": 0.5}, None), ({"loss": 2.0, "accuracy": 0.1}, 7)]


@pytest.mark.parametrize("step", [-1, 1.5, True, "3", 2**63])
def test_a_step_is_a_position(step):
    trial = Trial(number=3, architecture={}, reporter=lambda *_: None)
    with pytest.raises(MetricError, match=f"step {step!r}; a step is an integer of at least 0"):
        trial.report(1, step)


def test_only_a_trial_in_evaluation_reports():
    trial = Trial(number=3, architecture={}, state=State.COMPLETED)
    with pytest.raises(LanistaError, match="trial 3 is completed; only an evaluation in progress"):
        trial.report(1)


def test_the_duration_is_that_of_the_last_attempt():
    trial = Trial(number=0, architecture={"width": 16}, started=10.0)
    assert trial.duration is None
    assert replace(trial, finished=12.5).duration == 2.5
    assert replace(trial, started=None, finished=12.5).duration is None


def test_the_reason_is_one_short_line():
    def reason(error):
        return Trial(number=0, architecture={}, error=error).reason

    assert reason(None) == reason("\n") == ""
    assert reason("Traceback (most recent call last):\n  ...\nValueError: no\n") == "ValueError: no"
    died = "the worker exited with code 3; the last lines of its log:"
    assert reason(f"{died}\n--- attempt 2 ---") == died
    assert len(reason("x" * 1_000_000)) < 400


def test_trials_are_records():
    trial = Trial(number=0, architecture={"width": 16}, metrics={"score": 1.0}, scores=(1.0,))
    assert pickle.loads(pickle.dumps(trial)) == trial == replace(trial, reporter=print)
    assert "reporter" not in repr(trial)
    with pytest.raises(AttributeError):
        trial.number = 1
    assert [str(state) for state in State] == ["running", "completed", "pruned", "failed"]
