from random import Random

import pytest
import torch

from lanista.strategy.policy import Policy
from lanista.testing.strategies import SPACES


def policy(name, **settings):
    return Policy(SPACES[name], **{"bins": 5, "hidden": 8, "seed": 0, **settings})


def moved(network):
    """The same with weights that weigh the options, as after learning."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network


def batched(network, walk):
    answers, allowed, _ = walk
    return network(torch.tensor([answers]), torch.tensor([allowed]))


@pytest.mark.parametrize("name", ["flat", "nested", "mixed", "limited"])
@pytest.mark.parametrize("settings", [{}, {"temperature": 5.0, "bound": 1.5}])
def test_single_steps_and_the_network_agree(name, settings):
    network, random = moved(policy(name, **settings)), Random(0)
    for _ in range(5):
        architecture, walk = network.draw(random)
        assert not SPACES[name].violations(architecture)
        assert batched(network, walk)[0][0].tolist() == pytest.approx(walk[2], abs=1e-4)
        assert network.walk(architecture, random)[1] == walk


def lowest_entropy(network):
    """Of any choice in some draws, with weights of the state that are as far apart as can be."""
    with torch.no_grad():
        network.head.mul_(1000)
        network.bias.zero_()
    walks = [network.draw(Random(seed))[1] for seed in range(20)]
    return min(batched(network, walk)[1].min().item() for walk in walks)


def test_the_state_moves_logits_within_the_bound():
    bounded = moved(policy("flat", bound=0.5))
    least = 2.0
    for high in range(1, bounded.options):  # no option is more than e times as likely as another
        chances = torch.tensor([0.5] * high + [-0.5] * (bounded.options - high)).softmax(0)
        least = min(least, -(chances.log() * chances).sum().item())
    assert least - 1e-4 < lowest_entropy(bounded) < least + 0.05
    assert lowest_entropy(moved(policy("flat"))) < 0.01


def test_a_high_temperature_makes_choices_even():
    cold, hot = (moved(policy("flat", temperature=value)) for value in (1.0, 100.0))
    for network in (cold, hot):
        with torch.no_grad():
            network.bias.zero_()
    walk = cold.draw(Random(0))[1]
    assert batched(hot, walk)[1].min() > 0.99 * torch.tensor(float(hot.options)).log()
    assert batched(cold, walk)[1].min() < batched(hot, walk)[1].min()


def test_the_users_default_device_is_not_used():
    with torch.device("meta"):
        network = policy("mixed")
        architecture, walk = network.draw(Random(0))
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    assert policy("mixed").draw(Random(0)) == (architecture, walk)


@pytest.mark.parametrize("name", ["flat", "nested", "limited"])
def test_the_likeliest_architecture_is_likelier_than_samples(name):
    network, random = moved(policy(name)), Random(0)
    architecture, (_, _, logs) = network.draw(random, likeliest=True)
    assert not SPACES[name].violations(architecture)
    assert network.draw(Random(1), likeliest=True)[0] == architecture
    others = sorted(sum(network.draw(random)[1][2]) for _ in range(50))
    assert sum(logs) > others[25]
