import pytest
import torch

from lanista.errors import OneShotError
from lanista.oneshot import GDAS
from tests.oneshot.small import batch, loss, supernet


def started(**settings):
    method = GDAS(**settings)
    method.start(supernet(), steps=10)
    return method


def test_the_temperature_falls_linearly():
    method = started()
    found = []
    for method.count in (0, 5, 10):
        found.append(method.tau)
    assert found == pytest.approx([10.0, 5.05, 0.1])
    with pytest.raises(OneShotError, match="temperatures"):
        GDAS(temperatures=(10.0, 0.0))


def test_only_what_is_drawn_runs():
    method = started()
    counts = {}
    layers = {name: module for name, module in method.network.model.named_modules() if name.startswith("op.options.")}
    for name in ("op.options.0", "op.options.1", "op.options.2"):
        layers[name].register_forward_hook(lambda *_, name=name: counts.update({name: counts.get(name, 0) + 1}))
    for method.count in range(20):
        counts.clear()
        loss(method.mixture("architecture"), batch(0)).backward()
        assert sum(counts.values()) == 1
        (chosen,) = method.network.relaxations["op"].mixture.runs[0]
        assert counts == {f"op.options.{chosen}": 1}
        assert len(method.network.relaxations["two"].mixture.runs[0]) == 2


def test_the_gradient_is_that_of_the_soft_sample_of_what_was_drawn():
    method = started(temperatures=(2.0, 2.0))
    alpha = method.alphas["op"]
    mixture = method.rule(alpha, method.network.relaxations["op"], method.generator("x"))
    chosen = mixture.runs[0][0]
    (found,) = torch.autograd.grad(mixture.weights[0, chosen], alpha)
    # with logits l / tau the softmax has d h_c / d l_j = h_c (delta_cj - h_j) / tau
    other = method.rule(alpha, method.network.relaxations["op"], method.generator("x"))
    (row,) = torch.autograd.grad(other.weights[0, (chosen + 1) % 3], alpha)
    assert found[0, chosen] > 0
    assert found.sum().abs() < 1e-6  # moving all alphas alike changes nothing
    assert torch.isclose(found[0, (chosen + 1) % 3], row[0, chosen])  # the Jacobian is symmetric


def test_options_are_drawn_by_their_probabilities():
    method = started()
    with torch.no_grad():
        method.alphas["op"].copy_(torch.tensor([[0.1, 0.3, 0.6]]).log())
    counts = torch.zeros(3)
    for method.count in range(3000):
        mixture = method.rule(method.alphas["op"], method.network.relaxations["op"], method.generator("x"))
        counts[mixture.runs[0][0]] += 1
    assert (counts / 3000 - torch.tensor([0.1, 0.3, 0.6])).abs().max() < 0.04
