import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.draw.layout import layered


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    sizes = draw(st.lists(st.tuples(st.integers(5, 200), st.integers(5, 90)), min_size=count, max_size=count))
    pairs = [(i, j) for j in range(count) for i in range(j)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    return sizes, edges


def overlap(one, other):
    """Whether two open intervals meet."""
    return one[0] < other[1] - 0.01 and other[0] < one[1] - 0.01


def extents(sizes, layout):
    return [((x, x + w), (y, y + h)) for (x, y), (w, h) in zip(layout.places, sizes, strict=True)]


@given(graphs(), st.sampled_from([math.inf, 200.0, 500.0]))
def test_boxes_do_not_overlap_and_lie_inside(graph, tallest):
    sizes, edges = graph
    layout = layered(sizes, edges, tallest=tallest)
    boxes = extents(sizes, layout)
    for i, (xs, ys) in enumerate(boxes):
        assert not [1 for other_xs, other_ys in boxes[i + 1 :] if overlap(xs, other_xs) and overlap(ys, other_ys)]
        assert xs[0] >= -0.01 and ys[0] >= -0.01
        assert xs[1] <= layout.width + 0.01 and ys[1] <= layout.height + 0.01
    for route in layout.routes:
        (x, y), (end_x, end_y) = route.points[0], route.points[-1]
        assert y == pytest.approx(boxes[route.source][1][1])
        assert end_y == pytest.approx(boxes[route.target][1][0])
        assert boxes[route.source][0][0] <= x <= boxes[route.source][0][1]
        assert boxes[route.target][0][0] <= end_x <= boxes[route.target][0][1]
    assert [(route.source, route.target) for route in layout.routes] == edges


@given(graphs(), st.sampled_from([math.inf, 300.0]))
def test_edges_lead_down_and_pass_no_box(graph, tallest):
    sizes, edges = graph
    layout = layered(sizes, edges, tallest=tallest)
    boxes = extents(sizes, layout)
    for route in layout.routes:
        if tallest == math.inf:
            assert all(b[1] >= a[1] - 0.01 for a, b in pairwise(route.points))
        for (x, y), (next_x, next_y) in pairwise(route.points):
            xs, ys = sorted((x, next_x)), sorted((y, next_y))
            # A swing lies in the rectangle of its ends.
            assert not [1 for bxs, bys in boxes if overlap((xs[0] - 0.5, xs[1] + 0.5), bxs) and overlap(ys, bys)]


@given(graphs())
def test_the_same_graph_gives_the_same_layout(graph):
    assert layered(*graph) == layered(*graph)


def test_a_chain_is_straight_and_is_cut_into_columns():
    sizes = [(60 + 20 * (i % 3), 40) for i in range(20)]
    edges = [(i, i + 1) for i in range(19)]
    straight = layered(sizes, edges)
    assert len({x + w / 2 for (x, _), (w, _) in zip(straight.places, sizes, strict=True)}) == 1
    cut = layered(sizes, edges, tallest=500)
    assert cut.height < 600 < straight.height
    assert len({round(x + w / 2) for (x, _), (w, _) in zip(cut.places, sizes, strict=True)}) == 3


def test_what_cannot_be_cut_stays_in_one_column():
    edges = [(i, j) for i in range(12) for j in (i + 1, i + 2) if j < 12]
    layout = layered([(50, 50)] * 12, edges, tallest=200)
    assert layout.height > 600


def test_a_diamond_has_no_crossing():
    layout = layered([(40, 20)] * 6, [(0, 1), (0, 2), (1, 4), (2, 3), (3, 5), (4, 5)])
    left, right = layout.places[1][0], layout.places[2][0]
    assert (left < right) == (layout.places[4][0] < layout.places[3][0])


def test_nothing_has_a_layout():
    assert layered([], []).width == 0
