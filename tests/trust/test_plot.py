"""Pictures: well-formed, and with every point where it belongs."""

import itertools
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lanista.trust import Estimate, random_search
from lanista.trust.plot import LEFT, SIDE, TOP, intervals, rising, scatter


def circles(picture, *classes):
    return [c for c in ET.fromstring(picture).iter("circle") if c.get("class") in classes]


def test_the_scatter_plot_has_each_architecture_by_its_rank():
    y = np.arange(10.0)
    drawn = circles(scatter(("proxy", "real"), 2.0**y, y, [f"a{i}" for i in range(10)], 0.2), "dot", "best")
    assert [c.get("class") for c in drawn] == ["dot"] * 8 + ["best"] * 2
    for index, circle in enumerate(drawn):
        assert float(circle.get("cx")) == pytest.approx(LEFT + (index + 0.5) * SIDE / 10, abs=0.1)
        assert float(circle.get("cy")) == pytest.approx(TOP + SIDE - (index + 0.5) * SIDE / 10, abs=0.1)
        assert circle.find("title").text.startswith(f"a{index}\nproxy {2**index}")


def test_the_band_holds_the_best_and_no_other():
    y = np.array([1.0, 2, 3, 4, 4, 4])
    picture = scatter(("p", "r"), y, y, list("abcdef"), 0.3)
    band = next(r for r in ET.fromstring(picture).iter("rect") if r.get("class") == "band")
    border = float(band.get("y")) + float(band.get("height"))
    assert [float(c.get("cy")) < border for c in circles(picture, "dot", "best")] == [False] * 3 + [True] * 3


def test_names_are_escaped_and_long_ones_shortened():
    name = '<script>&"' * 9
    picture = scatter((name, name), [1, 2], [1, 2], [name, name], 0.5)
    assert "<script>" not in picture
    assert any("…" in (text.text or "") for text in ET.fromstring(picture).iter("text"))


def test_intervals_are_drawn_between_minus_one_and_one():
    rows = [
        ("a", Estimate(0.0, -1.0, 1.0), 0.9, "own"),
        ("b", Estimate(None, -1, 1), None, "other"),
        ("c", None, None, "own"),
    ]
    tree = ET.fromstring(intervals(rows))
    reach = [line for line in tree.iter("line") if line.get("class").startswith("reach")]
    assert [(line.get("x1"), line.get("x2")) for line in reach] == [("170.0", "600.0")]
    assert sum(text.text == "not known" for text in tree.iter("text")) == 2
    assert sum(line.get("class") == "cap" for line in tree.iter("line")) == 1


@pytest.mark.parametrize(("spent", "chosen"), [(0.2, 1.0), (3, 5.0), (5000, 90.0)])
def test_the_curve_rises_and_stays_in_its_frame(spent, chosen):
    found = random_search(np.geomspace(1, 10, 40), each=1, spent=spent, chosen=chosen)
    picture = rising(found.curve, found.chosen, found.evaluations, found.expected)
    tree = ET.fromstring(picture)
    points = [tuple(map(float, p.split(","))) for p in tree.find("polyline").get("points").split()]
    assert all(a[0] < b[0] and a[1] >= b[1] for a, b in itertools.pairwise(points))
    assert all(0 <= x <= 520 and 0 <= y <= 230 for x, y in points)


def test_equal_scores_are_drawn_too():
    found = random_search([2.0, 2.0], each=1, spent=1, chosen=2)
    assert math.isfinite(float(circles(rising(found.curve, 2, 1, found.expected), "mark other")[0].get("cy")))
