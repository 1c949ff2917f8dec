import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from lanista.errors import SpaceError
from lanista.profile import Snip

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 2, 1, 0])


def test_it_is_what_switching_off_each_connection_changes():
    """SNIP's definition: the slopes of the loss at a mask of ones."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    c = [torch.ones_like(model[i].weight, requires_grad=True) for i in (0, 2)]
    hidden = torch.tanh(X @ (c[0] * model[0].weight).T + model[0].bias)
    loss = cross_entropy(hidden @ (c[1] * model[2].weight).T + model[2].bias, Y)
    expected = sum(slope.abs().sum().item() for slope in torch.autograd.grad(loss, c))
    assert Snip(X, Y)(model).value == pytest.approx(expected)


def test_by_hand():
    """L = (w x - y)^2 = 1 with w = 2, x = 3, y = 5: w dL/dw = 2 * 2 * 3 * 1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    assert Snip(torch.tensor([[3.0]]), torch.tensor([[5.0]]), mse_loss)(model).value == pytest.approx(12)


def test_scale_before_a_batch_norm_does_not_matter():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, eps=1e-12), nn.ReLU(), nn.Linear(4, 3))
    value = Snip(X, Y)(model).value
    with torch.no_grad():
        model[0].weight *= 8
        model[0].bias *= 8
    assert Snip(X, Y)(model).value == pytest.approx(value, rel=1e-4)


def test_several_inputs_and_no_dependence_and_no_number():
    bilinear = nn.Bilinear(3, 3, 2)
    assert Snip((X, X), Y % 2)(bilinear).value > 0
    assert Snip(X, Y, lambda out, y: torch.ones(()))(nn.Linear(3, 3)).value == 0
    assert Snip(X, Y, lambda out, y: out.sum() * math.nan)(nn.Linear(3, 3)).value == -math.inf


def test_bad_data_and_losses_are_named():
    for arguments, words in (
        ((None, Y), "snip got inputs None; give a batch"),
        ((X, None), "snip got no targets"),
        ((X, Y, "mse"), "snip got loss 'mse'; give a function"),
    ):
        with pytest.raises(SpaceError, match=words):
            Snip(*arguments)
    with pytest.raises(SpaceError, match="snip cannot be measured: Linear"):
        Snip(X, Y, lambda out, y: out)(nn.Linear(3, 3))


def test_two_batches_are_two_measures():
    one, other = Snip(X, Y), Snip(X.clone(), Y)
    assert one != other
    assert one == one  # noqa: PLR0124
    assert len({one, other}) == 2
    assert repr(one) == "Snip((6, 3), (6,), loss=cross_entropy, name='snip')"
