import pytest
import torch

from lanista.hub.operation import OPERATIONS, DropPath, FactorizedReduce


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_keeps_channels_and_divides_by_its_stride(name, stride):
    assert OPERATIONS[name](6, stride)(torch.randn(2, 6, 8, 8)).shape == (2, 6, 8 // stride, 8 // stride)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # Channels c: a separable convolution twice has 2 (k^2 c + c^2 + 2 c) parameters.
        ("sep_conv_3x3", 2 * (9 * 10 + 100 + 20)),
        ("sep_conv_7x7", 2 * (49 * 10 + 100 + 20)),
        ("dil_conv_5x5", 25 * 10 + 100 + 20),
        ("conv_7x1_1x7", 14 * 100 + 20),
        ("conv_3x1_1x3", 6 * 100 + 20),
        ("conv_3x3", 900 + 20),
        ("max_pool_7x7", 0),
        ("skip_connect", 0),
    ],
)
def test_parameters_follow_from_the_definition(name, count):
    assert sum(p.numel() for p in OPERATIONS[name](10, 1).parameters()) == count


def test_a_factorized_reduction_sees_even_and_odd_pixels():
    layer = FactorizedReduce(1, 2).eval()
    for conv in (layer.even, layer.odd):
        torch.nn.init.ones_(conv.weight)
    image = torch.arange(16.0).view(1, 1, 4, 4)
    halves = layer(image)[0] * (1 + layer.bn.eps) ** 0.5
    torch.testing.assert_close(halves, torch.stack([image[0, 0, ::2, ::2], image[0, 0, 1::2, 1::2]]))


def test_drop_path_drops_whole_samples_in_training():
    torch.manual_seed(0)
    ones, layer = torch.ones(2000, 2, 3, 3), DropPath(0.25)
    found = layer.train()(ones)
    kept = found[:, 0, 0, 0] != 0
    assert torch.equal(found, kept.view(-1, 1, 1, 1) * ones / 0.75)
    assert abs(kept.float().mean() - 0.75) < 0.05
    assert torch.equal(layer.eval()(ones), ones)
    assert "p=0.25" in repr(layer)
