from functools import partial

import pytest
import torch
from torch import nn

from lanista.errors import OneShotError
from lanista.nn.mixture import Mixture, Relaxation, exact, mixture_of, one_of, strongest
from lanista.nn.repeat import Chain

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def options():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Identity(), nn.Linear(3, 3)]
    return nn.ModuleList(layers).double()


def opened(index, count=4):
    weights = torch.zeros(1, count, dtype=torch.float64)
    weights[0, index] = 1
    return weights.requires_grad_()


def gradients(mixture, layers, *others):
    x = X.clone().requires_grad_()
    loss = (mixture.mix(0, layers, x) - TARGET).square().sum()
    return torch.autograd.grad(loss, [mixture.weights, x, *others])


def test_a_mixture_is_the_weighted_sum_of_what_runs():
    layers, weights = options(), torch.rand(1, 4, dtype=torch.float64)
    every = [layer(X) for layer in layers]
    whole = sum(w * output for w, output in zip(weights[0], every, strict=True))
    assert torch.allclose(Mixture(weights).mix(0, layers, X), whole)
    some = weights[0, 1] * every[1] + weights[0, 3] * every[3]
    assert torch.allclose(Mixture(weights, ((1, 3),)).mix(0, layers, X), some)
    assert not Mixture(weights, ((),)).mix(0, layers, X).any()


def test_an_exact_option_is_itself():
    layers = options()
    assert exact([[0, 0, 1, 0]]).mix(0, layers, X) is X
    assert torch.equal(exact([[2.0, 0, 1, 0]]).mix(0, layers, X), 2 * layers[0](X) + X)


@pytest.mark.parametrize("watched", [(), (0,), (0, 3), (0, 2, 3)], ids=str)
def test_gates_have_the_gradients_of_the_whole_mixture(watched):
    layers = options()
    weights, weight = opened(1), layers[1][0].weight
    whole = gradients(Mixture(weights), layers, weight)
    gated = gradients(Mixture(weights, ((1,),), (watched,), exact=True), layers, weight)
    assert torch.allclose(gated[0][0, [1, *watched]], whole[0][0, [1, *watched]])
    assert not gated[0][0, [o for o in (0, 2, 3) if o not in watched]].any()
    assert torch.allclose(gated[1], whole[1])
    assert torch.allclose(gated[2], whole[2])


def test_gates_of_several_that_run():
    layers, weights = options(), torch.tensor([[1.0, 0, 1, 0]], dtype=torch.float64).requires_grad_()
    whole = gradients(Mixture(weights), layers)
    gated = gradients(Mixture(weights, ((0, 2),), ((1, 3),), exact=True), layers)
    for one, other in zip(gated, whole, strict=True):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("watched", [(0, 4), (1, 3), (0, 1, 3, 4)], ids=str)
def test_depths_are_watched_whether_they_are_less_or_more(watched):
    blocks, weights = options(), opened(2, 5)
    chain = Chain(blocks)
    depths = [partial(chain.after, depth) for depth in range(5)]
    gated = gradients(Mixture(weights, ((2,),), (watched,), exact=True), depths)
    whole = gradients(Mixture(weights), [partial(Chain(blocks).after, depth) for depth in range(5)])
    assert torch.allclose(gated[0][0, [2, *watched]], whole[0][0, [2, *watched]])
    assert torch.allclose(gated[1], whole[1])


def test_an_input_that_is_changed_in_place_is_found_out():
    layers, x = options(), X.clone()
    output = Mixture(opened(1), ((1,),), ((0,),), exact=True).mix(0, layers, x)
    x += 1
    with pytest.raises(OneShotError, match="changed in place"):
        output.sum().backward()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("watched", [None, ((1,),)], ids=["mixed", "watched"])
def test_an_option_that_changes_its_input_is_found_out(order, watched):
    layers = [(torch.relu_, nn.Identity())[index] for index in order]
    mixture = Mixture(torch.ones(1, 2, requires_grad=True), watched and ((0,),), watched, exact=bool(watched))
    with pytest.raises(OneShotError, match=r"changed in place.*F\.relu\(x\)"):
        mixture.mix(0, layers, X.clone()).sum().backward()
    alone = Mixture(torch.tensor([[1.0, 0.0]]), ((0,),), exact=True)  # nobody else sees its input
    assert torch.equal(alone.mix(0, layers, X.clone()), layers[0](X.clone()))


def test_inference_mode_counts_no_changes():
    with torch.inference_mode():
        x = X.clone()
        assert torch.equal(Mixture(torch.ones(1, 2)).mix(0, [nn.Identity(), nn.Identity()], x), 2 * x)


def test_what_cannot_be_summed_is_refused():
    mixture = Mixture(torch.ones(1, 2))
    with pytest.raises(OneShotError, match=r"different shapes: \(5, 3\), \(3, 5\)"):
        mixture.mix(0, [nn.Identity(), torch.t], X)
    with pytest.raises(OneShotError, match="gives a tuple; only tensors can be mixed"):
        mixture.mix(0, [nn.Identity(), lambda x: (x, x)], X)
    with pytest.raises(OneShotError, match="'a' has no mixture to run"):
        mixture_of(one_of("a", [1, 2]))


def test_picking_and_placing_are_inverse():
    relaxation: Relaxation = one_of("a", [3, 5, 7])
    for value in (3, 5, 7):
        assert relaxation.pick(relaxation.place({"a": value})) == {"a": value}
    assert relaxation.place({}) == [[0.0, 0.0, 0.0]]
    assert strongest([0.1, 0.5, 0.5, 0.2], 2) == [1, 2]
    assert strongest([0.5, 0.1, 0.5]) == [0]


def test_layers_are_run_through_a_portion_and_functions_are_not():
    asked = []

    def portion(mix, layers, x):
        asked.append(len(layers))
        return mix(layers, x) + 1

    mixture = Mixture(torch.ones(1, 2), portion=portion)
    x = torch.zeros(2, 2)
    assert (mixture.mix(0, [nn.Identity(), nn.ReLU()], x) == 1).all()
    assert (mixture.mix(0, [torch.relu, nn.ReLU()], x) == 0).all()
    assert asked == [2]
