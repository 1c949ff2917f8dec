from math import prod

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from lanista.profile import flops, macs
from tests.profile.models import MODELS, ROW, SEQUENCE, Dependent


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def example(*shapes):
    return tuple(torch.zeros(shape) for shape in shapes)


CASES = {
    "Linear": (nn.Linear(4, 3), example((5, 4)), 5 * 4 * 3),
    "Linear of one row": (nn.Linear(4, 3), example((4,)), 4 * 3),
    "Linear of many dimensions": (nn.Linear(4, 3), example((2, 5, 4)), 2 * 5 * 4 * 3),
    "Bilinear": (nn.Bilinear(4, 5, 3), example((2, 4), (2, 5)), 2 * 3 * 4 * 5),
    "Conv1d": (nn.Conv1d(4, 6, 3), example((2, 4, 9)), 2 * 6 * 7 * 4 * 3),
    "Conv2d": (nn.Conv2d(4, 6, 3, stride=2, padding=1), example((2, 4, 8, 8)), 2 * 6 * 16 * 4 * 9),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), example((2, 4, 8, 8)), 2 * 4 * 36 * 9),
    "Conv3d": (nn.Conv3d(2, 3, 2), example((1, 2, 4, 4, 4)), 3 * 27 * 2 * 8),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2), example((2, 4, 8, 8)), 2 * 4 * 64 * 6 * 9),
    "LSTM": (nn.LSTM(8, 3), example((5, 2, 8)), 5 * 2 * 4 * 3 * (8 + 3)),
    "GRU": (nn.GRU(8, 3), example((5, 2, 8)), 5 * 2 * 3 * 3 * (8 + 3)),
    "RNN": (nn.RNN(8, 3), example((5, 2, 8)), 5 * 2 * 3 * (8 + 3)),
    # Four projections, and two products with the attention matrix.
    "MultiheadAttention": (
        nn.MultiheadAttention(8, 2, batch_first=True),
        (SEQUENCE, SEQUENCE, SEQUENCE),
        2 * 5 * 8 * 8 * 4 + 2 * 2 * 5 * 5 * 8,
    ),
    "TransformerEncoderLayer": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (SEQUENCE,),
        2 * 5 * 8 * 8 * 4 + 2 * 2 * 5 * 5 * 8 + 2 * 2 * 5 * 8 * 16,
    ),
    "linear": (Function(functional.linear), example((5, 4), (3, 4)), 5 * 4 * 3),
    "conv2d": (Function(functional.conv2d), example((1, 2, 5, 5), (3, 2, 3, 3)), 3 * 9 * 2 * 9),
    "matmul": (Function(torch.matmul), example((2, 3, 4), (4, 5)), 2 * 3 * 4 * 5),
    "matrix times vector": (Function(torch.matmul), example((3, 4), (4,)), 12),
    "dot": (Function(torch.dot), example((4,), (4,)), 4),
    "addmv": (Function(torch.addmv), example((3,), (3, 4), (4,)), 12),
    "bmm": (Function(torch.bmm), example((2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5),
    "baddbmm": (Function(torch.baddbmm), example((2, 3, 5), (2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5),
    "addbmm": (Function(torch.addbmm), example((3, 5), (2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5),
    "addmm_": (Function(lambda a, b, c: a.clone().addmm_(b, c)), example((3, 5), (3, 4), (4, 5)), 3 * 4 * 5),
    "einsum": (Function(lambda a, b: torch.einsum("bij,bkj->bik", a, b)), example((2, 3, 4), (2, 5, 4)), 2 * 3 * 4 * 5),
    "attention": (
        Function(functional.scaled_dot_product_attention),
        example(*[(2, 3, 5, 4)] * 3),
        2 * 2 * 3 * 5 * 5 * 4,
    ),
    "causal attention": (
        Function(lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True)),
        example(*[(2, 3, 5, 4)] * 3),
        2 * 2 * 3 * 5 * 5 * 4,
    ),
    "what is no product": (nn.Sequential(nn.BatchNorm1d(4), nn.ReLU(), nn.Softmax(1)), example((2, 4)), 0),
}


@pytest.mark.parametrize(("model", "inputs", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("wrap", [lambda model: model, Dependent], ids=["meta", "real"])
def test_multiply_adds_follow_the_formula(model, inputs, expected, wrap):
    assert macs(wrap(model), inputs).value == expected
    assert flops(wrap(model), inputs).value == 2 * expected


CONVOLUTIONS = {
    (dimensions, transposed): kind
    for dimensions, kinds in enumerate(
        [(nn.Conv1d, nn.ConvTranspose1d), (nn.Conv2d, nn.ConvTranspose2d), (nn.Conv3d, nn.ConvTranspose3d)], 1
    )
    for transposed, kind in enumerate(kinds)
}


@given(
    kind=st.sampled_from(sorted(CONVOLUTIONS)),
    batch=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.integers(1, 3),
    size=st.integers(3, 9),
    settings=st.fixed_dictionaries(
        {
            "groups": st.integers(1, 3),
            "stride": st.integers(1, 2),
            "padding": st.integers(0, 2),
            "dilation": st.integers(1, 2),
            "bias": st.booleans(),
        }
    ),
)
def test_convolutions_of_all_shapes(kind, batch, widths, kernel, size, settings):
    dimensions, transposed = kind
    reach = settings["dilation"] * (kernel - 1)
    assume(size + 2 * settings["padding"] > reach)
    assume(not transposed or (size - 1) * settings["stride"] - 2 * settings["padding"] + reach >= 0)
    taken, made = (settings["groups"] * width for width in widths)
    model = CONVOLUTIONS[kind](taken, made, kernel, **settings)
    inputs = torch.zeros(batch, taken, *[size] * dimensions)
    outputs = model.to("meta")(inputs.to("meta"))
    # Each place of the output (of the input, when transposed) meets the whole kernel, in its group of channels.
    places = batch * prod((inputs if transposed else outputs).shape[2:])
    assert macs(model, inputs).value == places * kernel**dimensions * taken * made / settings["groups"]


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_not_needed_and_change_nothing(name):
    build, inputs = MODELS[name]
    if name != "lazy":
        assert flops.parts(Dependent(build()), inputs) == {
            f"inner.{path}".rstrip("."): part for path, part in flops.parts(build(), inputs).items()
        }


def test_parts_are_the_modules_own():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

        def forward(self, x):
            return x @ self.inner(x)

    assert macs.parts(Mixed(), torch.zeros(4, 4)) == {"inner.0": 64, "inner.2": 32, "": 32}


def test_a_module_that_runs_twice_counts_twice():
    shared = nn.Linear(4, 4)
    assert macs.parts(nn.Sequential(shared, nn.ReLU(), shared), ROW) == {"0": 2 * 2 * 16}
