import pytest
import torch
from torch import nn

from lanista.errors import OneShotError
from lanista.oneshot.slices import Layout, Part, cut, layout, summed, window

NUMBERS = torch.arange(24.0).reshape(6, 4)


@pytest.mark.parametrize(
    ("module", "name", "ndim", "expected"),
    [
        (nn.Linear(2, 2), "weight", 2, Layout((1, 1))),
        (nn.Conv2d(2, 2, 3), "weight", 4, Layout((1, 1, 1, 1), centred=True)),
        (nn.ConvTranspose1d(2, 2, 3), "weight", 3, Layout((1, 1, 1), centred=True)),
        (nn.MultiheadAttention(4, 2), "in_proj_weight", 2, Layout((3, 1))),
        (nn.MultiheadAttention(4, 2), "in_proj_bias", 1, Layout((3,))),
        (nn.MultiheadAttention(4, 2, kdim=3), "q_proj_weight", 2, Layout((1, 1))),
        (nn.LSTM(2, 2, 2), "weight_ih_l1", 2, Layout((4, 1))),
        (nn.LSTM(2, 2, 2, bidirectional=True), "weight_ih_l1_reverse", 2, Layout((4, 2))),
        (nn.LSTM(2, 4, proj_size=2), "weight_hr_l0", 2, Layout((1, 1))),
        (nn.GRU(2, 2), "bias_hh_l0", 1, Layout((3,))),
        (nn.RNN(2, 2), "weight_hh_l0", 2, Layout((1, 1))),
        (nn.GRUCell(2, 2), "weight_hh", 2, Layout((3, 1))),
        (nn.BatchNorm1d(2), "num_batches_tracked", 0, Layout(())),
    ],
)
def test_layouts(module, name, ndim, expected):
    assert layout(module, name, ndim) == expected


def test_a_layer_says_that_it_is_packed():
    layer = nn.Linear(2, 6)
    layer.packed = 3
    assert layout(layer, "weight", 2) == Layout((3, 1))


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((6, 4), Layout((1, 1)), NUMBERS),
        ((2, 3), Layout((1, 1)), NUMBERS[:2, :3]),
        ((2, 2), Layout((2, 1)), NUMBERS[[0, 3]][:, :2]),
        ((4, 2), Layout((2, 2)), NUMBERS[[0, 1, 3, 4]][:, [0, 2]]),
        ((5, 4), Layout((2, 1)), NUMBERS[:5]),  # chunks that do not divide a size do not count
    ],
)
def test_cuts(shape, kind, expected):
    assert torch.equal(cut(NUMBERS, shape, kind), expected)


def test_windows_are_cut_in_the_middle():
    weight = torch.arange(50.0).reshape(1, 2, 5, 5)
    kind = Layout((1, 1, 1, 1), centred=True)
    assert torch.equal(cut(weight, (1, 1, 3, 3), kind), weight[:, :1, 1:4, 1:4])
    assert torch.equal(cut(weight, (1, 2, 1, 5), kind), weight[:, :, 2:3])


def test_what_is_larger_is_no_part():
    with pytest.raises(OneShotError, match=r"\(6, 4\) has no part of shape \(6, 5\)"):
        cut(NUMBERS, (6, 5), Layout((1, 1)))


@pytest.mark.parametrize(("shape", "chunks"), [((2, 3), (1, 1)), ((4, 2), (2, 2)), ((6, 4), (2, 1))])
def test_what_is_written_is_read(shape, chunks):
    holder = nn.Module()
    holder.register_parameter("weight", nn.Parameter(torch.zeros(6, 4)))
    part = Part(holder, "weight", shape, Layout(chunks))
    value = torch.randn(shape)
    part.write(value)
    assert torch.equal(part.read(), value)
    assert holder.weight.count_nonzero() == value.numel()
    assert part.split == (chunks != (1, 1) and shape != (6, 4))
    assert window(holder.weight, shape, part.layout).untyped_storage().data_ptr() == holder.weight.data_ptr()
    part.read().sum().backward()
    assert torch.equal(cut(holder.weight.grad, shape, part.layout), torch.ones(shape))
    assert holder.weight.grad.sum() == value.numel()


def test_a_part_that_is_fixed_has_no_gradient():
    holder = nn.Linear(2, 2)
    fixed = Part(holder, "weight", (1, 2), Layout((1, 1)), fixed=True)
    assert not fixed.read().requires_grad
    assert not fixed.learns
    assert Part(holder, "weight", (1, 2), Layout((1, 1))).learns


@pytest.mark.parametrize(
    ("module", "name", "dim"),
    [
        (nn.Linear(2, 2), "weight", 1),
        (nn.Linear(2, 2), "bias", None),
        (nn.Conv2d(2, 2, 1), "weight", 1),
        (nn.ConvTranspose2d(2, 2, 1), "weight", 0),
        (nn.LSTM(2, 2), "weight_hh_l0", 1),
        (nn.LSTM(2, 2), "bias_hh_l0", None),
        (nn.MultiheadAttention(2, 1), "in_proj_weight", 1),
        (nn.Embedding(2, 2), "weight", None),
    ],
)
def test_the_dimension_that_is_summed_over(module, name, dim):
    assert summed(module, name) == dim
