import copy
import pickle

import pytest
import torch
from torch import nn

from lanista.errors import OneShotError
from lanista.oneshot.binding import Bound, bind
from lanista.oneshot.slices import Layout, Part


def bound(outputs=2):
    """A layer whose weight is the first rows of another one's, and that one."""
    whole, layer = nn.Linear(3, 4), nn.Linear(3, outputs)
    parts = {name: Part(whole, name, tuple(getattr(layer, name).shape), Layout((1,) * n)) for name, n in SIZES.items()}
    bind(layer, parts)
    return whole, layer


SIZES = {"weight": 2, "bias": 1}
X = torch.randn(5, 3)


def test_a_bound_layer_uses_what_is_there_now():
    whole, layer = bound()
    for _ in range(2):
        assert torch.equal(
            layer(X), nn.functional.linear(X, whole.weight[:2].contiguous(), whole.bias[:2].contiguous())
        )
        with torch.no_grad():
            whole.weight += 1
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer.state_dict()["weight"].shape == (2, 3)
    assert layer._parameters.get("weight").shape == (2, 3)
    assert layer._parameters.get("other", 7) == 7
    assert type(layer._parameters.copy()) is dict


def test_what_is_assigned_or_loaded_is_written():
    whole, layer = bound()
    layer.weight = nn.Parameter(torch.full((2, 3), 7.0))
    assert (whole.weight[:2] == 7).all()
    assert not (whole.weight[2:] == 7).any()
    layer.load_state_dict({"weight": torch.full((2, 3), 8.0), "bias": torch.ones(2)})
    assert (whole.weight[:2] == 8).all()
    assert (whole.bias[:2] == 1).all()
    with pytest.raises(RuntimeError, match="size mismatch"):
        layer.load_state_dict({"weight": torch.full((4, 3), 8.0), "bias": torch.ones(2)})


def test_functional_calls_leave_what_is_shared_alone():
    whole, layer = bound()
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    own = layer(X)
    for kind in (torch.Tensor.detach, nn.Parameter):
        given = {name: kind(torch.randn_like(value)).requires_grad_() for name, value in layer.named_parameters()}
        twice = {name: kind(torch.randn_like(value)) for name, value in layer.named_parameters()}
        found = torch.func.functional_call(layer, given, X)
        assert torch.equal(found, nn.functional.linear(X, given["weight"], given["bias"]))
        found.sum().backward()
        assert given["weight"].grad.any()

        class Outer(nn.Module):
            def forward(self, x, layer=layer, twice=twice):
                return torch.func.functional_call(layer, twice, x) + layer(x)

        outer = Outer()
        outer.layer = layer
        named = {f"layer.{name}": value for name, value in given.items()}
        nested = torch.func.functional_call(outer, named, X)
        assert torch.equal(nested, nn.functional.linear(X, twice["weight"], twice["bias"]) + found)
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())
    assert whole.weight.grad is None
    assert torch.equal(layer(X), own)
    with torch.no_grad():
        whole.weight += 1
    assert not torch.equal(layer(X), own)


@pytest.mark.parametrize("chunks", [1, 3])
def test_functional_calls_leave_shared_buffers_alone(chunks):
    whole, norm = nn.BatchNorm1d(12), nn.BatchNorm1d(6)
    bind(norm, {"running_mean": Part(whole, "running_mean", (6,), Layout((chunks,)))}, buffers=True)
    mean = torch.ones(6)
    torch.func.functional_call(norm, {"running_mean": mean}, torch.zeros(4, 6))
    torch.testing.assert_close(mean, torch.full((6,), 0.9))
    assert not whole.running_mean.any()
    norm(torch.ones(4, 6))
    assert whole.running_mean.count_nonzero() == 6


def test_what_is_not_bound_stays_the_modules_own():
    _, layer = bound()
    layer.scale = nn.Parameter(torch.ones(1))
    assert dict(layer.named_parameters())["scale"] is layer.scale
    bind(layer, {"weight": Part(nn.Linear(3, 2), "weight", (2, 3), Layout((1, 1)))})  # once more, of another
    assert type(layer._parameters) is Bound
    assert set(layer._parameters) == {"weight", "bias", "scale"}


def test_copies_are_plain_and_pickles_are_refused():
    _, layer = bound()
    twin = copy.deepcopy(layer)
    assert type(twin._parameters) is dict
    assert all(isinstance(p, nn.Parameter) and p.is_leaf for p in twin.parameters())
    assert torch.equal(twin(X), layer(X))
    with pytest.raises(OneShotError, match="inherit"):
        pickle.dumps(layer)


@pytest.mark.parametrize("chunks", [1, 3])
def test_buffers_are_changed_in_place_or_replaced(chunks):
    whole, norm = nn.BatchNorm1d(12), nn.BatchNorm1d(6)
    bind(norm, {"running_mean": Part(whole, "running_mean", (6,), Layout((chunks,)))}, buffers=True)
    twin = nn.BatchNorm1d(6)
    x = torch.randn(4, 6)
    assert torch.equal(norm(x), twin(x))
    places = [0, 1, 4, 5, 8, 9] if chunks == 3 else range(6)
    assert torch.equal(whole.running_mean[list(places)], twin.running_mean)
    assert torch.equal(norm.running_mean, twin.running_mean)
    assert whole.running_mean.count_nonzero() == 6
    norm.running_mean = torch.ones(6)
    assert whole.running_mean.sum() == 6
    assert torch.equal(copy.deepcopy(norm).running_mean, torch.ones(6))


class Replaced(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))

    def forward(self, x):
        self.mean = self.mean + x
        self.mean = self.mean * 2
        return self.mean


def test_a_buffer_in_chunks_may_be_replaced_in_a_forward_pass():
    whole, small = Replaced(4), Replaced(2)
    bind(small, {"mean": Part(whole, "mean", (2,), Layout((2,)))}, buffers=True)
    assert torch.equal(small(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 4.0]))
    assert torch.equal(whole.mean, torch.tensor([2.0, 0.0, 4.0, 0.0]))
