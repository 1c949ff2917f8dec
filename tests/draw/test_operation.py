import operator

import pytest
import torch
from torch import nn

from lanista.draw.operation import of_function, of_layer


class Odd(nn.Module):
    def extra_repr(self):
        raise AttributeError("half of a module")


@pytest.mark.parametrize(
    ("layer", "title", "detail"),
    [
        (nn.Conv2d(3, 16, 3, 2, bias=False), "Conv 3×3", "3→16 /2"),
        (nn.Conv2d(8, 8, (1, 7), groups=8), "Conv 1×7", "8→8 depthwise"),
        (nn.Conv2d(8, 8, 3, dilation=2, groups=2), "Conv 3×3", "8→8 2 groups dilated 2"),
        (nn.Conv2d(8, 8, 3, (2, 1)), "Conv 3×3", "8→8 /2×1"),
        (nn.Conv1d(4, 8, 5), "Conv1d 5", "4→8"),
        (nn.ConvTranspose2d(4, 8, 2), "ConvTranspose 2×2", "4→8"),
        (nn.LazyConv2d(8, 1), "LazyConv 1×1", "?→8"),
        (nn.Linear(4, 8), "Linear", "4→8"),
        (nn.MaxPool2d(3, 2, 1), "MaxPool 3×3", "/2"),
        (nn.MaxPool1d(3), "MaxPool1d 3", "/3"),
        (nn.AdaptiveAvgPool2d(1), "AvgPool", "→ 1×1"),
        (nn.Embedding(100, 8), "Embedding", "100→8"),
        (nn.LSTM(4, 8, 2), "LSTM", "4→8 2 layers"),
        (nn.MultiheadAttention(8, 2), "Attention", "8 2 heads"),
        (nn.BatchNorm2d(4), "BatchNorm", ""),
        (nn.Dropout(0.5), "Dropout", "0.5"),
        (nn.LeakyReLU(0.2), "LeakyReLU", "negative_slope=0.2"),
        (Odd(), "Odd", ""),
    ],
)
def test_a_layer_is_told_in_few_words(layer, title, detail):
    words = of_layer(layer)
    assert (words.title, words.detail) == (title, detail)


@pytest.mark.parametrize(
    ("target", "name", "symbol"),
    [
        (operator.add, "+", True),
        (operator.iadd, "+", True),
        (torch.cat, "concat", True),
        ("mul", "×", True),
        (torch.relu, "relu", False),
        ("flatten", "flatten", False),
        (nn.functional.scaled_dot_product_attention, "scaled_dot_product_attention", False),
    ],
)
def test_a_function_is_a_symbol_or_its_name(target, name, symbol):
    words = of_function(target)
    assert (words.title, words.symbol) == (name, symbol)


def test_what_differs_among_several_is_left_open():
    one, other = of_layer(nn.Conv2d(8, 16, 3)), of_layer(nn.Conv2d(8, 32, 5))
    assert (one.merged([other]).title, one.merged([other]).detail) == ("Conv k×k", "")
    assert one.merged([one]) == one
