from functools import cache

import pytest
import torch

from lanista.hub import AutoFormer
from lanista.hub.autoformer import BASE, ENTRIES, REACH, SMALL, TINY, RelativeAttention, distances
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small(**settings):
    return AutoFormer(
        5, embed_dims=(8, 16), heads=(1, 2), mlp_ratios=(1.5, 2.0), depths=(1, 3), image=32, patch=8, **settings
    )


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


@pytest.mark.parametrize("seed", range(3))
def test_so_does_a_plain_vision_transformer(seed):
    lives(small(relative=False, average=False, bias=False, dropout=0.1), seed)


def test_positions_can_be_left_out():
    lives(small(absolute=False), 0)


@pytest.mark.parametrize(("settings", "heads", "depths"), [(TINY, 2, 12), (SMALL, 3, 12), (BASE, 3, 14)])
def test_the_space_has_the_papers_choices(settings, heads, depths):
    space = AutoFormer(**settings, image=32).decisions
    # Three widths; heads and three ratios of each of so many blocks, or one or two more.
    assert space.size == 3 * sum((heads * 3) ** depth for depth in range(depths, depths + 3))


def test_the_entry():
    in_the_catalog(ENTRY)


def test_distances_are_in_rows_and_columns_and_the_class_token_has_its_own():
    rows, columns = distances(3)
    assert rows.shape == columns.shape == (10, 10)
    for tokens in (rows, columns):
        assert not tokens[0].any()
        assert not tokens[:, 0].any()
    here, there = 1 + 0 * 3 + 2, 1 + 2 * 3 + 1  # row 0 and column 2; row 2 and column 1
    assert rows[here, there] == REACH + 1 + 2
    assert columns[here, there] == REACH + 1 - 1
    assert distances(20)[0].max() == 2 * REACH + 1
    assert distances(20)[0][1:, 1:].min() == 1


def test_relative_attention_is_the_formula_of_its_docstring():
    torch.manual_seed(0)
    rows, columns = distances(2)
    attention = RelativeAttention(8, 2, rows, columns)
    x = torch.randn(1, 5, 8)
    q, k, v = attention.qkv(x)[0].reshape(5, 3, 2, 64).unbind(1)
    expected = torch.zeros(5, 2, 64)
    with torch.no_grad():
        for head in range(2):
            for i in range(5):
                keys = k[:, head] + attention.key_rows[rows[i]] + attention.key_columns[columns[i]]
                values = v[:, head] + attention.value_rows[rows[i]] + attention.value_columns[columns[i]]
                expected[i, head] = (keys @ q[i, head] / 8).softmax(0) @ values
        assert torch.allclose(attention(x)[0], attention.out(expected.flatten(1)), atol=1e-5)
