from functools import cache

import pytest
import torch

from lanista.hub import Decoder
from lanista.hub.decoder import ENTRIES
from tests.hub.chains import SAMPLES, counts, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small(**settings):
    sizes = {"widths": (8, 16), "heads": (1, 2), "mlp_ratios": (1.5, 2.0), "depths": (0, 2), "head_width": 4}
    return Decoder(11, 6, **sizes, **settings)


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_so_does_one_with_a_last_layer_of_its_own():
    lives(small(tied=False, dropout=0.1), 0)


def test_the_space_has_the_choices_of_its_arguments():
    # Three widths; three numbers of heads and three ratios of each of two to eight blocks.
    assert in_the_catalog(ENTRY).decisions.size == 3 * sum((3 * 3) ** depth for depth in range(2, 9))


def test_counts_are_those_of_the_formula():
    width, heads, ratio, depth, length, words = 256, 6, 3, 4, 256, 256
    architecture = {"width": width, "depth": depth}
    for index in range(depth):
        architecture |= {f"block{index}/heads": heads, f"block{index}/mlp_ratio": ratio}
    matrices = depth * (4 * width * heads * 64 + 2 * ratio * width**2)
    biases = depth * (3 * heads * 64 + width + ratio * width + width)
    norms = (2 * depth + 1) * 2 * width
    parameters, macs = counts(Decoder(), architecture)
    assert parameters == matrices + biases + norms + (words + length) * width
    assert macs == length * (matrices + words * width) + depth * 2 * length**2 * heads * 64


def test_no_token_sees_what_follows():
    model = small().build(small().decisions.sample(0) | {"depth": 2}).eval()
    text = torch.arange(6)[None]
    changed = text.clone()
    changed[0, 4:] = 10
    with torch.no_grad():
        before, after = model(text), model(changed)
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-6)
    assert not torch.allclose(before[:, 4:], after[:, 4:])
    assert torch.allclose(model(text[:, :3]), before[:, :3], atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_the_embedding_is_tied_if_asked(tied):
    space = small(tied=tied)
    model = space.build(space.decisions.default())
    assert (model.head.weight is model.tokens.weight) == tied
