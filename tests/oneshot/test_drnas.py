import pytest
import torch

from lanista.oneshot import DrNAS
from tests.oneshot.small import supernet


def started():
    method = DrNAS()
    method.start(supernet(), steps=10)
    return method, method.network.relaxations["op"], method.alphas["op"]


def test_samples_have_the_mean_that_is_the_strength_and_spread_less_the_greater_the_concentration():
    method, relaxation, alpha = started()
    spread = []
    for shift in (0.0, 20.0):
        with torch.no_grad():
            alpha.copy_(torch.tensor([[-0.5, 0.5, 1.5]]) + shift)
        found = [method.rule(alpha, relaxation, torch.Generator().manual_seed(n)).weights.detach() for n in range(2000)]
        samples = torch.cat(found)
        assert (samples.mean(0) - method.probabilities(alpha, relaxation)[0]).abs().max() < 0.02
        spread.append(float(samples.std(0).mean()))
    assert spread[1] < spread[0] / 3


def test_the_gradient_moves_the_mean():
    method, relaxation, alpha = started()
    gradients = []
    for number in range(2000):
        weights = method.rule(alpha, relaxation, torch.Generator().manual_seed(number)).weights
        gradients.append(torch.autograd.grad(weights[0, 1], alpha)[0])
    (expected,) = torch.autograd.grad(method.probabilities(alpha, relaxation)[0, 1], alpha)
    assert torch.allclose(torch.stack(gradients).mean(0), expected, atol=0.02)


@pytest.mark.parametrize("value", [-200.0, -10.0, 200.0])
def test_extreme_parameters_give_numbers(value):
    method, relaxation, alpha = started()
    with torch.no_grad():
        alpha.copy_(torch.tensor([[value, 0.0, value]]))
    for number in range(50):
        weights = method.rule(alpha, relaxation, torch.Generator().manual_seed(number)).weights
        (gradient,) = torch.autograd.grad(weights[0, 0], alpha)
        assert weights.isfinite().all()
        assert gradient.isfinite().all()
    assert method.probabilities(alpha, relaxation).isfinite().all()


def test_the_regulariser_pulls_towards_the_even_distribution():
    method, _, alpha = started()
    with torch.no_grad():
        alpha.copy_(torch.tensor([[-0.5, 0.5, 1.5]]))
    before = method.probabilities(alpha, method.network.relaxations["op"]).std()
    for _ in range(200):
        method.follow((None,) * len(method.alphas))
    after = method.probabilities(alpha, method.network.relaxations["op"]).std()
    assert after < before
