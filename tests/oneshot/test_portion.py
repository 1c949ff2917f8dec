import torch
from torch import nn

from lanista.oneshot.portion import Portions


def total(options, x):
    return sum(option(x) for option in options)


def test_inside_of_a_narrowed_layer_nothing_is_narrowed_again():
    portions, seen = Portions(2), []

    class Outer(nn.Module):
        def forward(self, x):
            seen.append(tuple(x.shape))
            return portions.run("inner", total, [nn.Identity()], x)

    output = portions.run("outer", total, [Outer()], torch.randn(3, 8))
    assert seen == [(3, 4)]
    assert output.shape == (3, 8)


def test_one_part_is_the_whole():
    layer, x = nn.Linear(4, 4), torch.randn(3, 4)
    assert torch.equal(Portions(1).run("all", total, [layer], x), layer(x))


def test_layers_follow_their_originals():
    layer, x, portions = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), torch.randn(6, 4), Portions(2)
    first = portions.run("a", total, [layer], x)
    layer.eval()
    second = portions.run("a", total, [layer], x)
    with torch.no_grad():
        layer[0].weight.mul_(2)
    third = portions.run("a", total, [layer], x)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    narrow = torch.nn.functional.linear(x[:, :2], layer[0].weight[:2, :2], layer[0].bias[:2])
    norm = layer[1]
    expected = (narrow - norm.running_mean[:2]) / (norm.running_var[:2] + norm.eps).sqrt()
    assert torch.allclose(third[:, 0::2], expected, atol=1e-6)
