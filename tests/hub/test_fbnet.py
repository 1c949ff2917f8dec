from functools import cache

import pytest
import torch

from lanista.hub import FBNet
from lanista.hub.fbnet import ENTRIES, OPS, Shuffle
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small():
    return FBNet(5, stages=((8, 1, 1), (8, 2, 2), (16, 3, 1)), stem=8, head=16, resolution=16)


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_the_space_has_the_papers_size_and_the_numbers_of_latency_tables():
    space = in_the_catalog(ENTRY).decisions
    assert space.size == 9**22
    assert OPS == ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
    assert space.labels == tuple(f"layer{number}" for number in range(22))
    assert all(space[label].grid() == OPS for label in space.labels)


def test_a_skip_is_nothing_where_the_shape_stays_and_a_convolution_elsewhere():
    model = small().build({f"layer{number}": "skip" for number in range(6)})
    counts = [sum(p.numel() for p in getattr(model, f"layer{number}").parameters()) for number in range(6)]
    assert counts == [0, 8 * 8 + 16, 0, 8 * 16 + 32, 0, 0]


def test_grouped_convolutions_are_mixed_by_a_shuffle():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert Shuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
    model = small().build({f"layer{number}": "k5_e1_g2" for number in range(6)})
    assert [name for name, _ in model.layer0.named_children()] == ["expand", "shuffle", "depthwise", "project"]
    assert model.layer0.expand.conv.groups == model.layer0.project.conv.groups == 2
