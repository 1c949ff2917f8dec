import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.nn import LayerChoice
from lanista.oneshot.audit import difference
from lanista.testing.supernets import supernet
from tests.oneshot.spaces import VECTOR


class Zeros(nn.Module):
    """A layer whose weight has no effect at first, and is the output's shape."""

    def __init__(self, size):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return self.norm(x)[:, : len(self.bias)] + self.bias


def space():
    return ModelSpace(LayerChoice, {"a": lambda: Zeros(6), "b": lambda: Zeros(3)}, label="c", example_input=VECTOR)


A, B = {"c": "a"}, {"c": "b"}


def test_equal_models_do_not_differ_and_the_weights_come_back():
    net = supernet(space())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert difference(net, [A, B], net.path) is None
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def without_bias(net):
    def select(architecture):
        model = net.inherit(architecture)
        nn.init.zeros_(model.bias)
        return model

    return select


def test_what_is_zero_at_first_is_tried_with_other_numbers():
    net = supernet(space())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    found = difference(net, [A], without_bias(net))
    assert found == (A, "the model's output differs")


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (lambda net: lambda architecture: net.path(A), "another shape"),
        (lambda net: lambda architecture: nn.Linear(7, 7), "cannot be run (RuntimeError"),
    ],
)
def test_other_differences_are_named(select, words):
    net = supernet(space())
    architecture, reason = difference(net, [B], select(net))
    assert architecture == B
    assert words in reason


class Constant(nn.Module):
    """Gives zeros where its weights are not as they were at first."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x):
        return x * self.scale.detach().clamp(2, 4).sub(2).int()


def test_weights_as_they_are_are_tried_too():
    def doubled(architecture):
        return nn.Sequential(net.path(architecture), Twice())

    net = supernet(ModelSpace(lambda: LayerChoice([Constant], label="c"), example_input=VECTOR))
    net.load_state_dict({name: torch.full_like(value, 3.0) for name, value in net.state_dict().items()})
    assert difference(net, [{"c": 0}], doubled) == ({"c": 0}, "the model's output differs")


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x
