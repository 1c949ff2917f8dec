from functools import cache

import pytest
import torch
from torch import nn

from lanista.hub import ShuffleNetV2
from lanista.hub.shufflenetv2 import ENTRIES, Shuffled
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small():
    return ShuffleNetV2(5, channel_search=True, stages=((20, 2), (40, 3)), stem=8, head=16, resolution=16)


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_the_space_has_the_papers_choices():
    space = in_the_catalog(ENTRY).decisions
    # Four blocks in each of 20 places; ten widths of each.
    assert space.size == 4**20 == ENTRY.size
    assert space["stage3/block7/op"].grid() == ("k3", "k5", "k7", "xcep")
    assert ShuffleNetV2(channel_search=True, resolution=32).decisions.size == 40**20


def test_every_other_channel_passes_as_it_is():
    block = Shuffled(nn.ZeroPad2d(0), None)
    x = torch.arange(4.0).reshape(1, 4, 1, 1)
    assert block(x).flatten().tolist() == [0, 2, 1, 3]
    assert Shuffled(nn.Identity(), nn.Identity())(x).flatten().tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_ratio_sets_the_inner_width():
    answers = {"stage2/block1/op": "k7", "stage2/block1/ratio": 0.6}
    branch = small().build(small().decisions.default() | answers).stage2[1].branch
    assert branch[0].conv.in_channels == 20
    assert branch[0].conv.out_channels == 12
    assert branch[1].depthwise.conv.kernel_size == (7, 7)
    assert branch[1].point.conv.out_channels == 20
