from functools import cache

import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.hub import MnasNet
from lanista.hub.mnasnet import ENTRIES, Pooled
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small():
    return MnasNet(5, widths=(8, 8, 16, 8, 8, 8, 16), layers=(1, 2, 1, 1, 1, 1, 1), stem=8, head=16, resolution=32)


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_the_space_has_the_papers_choices():
    space = in_the_catalog(ENTRY).decisions
    # Operations, kernels, squeeze-excite ratios, skips, filter factors, layers: 432 for a block, 432^5 for five, as
    # section 4.1 has it. There are seven, and the first and the last cannot have a layer less.
    block = 4 * 2 * 2 * 3 * 3
    assert block * 3 == 432
    assert space.size == (block * 3) ** 5 * (block * 2) ** 2
    assert (block * 3) ** 5 == pytest.approx(ENTRY.size, rel=0.6)


@pytest.mark.parametrize("name", ["widths", "layers"])
def test_a_wrong_number_of_blocks_says_so(name):
    with pytest.raises(SpaceError, match=f"{name} is .*of length 2; give 7"):
        MnasNet(**{name: (1, 2)})


def layers(**answers):
    block = {f"block2/{what}": value for what, value in answers.items()}
    return small().build(small().decisions.default() | {"block2/layers": 3, "block2/filters": 1.0} | block).block2


def test_all_layers_of_a_block_are_alike():
    found = layers(op="mbconv3", kernel=5, squeeze=0.25, skip="identity")
    assert len(found) == 3
    assert [layer.depthwise.conv.kernel_size for layer in found] == [(5, 5)] * 3
    assert [layer.expand.conv.out_channels for layer in found] == [24] * 3
    assert [layer.squeeze.reduce.out_channels for layer in found] == [2] * 3
    assert [layer.depthwise.conv.stride for layer in found] == [(2, 2), (1, 1), (1, 1)]


@pytest.mark.parametrize("op", ["conv", "sepconv", "mbconv6"])
def test_a_skip_is_where_the_shape_stays(op):
    kinds = {
        skip: [type(layer).__name__ for layer in layers(op=op, skip=skip)] for skip in ("none", "identity", "pool")
    }
    assert kinds == {
        "none": ["Sequential"] * 3,
        "identity": ["Sequential", "Residual", "Residual"],
        "pool": ["Sequential", "Pooled", "Pooled"],
    }


def test_pooling_adds_the_average_of_the_neighbours():
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert Pooled(nn.Identity())(x)[0, 0, 1, 1] == 4 + x.mean()
