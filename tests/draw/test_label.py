import pytest

from lanista.draw.label import family, merged_label, written


@pytest.mark.parametrize(
    ("labels", "merged"),
    [
        (["a"], "a"),
        (["cells.1", "cells.2", "cells.3"], "cells.1–3"),
        (["b/0/k", "b/2/k", "b/5/k"], "b/0,2,5/k"),
        (["s1/b0", "s1/b1", "s2/b0", "s2/b1"], "s1–2/b0–1"),
        (["2d/1", "2d/1"], "2d/1"),
    ],
)
def test_labels_that_differ_in_numbers_are_one(labels, merged):
    assert merged_label(labels) == merged


def test_a_family_differs_in_one_number():
    labels = ["in_2_0", "in_2_1", "in_3_0", "other"]
    assert family("in_2_0", labels) == family("in_2_1", labels) != family("in_3_0", labels)
    assert family("a1", ["a1", "b1"]) != family("b1", ["a1", "b1"])


@pytest.mark.parametrize(
    ("value", "text"),
    [("relu", "relu"), ([1, [2, "x"]], "[1, [2, x]]"), (0.123456, "0.1235"), (None, "None"), (3, "3")],
)
def test_values_are_written_short(value, text):
    assert written(value) == text
