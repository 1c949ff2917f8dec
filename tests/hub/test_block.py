import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lanista.hub.block import (
    Attention,
    Residual,
    SqueezeExcite,
    answers,
    chain,
    convolution,
    divisible,
    example,
    initialised,
    mbconv,
)


@given(st.floats(0.1, 5000), st.sampled_from([1, 4, 8, 16]))
def test_a_divisible_width_is_near_but_hardly_below(value, divisor):
    width = divisible(value, divisor)
    assert width % divisor == 0
    assert width >= max(divisor, 0.9 * value)
    assert width <= value + divisor
    assert divisible(width, divisor) == width


@pytest.mark.parametrize(("value", "width"), [(3, 8), (11, 16), (12, 16), (35.84, 40), (88.08, 88), (1433.6, 1432)])
def test_widths_of_published_networks(value, width):
    assert divisible(value) == width


def test_an_example_is_always_the_same_and_draws_nothing():
    before = torch.get_rng_state()
    assert torch.equal(example(1, 3, 4, 4), example(1, 3, 4, 4))
    with torch.device("meta"):
        assert example(2, 3).device.type == "cpu"
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_shapes(kernel, stride):
    x = torch.randn(2, 4, 8, 8)
    assert convolution(4, 6, kernel, stride=stride)(x).shape == (2, 6, 8 // stride, 8 // stride)
    assert mbconv(4, 6, kernel, 12, stride=stride)(x).shape == (2, 6, 8 // stride, 8 // stride)


@pytest.mark.parametrize(
    ("outputs", "stride", "residual", "added"),
    [(4, 1, True, True), (4, 1, False, False), (4, 2, True, False), (6, 1, True, False)],
)
def test_a_bottleneck_adds_its_input_where_it_may_and_can(outputs, stride, residual, added):
    block = mbconv(4, outputs, 3, 8, stride=stride, residual=residual).eval()
    assert isinstance(block, Residual) == added
    x = torch.randn(2, 4, 8, 8)
    y = nn.Sequential(*block)(x)
    assert torch.equal(block(x), x + y if added else y)


def test_a_bottleneck_without_expansion_has_no_layer_for_it():
    assert [name for name, _ in mbconv(4, 4, 3, 4).named_children()] == ["depthwise", "project"]
    squeezed = mbconv(4, 4, 3, 8, squeeze=SqueezeExcite(8, 2))
    assert [name for name, _ in squeezed.named_children()] == ["expand", "depthwise", "squeeze", "project"]


def test_squeeze_excite_scales_each_channel():
    x = torch.rand(2, 6, 3, 3) + 0.1
    ratio = SqueezeExcite(6, 2, gate=nn.Sigmoid)(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert ratio.max() < 1


def test_weights_start_by_the_number_of_outputs():
    torch.manual_seed(0)
    layers = {"conv": convolution(16, 64, 3), "flat": nn.Flatten(), "linear": nn.Linear(64, 10)}
    model = initialised(chain(layers), eps=1e-3, momentum=0.01)
    assert model.conv.conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert model.linear.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not model.linear.bias.any()
    assert (model.conv.norm.eps, model.conv.norm.momentum) == (1e-3, 0.01)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_torchs(causal):
    torch.manual_seed(0)
    mine, theirs = Attention(8, 2, 4, causal=causal), nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = mine.qkv.weight, mine.qkv.bias
    theirs.out_proj.weight, theirs.out_proj.bias = mine.out.weight, mine.out.bias
    x = torch.randn(2, 5, 8)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    assert torch.allclose(mine(x), theirs(x, x, x, attn_mask=mask, need_weights=False)[0], atol=1e-6)


def test_answers_name_stage_and_block():
    assert answers([[{"kernel": 3}], [{"kernel": 5}, {"kernel": 7}]], 2) == {
        "stage2/depth": 1,
        "stage2/block0/kernel": 3,
        "stage3/depth": 2,
        "stage3/block0/kernel": 5,
        "stage3/block1/kernel": 7,
    }
