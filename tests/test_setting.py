import functools

import pytest

from lanista import setting
from lanista.errors import ExperimentError


@pytest.mark.parametrize("value", [1, 25])
def test_counts_pass(value):
    assert setting.count("population_size", value) == value


def test_a_count_may_begin_elsewhere():
    assert setting.count("startup", 0, 0) == 0
    with pytest.raises(ExperimentError, match="startup is 1; give an integer of at least 2"):
        setting.count("startup", 1, 2)


@pytest.mark.parametrize("value", [0, -3, 2.5, "many", True, None])
def test_other_counts_are_named(value):
    with pytest.raises(ExperimentError, match="population_size") as error:
        setting.count("population_size", value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", [0, -0.1, 1.5, "often", True, float("nan")])
def test_other_probabilities_are_named_with_the_way_out(value):
    with pytest.raises(ExperimentError, match=r"crossover.*False for none") as error:
        setting.probability("crossover", value, "False for none")
    assert repr(value) in str(error.value)


def test_functions_are_shown_without_their_address():
    assert setting.name(len) == "len"
    assert setting.name(lambda: 0) == "test_functions_are_shown_without_their_address.<locals>.<lambda>"
    partial = setting.name(functools.partial(len, []))
    assert "len" in partial or "partial" in partial
    assert "0x" not in partial
