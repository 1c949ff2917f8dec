from functools import cache

import pytest

from lanista.hub import OFA
from lanista.hub.ofa import ENTRIES
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small():
    return OFA(5, 0.25, depths=(1, 2), resolution=32)


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_the_space_has_the_papers_size():
    space = in_the_catalog(ENTRY).decisions
    # "((3 x 3)^2 + (3 x 3)^3 + (3 x 3)^4)^5", section 3.1
    assert space.size == (9**2 + 9**3 + 9**4) ** 5
    assert round(space.size, -19) == ENTRY.size
    assert space["stage6/block3/kernel"].grid() == (3, 5, 7)
    assert space["stage6/block3/expand"].grid() == (3, 4, 6)
