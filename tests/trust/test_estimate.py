"""Quantiles, against scipy's."""

import json
import math

import pytest

from lanista.trust.estimate import Estimate, chi_square, student

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.975, 0.999])
@pytest.mark.parametrize("freedom", [9, 20, 490])
def test_students_quantile(level, freedom):
    assert student(level, freedom) == pytest.approx(stats.t.ppf(level, freedom), abs=1e-3)
    assert student(1 - level, freedom) == pytest.approx(-student(level, freedom))


@pytest.mark.parametrize("level", [0.001, 0.025, 0.5, 0.975, 0.999])
@pytest.mark.parametrize("freedom", [1, 1.7, 8, 60, 980])
def test_the_chi_square_quantile(level, freedom):
    assert chi_square(level, freedom) == pytest.approx(stats.chi2.ppf(level, freedom), rel=1e-6)


def test_an_interval_without_an_end_is_json():
    assert json.dumps(Estimate(None, 1.0, math.inf).to_json()) == '{"value": null, "low": 1.0, "high": null}'
