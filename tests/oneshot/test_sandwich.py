from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from lanista import ModelSpace, choice
from lanista.errors import OneShotError
from lanista.evaluator import recalibrate
from lanista.nn import Repeat
from lanista.oneshot import Sandwich
from lanista.oneshot.distillation import soft
from tests.oneshot.paths import SPACES, batch, squared, started, supernet, trained

STEPS = 300


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


def network():
    width = choice([8, 16], label="width")
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        Repeat(lambda: Block(width), (1, 3), label="depth"),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


def cross_entropy(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


class Digits:
    """Scikit-learn's digits: batches of 1,100 of them, and the accuracy on the others, in per cent."""

    def __init__(self):
        data = load_digits()
        order = torch.randperm(len(data.images), generator=torch.Generator().manual_seed(0))
        images, classes = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16, torch.tensor(data.target)
        self.train, self.test = ((images[part], classes[part]) for part in (order[:1100], order[1100:]))

    def batches(self, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(STEPS):
            chosen = torch.randint(1100, (64,), generator=generator)
            yield self.train[0][chosen], self.train[1][chosen]

    def accuracy(self, model):
        recalibrate(model, [self.train[0]])
        with torch.no_grad():
            return 100 * (model.eval()(self.test[0]).argmax(1) == self.test[1]).float().mean().item()


def recipe(weights):
    optimizer = torch.optim.SGD(weights, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)


SPACE = ModelSpace(network, example_input=torch.zeros(2, 1, 8, 8))


@cache
def digits():
    return Digits()


@cache
def alone(**architecture):
    """The accuracy of a network that is trained by itself, in as many steps."""
    torch.manual_seed(0)
    model = SPACE.build(architecture)
    optimizer, scheduler = recipe(model.parameters())
    for data in digits().batches(0):
        optimizer.zero_grad()
        cross_entropy(model, data).backward()
        optimizer.step()
        scheduler.step()
    return digits().accuracy(model)


@pytest.mark.parametrize("distillation", ["soft", None])
def test_the_extremes_are_as_good_as_networks_trained_alone(distillation):
    method, shared = Sandwich(n=1, distillation=distillation), supernet(SPACE)
    method.start(shared, steps=STEPS)
    optimizer, scheduler = recipe(shared.parameters())
    for data in digits().batches(0):
        method.step(data, loss=cross_entropy, optimizer=optimizer, clip=5.0)
        scheduler.step()
    assert (method.largest, method.smallest) == ({"width": 16, "depth": 3}, {"width": 8, "depth": 1})
    for architecture in (method.largest, method.smallest):
        expected = alone(**architecture)
        assert expected > 95
        assert digits().accuracy(shared.inherit(architecture)) > expected - 2


def test_a_step_trains_the_extremes_and_random_networks():
    method, _ = started(Sandwich(n=3, distillation=None), SPACES["nested"]())
    steps = [trained(method) for _ in range(20)]
    assert {len(step) for step in steps} == {5}
    for step in steps:
        assert step[0] == method.largest
        assert step[1] == method.smallest
    assert {str(path) for step in steps for path in step[2:]} == {
        str(path) for path in ({"x": "a"}, *({"x": "b", "inner": name} for name in "cde"))
    }


def logits(model, data):
    return nn.functional.cross_entropy(model(data[0]), torch.tensor([0, 1, 2, 0]))


def test_all_but_the_largest_learn_what_the_largest_says():
    space = SPACES["AutoFormer"]()
    method, _ = started(Sandwich(n=1, distillation="soft"), space)
    data, shared = batch(space), method.network.supernet
    values = list(method.passes(data, logits))
    taught = shared.path(method.largest)(data[0]).detach()
    drawn = space.decisions.sample(method.random())
    assert torch.allclose(values[0], logits(shared.path(method.largest), data))
    for value, architecture in zip(values[1:], (method.smallest, drawn), strict=True):
        assert torch.allclose(value, soft(shared.path(architecture)(data[0]), taught), atol=1e-6)


def test_numbers_are_learnt_from_the_loss():
    """Of one output the probability is 1, whatever it is."""

    def number():
        return nn.Sequential(Repeat(lambda: nn.Linear(4, 4), (0, 1), label="depth"), nn.Linear(4, 1))

    torch.manual_seed(0)
    method, shared = Sandwich(), supernet(ModelSpace(number, example_input=torch.zeros(2, 4)))
    method.start(shared, steps=100)
    optimizer = torch.optim.SGD(shared.parameters(), 0.05)
    x = torch.randn(64, 4)
    data = x, x.sum(1, keepdim=True)
    for _ in range(100):
        method.step(
            data, loss=lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1]), optimizer=optimizer
        )
    for architecture in (method.largest, method.smallest):
        assert nn.functional.mse_loss(shared.path(architecture)(x), data[1]) < 0.1


@pytest.mark.parametrize("name", ["MobileNetV3", "AutoFormer"])
def test_elastic_spaces_of_the_hub_learn(name):
    space = SPACES[name]()
    method, _ = started(Sandwich(), space, 12)
    optimizer = torch.optim.Adam(method.network.supernet.parameters(), 0.02)
    losses = [method.step(batch(space), loss=logits, optimizer=optimizer) for _ in range(12)]
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_limits_hold_for_all_of_them():
    space = SPACES["limited"]()
    method, optimizer = started(Sandwich(n=4, distillation=None), space)
    for _ in range(10):
        assert not any(map(space.decisions.violations, trained(method)))
    method.step(batch(space), loss=squared, optimizer=optimizer)
    assert method.strengths() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": -1}, "n is -1; give an integer of at least 0"),
        ({"n": 1.5}, "n is 1.5; give an integer of at least 0"),
        ({"distillation": "x"}, "distillation is 'x'; give 'auto', 'soft'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(OneShotError, match=message):
        Sandwich(**settings)
