import math

import pytest
import torch

from lanista.errors import OneShotError
from lanista.oneshot import FBNet
from tests.oneshot.small import supernet


def started(**settings):
    method = FBNet(**settings)
    method.start(supernet(), steps=90)
    return method


def test_the_temperature_falls_as_in_the_paper():
    method = started()
    for method.count in (0, 1, 45, 90):  # one step for each of its epochs
        assert method.tau == pytest.approx(5 * math.exp(-0.045 * method.count), rel=0.01)
    with pytest.raises(OneShotError, match="temperatures"):
        FBNet(temperatures=(-5.0, 0.1))


def sharpest(method, count):
    """The mean of the greatest weight, at a step."""
    relaxation = method.network.relaxations["op"]
    method.count, found = count, []
    for number in range(300):
        found.append(method.rule(method.alphas["op"], relaxation, torch.Generator().manual_seed(number)).weights.max())
    return float(torch.stack(found).detach().mean())


def test_samples_are_even_at_first_and_nearly_one_option_in_the_end():
    method = started()
    assert sharpest(method, 0) < 0.5
    assert sharpest(method, 90) > 0.9


def test_all_options_run_and_each_is_the_greatest_as_often_as_it_is_probable():
    method = started()
    with torch.no_grad():
        method.alphas["op"].copy_(torch.tensor([[0.1, 0.3, 0.6]]).log())
    counts, relaxation = torch.zeros(3), method.network.relaxations["op"]
    for number in range(3000):
        mixture = method.rule(method.alphas["op"], relaxation, torch.Generator().manual_seed(number))
        assert mixture.runs is None
        counts[mixture.weights[0].argmax()] += 1
    assert (counts / 3000 - torch.tensor([0.1, 0.3, 0.6])).abs().max() < 0.04
