from functools import cache

import pytest

from lanista.errors import SpaceError
from lanista.hub import ProxylessNAS
from lanista.hub.proxylessnas import ENTRIES
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small():
    return ProxylessNAS(5, 0.25, depths=(1, 2), resolution=32)


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_the_space_has_the_papers_choices():
    space = in_the_catalog(ENTRY).decisions
    # Six operations for each block; five stages of one to four blocks, and one of a single block.
    assert space.size == sum(6**depth for depth in range(1, 5)) ** 5 * 6
    assert space["stage3/depth"].grid() == range(1, 5)
    assert space["stage7/block0/op"].grid() == ("k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6")
    assert "stage7/depth" not in space
    assert "stage2/block0/op" in space.active({"stage2/depth": 1})
    assert "stage2/block1/op" not in space.active({"stage2/depth": 1})


def test_a_wrong_number_of_widths_says_which_are_wanted():
    with pytest.raises(SpaceError, match=r"widths is \(16, 24\), of length 2; give 9: of the stem, seven stages"):
        ProxylessNAS(widths=(16, 24))


def test_the_first_block_of_a_stage_changes_shape_and_the_others_add_their_input():
    model = small().build(small().decisions.default() | {"stage6/depth": 2, "stage6/block1/op": "k7e6"})
    first, second = model.stage6
    assert first.depthwise.conv.stride == (2, 2)
    assert first.depthwise.conv.kernel_size == (3, 3)
    assert second.depthwise.conv.kernel_size == (7, 7)
    assert second.expand.conv.out_channels == 6 * first.project.conv.out_channels
    assert type(first).__name__ == "Sequential"
    assert type(second).__name__ == "Residual"
