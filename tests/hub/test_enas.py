import pytest
import torch

from lanista.errors import SpaceError
from lanista.hub import CATALOG, ENASMacro
from lanista.hub.enas import OPERATIONS
from lanista.space import Categorical, Subset


def test_the_size_is_that_of_the_paper():
    # "For L = 12, 1.6 * 10^29 possible networks", of 6^L * 2^(L (L - 1) / 2).
    size = ENASMacro(width=2).decisions.size
    assert size == 6**12 * 2**66
    assert float(f"{size:.1e}") == CATALOG["ENASMacro"].size


def test_a_layer_adds_chosen_earlier_tensors_to_its_operation():
    space = ENASMacro(width=4, num_layers=3)
    assert space.decisions["layer2/op"] == Categorical(OPERATIONS)
    assert space.decisions["layer2/skip"] == Subset([0, 1])
    assert "layer0/skip" not in space.decisions
    architecture = {**{f"layer{i}/op": "avg_pool_3x3" for i in range(3)}, "layer1/skip": [], "layer2/skip": [0, 1]}
    model = space.build(architecture).eval()
    layer = model.layers[2]
    earlier = [torch.randn(2, 16, 8, 8) for _ in range(3)]
    expected = layer.bn(layer.operation(earlier[2]) + earlier[0] + earlier[1])
    torch.testing.assert_close(layer(earlier), expected)


def test_after_each_third_everything_is_halved():
    space = ENASMacro(width=4, num_layers=6, num_classes=5)
    model = space.build(space.sample(0))
    shapes = []
    for layer in model.layers:
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:3])))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert shapes == [(4, 32), (4, 32), (8, 16), (8, 16), (16, 8), (16, 8)]


def test_there_are_at_least_three_layers():
    with pytest.raises(SpaceError, match="num_layers is 2; it must be at least 3"):
        ENASMacro(num_layers=2)
