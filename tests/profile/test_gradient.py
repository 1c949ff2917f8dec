import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lanista.errors import SpaceError
from lanista.profile import GradNorm

X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 2, 1, 0])


def test_it_is_the_sum_of_the_norms_of_the_weights_gradients():
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    value = GradNorm(X, Y)(model).value
    cross_entropy(model.train()(X), Y).backward()
    assert value == pytest.approx(sum(model[i].weight.grad.norm().item() for i in (0, 3)))


def test_it_scales_with_the_loss_and_not_with_copies_of_the_batch():
    model = nn.Linear(3, 3)
    value = GradNorm(X, Y)(model).value
    assert GradNorm(X, Y, lambda out, y: 5 * cross_entropy(out, y))(model).value == pytest.approx(5 * value)
    assert GradNorm(torch.cat([X, X]), torch.cat([Y, Y]))(model).value == pytest.approx(value)


def test_frozen_weights_count_too():
    model = nn.Linear(3, 3)
    assert GradNorm(X, Y)(model) == GradNorm(X, Y)(model.requires_grad_(False))


def test_bad_data_is_named():
    with pytest.raises(SpaceError, match="grad_norm got no targets"):
        GradNorm(X, None)
    assert repr(GradNorm(X, Y, name="g")) == "GradNorm((6, 3), (6,), loss=cross_entropy, name='g')"
