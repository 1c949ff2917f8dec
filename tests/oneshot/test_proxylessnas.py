from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from lanista import ModelSpace
from lanista.errors import OneShotError
from lanista.nn import LayerChoice
from lanista.nn.mixture import Mixture
from lanista.oneshot import DARTS, ProxylessNAS
from tests.oneshot.small import batch, loss, supernet


def started(space=None, make=ProxylessNAS):
    method = make()
    method.start(supernet(space), steps=10)
    return method


def test_two_are_compared_and_one_runs():
    method = started()
    for method.count in range(30):
        method.mixture("architecture")
        for name, relaxation in method.network.relaxations.items():
            mixture = relaxation.mixture
            for row in range(relaxation.rows):
                runs, watched = mixture.runs[row], mixture.watched[row]
                assert len(runs) == relaxation.drawn, name
                assert len(watched) == 1, name
                assert not set(runs) & set(watched)
                assert [mixture.weights[row, option] for option in runs] == [1.0] * len(runs)
                assert mixture.weights[row].sum() == relaxation.drawn
        method.mixture("weights")
        mixture = method.network.relaxations["op"].mixture
        assert mixture.watched is None
        assert mixture.exact


def gradients(model, gates):
    return torch.autograd.grad(loss(model, batch(1)), gates, allow_unused=True, materialize_grads=True)


def test_gates_have_the_gradient_that_all_options_would_give():
    """What is only watched, in layers, inputs, depths and cells, has the gradient as if it ran with weight 0."""
    method = started()
    names = list(method.alphas)
    for method.count in range(8):
        model = method.mixture("architecture")
        mixtures = {name: method.network.relaxations[name].mixture for name in names}
        gates = [mixtures[name].weights.detach().clone().requires_grad_() for name in names]
        alike = {
            name: Mixture(gate, mixtures[name].runs, mixtures[name].watched, exact=True)
            for name, gate in zip(names, gates, strict=True)
        }
        found = gradients(method.network.mix(alike), gates)
        whole = {name: Mixture(gate) for name, gate in zip(names, gates, strict=True)}
        expected = gradients(method.network.mix(whole), gates)
        for name, one, other in zip(names, found, expected, strict=True):
            for row, (runs, watched) in enumerate(zip(mixtures[name].runs, mixtures[name].watched, strict=True)):
                compared = [*runs, *watched]
                assert torch.allclose(one[row, compared], other[row, compared], atol=1e-6), (name, row)
        assert model is method.network.model


def test_what_is_watched_runs_with_the_precision_of_the_others():
    method = started()
    names = list(method.alphas)

    def low(model):
        with torch.autocast("cpu", torch.bfloat16):
            return loss(model, batch(1))

    for method.count in range(4):
        method.mixture("architecture")
        mixtures = {name: method.network.relaxations[name].mixture for name in names}
        found = {}
        for kind, value in (("low", low), ("high", lambda model: loss(model, batch(1)))):
            gates = {name: mixtures[name].weights.detach().clone().requires_grad_() for name in names}
            alike = {n: Mixture(gate, mixtures[n].runs, mixtures[n].watched, exact=True) for n, gate in gates.items()}
            total = value(method.network.mix(alike))
            found[kind] = torch.autograd.grad(total, list(gates.values()), allow_unused=True, materialize_grads=True)
        assert not torch.is_autocast_enabled("cpu")
        scale = max(float(one.abs().max()) for one in found["high"])
        for one, other in zip(*found.values(), strict=True):
            assert torch.allclose(one, other, atol=0.05 * scale)


def test_the_gradient_of_alpha_is_that_of_a_softmax_of_two():
    method = started()
    alpha, relaxation = method.alphas["op"], method.network.relaxations["op"]
    with torch.no_grad():
        alpha.copy_(torch.tensor([[0.3, -0.2, 0.9]]))
    mixture = method.rule(alpha, relaxation, method.generator("x"))
    compared = [*mixture.runs[0], *mixture.watched[0]]
    (left,) = {0, 1, 2} - set(compared)
    g = torch.tensor([0.5, -1.0, 2.0])
    (found,) = torch.autograd.grad((mixture.weights[0] * g).sum(), alpha)
    p = alpha.detach()[0, compared].softmax(0)
    expected = p * (g[compared] - (p * g[compared]).sum())  # sum over j of g_j p_j (delta_ij - p_i)
    assert torch.allclose(found[0, compared], expected)
    assert found[0, left] == 0


@pytest.mark.parametrize(("warmup", "still"), [(0, 0), (0.25, 3), (1, 10)])
def test_the_architecture_stands_still_at_first(warmup, still):
    method = started(make=partial(ProxylessNAS, warmup=warmup))
    optimizer = torch.optim.SGD(method.network.supernet.parameters(), 0.1)
    first, moved = method.strengths(), []
    for number in range(10):
        method.step(batch(number), batch(number + 100), loss=loss, optimizer=optimizer)
        moved.append(method.strengths() != first)
    assert moved == [False] * still + [True] * (10 - still)


@pytest.mark.parametrize("warmup", [-0.1, 1.5, "a"])
def test_a_warmup_is_a_share(warmup):
    with pytest.raises(OneShotError, match=r"warmup is .*; give a share of the search, from 0 to 1"):
        ProxylessNAS(warmup=warmup)


def test_a_step_leaves_the_probabilities_of_the_others():
    method = started(make=partial(ProxylessNAS, warmup=0))
    method.learning_rate = 0.1
    method.prepare()
    optimizer = torch.optim.SGD(method.network.supernet.parameters(), 0.1)
    for number in range(10):
        before = {name: alpha.detach().softmax(1) for name, alpha in method.alphas.items()}
        method.step(batch(number), batch(number + 100), loss=loss, optimizer=optimizer)
        method.count -= 1
        method.mixture("architecture")  # what was drawn in this step
        for name, alpha in method.alphas.items():
            after, mixture = alpha.detach().softmax(1), method.network.relaxations[name].mixture
            for row, (runs, watched) in enumerate(zip(mixture.runs, mixture.watched, strict=True)):
                others = [o for o in range(alpha.shape[1]) if o not in (*runs, *watched)]
                assert torch.allclose(after[row, others], before[name][row, others], atol=1e-6)
        assert not torch.allclose(method.alphas["op"].softmax(1), before["op"])
        method.count += 1


def wide(count):
    def build():
        layers = {f"layer{n}": lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)) for n in range(count)}
        return nn.Sequential(LayerChoice(layers, label="a"), LayerChoice(layers, label="b"), nn.Linear(4, 1))

    return ModelSpace(build, example_input=torch.zeros(2, 4))


def kept(method, count):
    """How many numbers are kept for the backward pass of the architecture's step, from a batch of 50."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel() if tensor.shape[:1] == (50,) else 0)
        return tensor

    model = method.mixture("architecture")
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.randn(50, 4))
    return sum(sizes)


def test_what_is_kept_does_not_grow_with_the_options():
    few, many = (kept(started(wide(count)), count) for count in (2, 8))
    assert few == many
    assert kept(started(wide(8), DARTS), 8) > 5 * many
