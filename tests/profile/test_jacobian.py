import math

import numpy as np
import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile import Jacov

X = torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3))


def test_it_is_the_formula_of_the_jacobians_of_each_input():
    model = net()
    jacobians = [torch.func.jacrev(lambda x: model(x[None]).sum())(x).flatten() for x in X]
    v = np.linalg.eigvalsh(np.corrcoef(torch.stack(jacobians).detach().numpy().astype(float)))
    assert Jacov(X)(model).value == pytest.approx(-np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5)), rel=1e-3)


def test_uncorrelated_jacobians_give_the_most_and_equal_ones_next_to_the_least():
    class Given(nn.Module):
        def forward(self, x, slopes):
            return (x * slopes).sum(1)

    x = torch.zeros(4, 4)
    signs = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    most = -3 * (math.log(1 + 1e-5) + 1 / (1 + 1e-5))
    assert Jacov((x[:3], signs.int()))(Given()).value == pytest.approx(most)
    k = 1e-5
    one = -(math.log(3 + k) + 1 / (3 + k)) - 2 * (math.log(k) + 1 / k)
    assert Jacov((x[:3], signs[:1].int().expand(3, 4)))(Given()).value == pytest.approx(one, rel=1e-6)
    assert Jacov((x[:3], torch.ones(3, 4).int()))(Given()).value == -math.inf, "constant: no correlation"


def test_a_linear_network_tells_no_inputs_apart():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    assert Jacov(X)(linear).value < Jacov(X)(net()).value


def test_the_scale_of_outputs_does_not_matter():
    model = net()
    value = Jacov(X)(model).value
    with torch.no_grad():
        model[-1].weight *= 64
    assert Jacov(X)(model).value == pytest.approx(value, rel=1e-4)


def test_where_the_outputs_do_not_depend_on_the_input_it_is_minus_infinity():
    class Zero(nn.Module):
        def forward(self, x):
            return x * 0

    assert Jacov(X)(Zero()).value == -math.inf


@pytest.mark.parametrize("inputs", [torch.tensor([[1, 2], [3, 4]]), X[:1], torch.tensor(1.0), (X, X[:2])])
def test_it_needs_a_batch_with_gradients(inputs):
    with pytest.raises(SpaceError, match="give at least 2, along the first dimension"):
        Jacov(inputs)


def test_it_has_its_settings_in_its_words():
    assert repr(Jacov(X)) == "Jacov((5, 1, 6, 6), name='jacov')"
