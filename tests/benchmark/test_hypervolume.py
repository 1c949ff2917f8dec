import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.benchmark.hypervolume import Region, front, hypervolume
from lanista.objective import dominates

numbers = st.integers(0, 8).map(float)
points = st.lists(st.tuples(numbers, numbers), max_size=12)


@given(points)
def test_the_area_is_the_number_of_cells_that_a_point_dominates(given):
    cells = {(x, y) for a, b in given for x in range(int(a), 7) for y in range(int(b), 6)}
    assert hypervolume(given, (7.0, 6.0)) == len(cells)


@given(points)
def test_a_front_has_exactly_what_no_other_point_dominates(given):
    found = [given[i] for i in front(given)]
    assert set(found) == {p for p in given if not any(dominates((-x, -y), (-p[0], -p[1])) for x, y in given)}
    assert len(set(found)) == len(found)
    assert hypervolume(found, (7.0, 6.0)) == hypervolume(given, (7.0, 6.0))


def test_a_region_ends_at_the_quantile_and_the_greatest_cost():
    many = [(float(i), float(100 - i)) for i in range(101)]
    random.Random(0).shuffle(many)
    region = Region.of(many)
    assert region.reference == (95.0, 100.0)
    assert region.share(many) == pytest.approx(1)
    assert 0 < region.share(many[:5]) < region.share(many[:50]) < 1
    assert region.share([]) == 0
