import copy

import pytest
import torch

from lanista.errors import OneShotError
from lanista.oneshot import DARTS
from tests.oneshot.small import batch, differences, double, loss, supernet

TRAIN, VALID = 1, 2


def searching(order, **sgd):
    shared = supernet()
    groups = [{"params": [p]} for p in shared.parameters()]
    optimizer = torch.optim.SGD(groups, **sgd)
    method = DARTS(order=order)
    method.start(shared, steps=10)
    for seed in range(3):
        method.step(batch(seed), batch(seed), loss=loss, optimizer=optimizer)
    with torch.no_grad():
        for number, alpha in enumerate(method.alphas.values()):
            alpha.copy_(torch.randn(alpha.shape, generator=torch.Generator().manual_seed(number)))
    return method, optimizer


def after_a_step(method, optimizer):
    """The validation loss after a step of the weights, as it is defined: the step is made."""
    shared = method.network.supernet
    weights = list(shared.parameters())
    before = [weight.clone() for weight in weights]
    states = {weight: state["momentum_buffer"] for weight, state in optimizer.state.items() if state}
    with torch.enable_grad():
        gradients = torch.autograd.grad(loss(method.mixture("weights"), batch(TRAIN)), weights, allow_unused=True)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            gradient = dict(zip(map(id, weights), gradients, strict=True))[id(weight)]
            step = gradient + group["weight_decay"] * weight
            if weight in states and states[weight] is not None:
                step = step + group["momentum"] * states[weight]
            weight.sub_(group["lr"] * step)
    value = loss(method.mixture("architecture"), batch(VALID))
    for weight, old in zip(weights, before, strict=True):
        weight.copy_(old)
    return value


@pytest.mark.parametrize("settings", [{"lr": 0.3}, {"lr": 0.2, "momentum": 0.9, "weight_decay": 0.01}], ids=str)
def test_the_second_order_is_the_gradient_after_a_step(settings):
    with double():
        method, optimizer = searching(2, **settings)
        optimizer.param_groups[0]["lr"] *= 3  # each group steps with its own rate
        alphas = list(method.alphas.values())
        found = method.hypergradient(batch(VALID), loss, optimizer, batch(TRAIN))
        expected = differences(lambda: after_a_step(method, optimizer), alphas)
        first = torch.autograd.grad(loss(method.mixture("architecture"), batch(VALID)), alphas)
    scale = max(float(gradient.abs().max()) for gradient in expected)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-3 * scale
    errors = [float((one - other).abs().max()) for one, other in zip(first, expected, strict=True)]
    assert max(errors) > 0.05 * scale  # the first order is another one


def test_frozen_weights_stay_as_they_are():
    shared, free = supernet(), supernet()
    frozen = list(shared.parameters())[0::3]
    for weight in frozen:
        weight.requires_grad_(False)
    found = []
    for shared_, weights in (
        (shared, shared.parameters()),
        (free, [*free.parameters()][1::3] + [*free.parameters()][2::3]),
    ):
        method, optimizer = DARTS(order=2), torch.optim.SGD(weights, 0.3, weight_decay=0.1)
        method.start(shared_, steps=1)
        found.append(method.hypergradient(batch(VALID), loss, optimizer, batch(TRAIN)))
        method.step(batch(TRAIN), batch(VALID), loss=loss, optimizer=optimizer)
    assert all(torch.equal(one, other) for one, other in zip(shared.parameters(), free.parameters(), strict=True))
    assert all(torch.allclose(one, other) for one, other in zip(*found, strict=True))


def test_the_first_order_is_the_gradient_at_the_weights():
    with double():
        method, optimizer = searching(1, lr=0.1)
        before = {name: alpha.detach().clone() for name, alpha in method.alphas.items()}
        alphas = list(method.alphas.values())
        expected = differences(lambda: loss(method.mixture("architecture"), batch(VALID)), alphas)
        own = [alpha.detach().clone().requires_grad_() for alpha in alphas]
        adam = torch.optim.Adam(own, 3e-4, (0.5, 0.999), weight_decay=1e-3)
        adam.load_state_dict(copy.deepcopy(method.optimizer.state_dict()))
        for alpha, gradient in zip(own, expected, strict=True):
            alpha.grad = gradient
        adam.step()
        method.learn(batch(VALID), loss, optimizer, batch(TRAIN))
    for (name, alpha), other in zip(method.alphas.items(), own, strict=True):
        assert not torch.equal(alpha, before[name])
        assert torch.allclose(alpha, other, rtol=0, atol=1e-8)


def test_what_is_chosen_together_counts_together():
    method = DARTS()
    method.start(supernet(), steps=1)
    method.mixture("weights")
    sums = {name: relaxation.mixture.weights.sum(1) for name, relaxation in method.network.relaxations.items()}
    assert all(torch.allclose(sums[name], torch.tensor(2.0 if name == "two" else 1.0)) for name in sums)


@pytest.mark.parametrize("order", [0, 3, "2"])
def test_another_order_is_refused(order):
    with pytest.raises(OneShotError, match=r"order is .*; it must be 1 or 2"):
        DARTS(order=order)
