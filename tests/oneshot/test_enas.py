import math
from collections import Counter
from random import Random

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import OneShotError
from lanista.nn import LayerChoice
from lanista.oneshot import ENAS
from tests.oneshot.paths import SPACES, batch, squared, started, trained

PLANTED = {"x": "b", "y": "c", "z": "a"}


class Number(nn.Module):
    """Adds a number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x + self.number


def planted():
    """What a model gives says how many of its layers are right."""
    return nn.Sequential(
        *(
            LayerChoice({name: (lambda right=name == best: Number(float(right))) for name in "abcd"}, label=label)
            for label, best in PLANTED.items()
        ),
        nn.Linear(1, 1),
    )


SPACE = ModelSpace(planted, example_input=torch.zeros(1, 1))


def rightness(model, batch):
    return model[:3](torch.zeros(1, 1))


def loss(model, batch):
    return model(torch.zeros(1, 1)).square().sum()


def probabilities(method):
    """Of all architectures."""
    space = SPACE.decisions
    return {space.key(a): math.exp(sum(method.policy.walk(a, Random(0))[1][2])) for a in space.grid()}


def expected(method):
    """The expected number of layers that are right."""
    right = {
        SPACE.decisions.key(a): sum(a[label] == best for label, best in PLANTED.items()) for a in SPACE.decisions.grid()
    }
    found = probabilities(method)
    assert sum(found.values()) == pytest.approx(1, abs=1e-4)
    return sum(chance * right[name] for name, chance in found.items())


@pytest.mark.parametrize("seed", range(10))
def test_the_policy_improves_its_expected_reward_and_finds_what_was_planted(seed):
    method, optimizer = started(
        ENAS(reward=rightness, learning_rate=0.02, baseline_decay=0.9, samples=4), SPACE, 120, seed
    )
    assert expected(method) == pytest.approx(0.75)
    rewards = []
    for _ in range(3):
        for _ in range(40):
            method.step(0, 0, loss=loss, optimizer=optimizer)
        rewards.append(expected(method))
    assert 0.9 < rewards[0] < rewards[1] < rewards[2]
    assert rewards[2] > 2
    assert method.best() == [PLANTED]
    strengths = method.strengths()
    assert all(max(range(4), key=row.__getitem__) == "abcd".index(PLANTED[label]) for label, [row] in strengths.items())


def test_the_reward_is_minus_the_loss_unless_it_is_given():
    space = SPACES["layers"]()
    method, optimizer = started(ENAS(samples=1), space)
    data = batch(space)
    random = method.random("policy")
    architecture, _ = method.policy.draw(random)
    with torch.no_grad():
        value = squared(method.network.sub(architecture), data).item()
    method.learn(data, squared, optimizer, None)
    assert method.baseline == pytest.approx(-value)


def test_the_baseline_is_a_moving_average_that_begins_with_the_first_reward():
    rewards = iter([1.0, 3.0, 5.0, 7.0])
    method, optimizer = started(ENAS(reward=lambda model, batch: next(rewards), baseline_decay=0.5), SPACE)
    method.learn(0, loss, optimizer, 0)
    assert method.baseline == (1 + 3) / 2
    method.learn(0, loss, optimizer, 0)
    assert method.baseline == ((2 + 5) / 2 + 7) / 2


def test_entropy_keeps_the_policy_undecided():
    spread = {}
    for weight in (0.0, 2.0):
        settings = {"learning_rate": 0.02, "baseline_decay": 0.9, "samples": 4, "entropy_weight": weight}
        method, optimizer = started(ENAS(reward=rightness, **settings), SPACE, 80)
        for _ in range(80):
            method.learn(0, loss, optimizer, 0)
            method.advance()
        spread[weight] = -sum(p * math.log(p) for p in probabilities(method).values())
    assert spread[2.0] > spread[0.0] + 1
    assert spread[2.0] > 0.95 * math.log(64)


def test_rewards_are_computed_without_gradients_and_one_path_is_trained():
    space = SPACES["layers"]()

    def reward(model, batch):
        assert not torch.is_grad_enabled()
        assert model.training
        return 1.0

    method, optimizer = started(ENAS(reward=reward), space)
    data = batch(space)
    method.step(data, data, loss=squared, optimizer=optimizer)
    assert sum(weight.grad is None for weight in method.network.supernet.parameters()) == 2 * (2 + 2 + 1)
    assert len(trained(method)) == 1


def test_the_weights_are_trained_on_what_the_policy_draws():
    method, _ = started(ENAS(), SPACES["layers"](), 200)
    with torch.no_grad():
        method.policy.bias[0, 1] += 3.0  # option "b" of "x"
    drawn = Counter(trained(method)[0]["x"] for _ in range(100))
    assert drawn["b"] > 80


def test_limits_are_kept_and_the_probabilities_are_of_what_is_evaluated():
    space = SPACES["limited"]()
    met = []

    def reward(model, batch):
        met.append(model)
        return 0.0

    method, optimizer = started(ENAS(reward=reward, samples=3), space)
    data = batch(space)
    for _ in range(10):
        assert not any(map(space.decisions.violations, trained(method)))
        method.learn(data, squared, optimizer, data)
    assert len(met) == 30
    best = method.best(6)
    assert len(best) == 6
    assert not any(map(space.decisions.violations, best))
    rows = method.strengths()
    assert rows.keys() == {"x", "y", "z"}
    assert all(sum(row) == pytest.approx(1) for [row] in rows.values())


def test_where_nothing_can_be_mixed_there_are_no_strengths_but_a_best():
    space = SPACES["stride"]()
    method, optimizer = started(ENAS(learning_rate=0.1, samples=4, reward=lambda m, b: float(m[0].stride[0])), space)
    data = batch(space)
    for _ in range(20):
        method.step(data, data, loss=squared, optimizer=optimizer)
    assert method.strengths() is None
    assert method.best() == [{"stride": 2}]
    assert {tuple(a.items()) for a in method.best(5)} == {(("stride", 1),), (("stride", 2),)}


def test_a_search_goes_on_as_it_would_have():
    def search(steps, method=None):
        method = method or started(ENAS(learning_rate=0.05), SPACES["layers"]())[0]
        optimizer = torch.optim.SGD(method.network.supernet.parameters(), 0.0)
        for _ in range(steps):
            data = batch(SPACES["layers"](), method.count)
            method.step(data, data, loss=squared, optimizer=optimizer)
        return method

    whole, half = search(6), search(3)
    other, _ = started(ENAS(learning_rate=0.05), SPACES["layers"]())
    other.load_state_dict(half.state_dict())
    search(3, other)
    assert other.baseline == whole.baseline
    assert other.strengths() == whole.strengths()
    assert all(torch.equal(a, b) for a, b in zip(other.policy.parameters(), whole.policy.parameters(), strict=True))


def test_a_reward_that_is_no_number_is_named():
    method, optimizer = started(ENAS(reward=lambda model, batch: math.nan), SPACE)
    with pytest.raises(OneShotError, match=r"the reward of \{'x': .*\} is nan; it must be a finite number"):
        method.step(0, 0, loss=loss, optimizer=optimizer)


def test_a_space_without_decisions_is_refused():
    with pytest.raises(OneShotError, match="the space has no decision, so that ENAS has nothing to learn"):
        started(ENAS(), ModelSpace(nn.Linear, 1, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples is 0; give an integer above 0"),
        ({"hidden": 1.5}, "hidden is 1.5; give an integer above 0"),
        ({"temperature": 0}, "temperature is 0; give a number above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan; give a number above 0"),
        ({"tanh_constant": -1}, "tanh_constant is -1; give a number above 0"),
        ({"entropy_weight": -1}, "entropy_weight is -1, which must be at least 0"),
        ({"baseline_decay": 1.0}, "baseline_decay is 1.0, which must be at least 0 and below 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(OneShotError, match=message):
        ENAS(**settings)


def test_settings_are_shown_without_addresses():
    assert repr(ENAS(reward=rightness, samples=3)) == (
        "ENAS(reward=rightness, samples=3, learning_rate=0.00035, entropy_weight=0.0001, baseline_decay=0.999, "
        "hidden=64, tanh_constant=1.5, temperature=1.0, bins=10)"
    )
