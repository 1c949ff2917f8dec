import math

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import OneShotError
from lanista.nn import Cell, InputChoice, LayerChoice, Repeat
from lanista.oneshot import DARTS, PCDARTS, DrNAS, FBNet, Penalty, ProxylessNAS
from lanista.oneshot.network import Network
from lanista.profile import LatencyTable, flops, measure, parameters
from lanista.space import choice
from tests.oneshot.small import loss, supernet


def inner():
    return LayerChoice({"wide": lambda: mlp(16), "narrow": lambda: mlp(2)}, label="inner")


def mlp(width):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 4))


def block(index):
    return LayerChoice([nn.Identity, lambda: nn.Linear(4, 4)], label=f"block{index}")


class Nested(nn.Module):
    """A choice in a choice, a choice in each repetition, inputs that cost nothing, and a width."""

    def __init__(self):
        super().__init__()
        self.outer = LayerChoice({"skip": nn.Identity, "one": lambda: nn.Linear(4, 4), "inner": inner}, label="outer")
        self.body = Repeat(block, (0, 2), label="depth")
        self.join = InputChoice(2, 1, label="join")
        width = choice([2, 6], label="width")
        self.head = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, x):
        y = self.outer(x)
        return self.head(self.join([y, self.body(y)]))[:, 0]


def nested():
    return ModelSpace(Nested, example_input=torch.zeros(2, 4))


def started(penalty, space=None, seed=0):
    network = Network(supernet(nested() if space is None else space))
    penalty.start(network)
    generator = torch.Generator().manual_seed(seed)
    return network, {
        name: torch.randn(relaxation.rows, relaxation.options, generator=generator).softmax(1)
        for name, relaxation in network.relaxations.items()
    }


def mean(network, probabilities, cost):
    """Over all architectures, by the product of the probabilities of what they answer."""
    total = share = 0.0
    for architecture in network.supernet.space.decisions.grid():
        p = 1.0
        for name, relaxation in network.relaxations.items():
            for row, known in zip(relaxation.place(architecture), probabilities[name].tolist(), strict=True):
                p *= math.prod(q for times, q in zip(row, known, strict=True) if times)
        total += p * cost(architecture)
        share += p
    assert share == pytest.approx(1.0)
    return total


TABLE = LatencyTable(
    {"Linear": 2.5, "ReLU": 0.25},
    naming=lambda operation: operation.kind if operation.kind in ("Linear", "ReLU") else None,
)


@pytest.mark.parametrize("quantity", [parameters, flops, TABLE], ids=["parameters", "flops", "table"])
def test_the_expected_cost_is_the_mean_over_all_architectures(quantity):
    penalty = Penalty(quantity, 1.0)
    network, probabilities = started(penalty)
    cost = network.supernet.space.cost(quantity)
    expected = mean(network, probabilities, cost.of)
    assert float(penalty.expected(probabilities)) == pytest.approx(expected, rel=1e-5)
    for architecture in (network.supernet.space.sample(seed) for seed in range(5)):
        sure = {name: torch.tensor(relaxation.place(architecture)) for name, relaxation in network.relaxations.items()}
        assert float(penalty.expected(sure)) == pytest.approx(cost.of(architecture), rel=1e-6)


def test_the_forms_are_those_of_the_papers():
    expected = {
        "multiply": 3.0 * 2**0.5,
        "add": 3.0 + 0.5 * (2 - 1),
        "log": 3.0 * (0.5 * math.log(1 + 2) + 1),
    }
    for form, value in expected.items():
        probe = Penalty(parameters, 1.0, weight=0.5, form=form)
        _, probabilities = started(probe)
        amount = float(probe.expected(probabilities))
        penalty = Penalty(parameters, amount / 2, weight=0.5, form=form)
        started(penalty)
        assert float(penalty(torch.tensor(3.0), probabilities)) == pytest.approx(value, rel=1e-5)
    cheap = Penalty(parameters, 1e9, form="add")
    _, probabilities = started(cheap)
    assert float(cheap(torch.tensor(3.0), probabilities)) == 3.0


@pytest.mark.parametrize("form", ["multiply", "log"])
def test_a_loss_below_0_is_not_multiplied(form):
    penalty = Penalty(parameters, 20.0, form=form)
    _, probabilities = started(penalty)
    assert float(penalty(torch.tensor(0.0), probabilities)) == 0.0
    with pytest.raises(OneShotError, match=r'the loss is -0\.5, .* give form="add"'):
        penalty(torch.tensor(-0.5, requires_grad=True), probabilities)
    added = Penalty(parameters, 20.0, form="add")
    started(added)
    assert float(added(torch.tensor(-0.5), probabilities)) > -0.5


def nothing(seed):
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(seed)), torch.zeros(8)


@pytest.mark.parametrize("form", ["multiply", "add", "log"])
@pytest.mark.parametrize("make", [DARTS, DrNAS, FBNet, PCDARTS, ProxylessNAS])
def test_a_price_moves_the_architecture_to_what_is_cheap(make, form):
    settings = {"parts": 2, "warmup": 0.0} if make is PCDARTS else {}
    method = make(learning_rate=0.1, penalty=Penalty(parameters, 20.0, weight=2.0, form=form), **settings)
    method.start(supernet(nested()), steps=30)
    optimizer = torch.optim.SGD(method.network.supernet.parameters(), 1e-4)
    before = method.strengths()
    for number in range(30):
        method.learn(nothing(number), lambda model, batch: loss(model, batch) * 0 + 1, optimizer, None)
        method.count += 1
    after = method.strengths()
    assert after["outer"][0][0] > before["outer"][0][0]
    assert after["width"][0][0] > before["width"][0][0]
    assert method.best()[0]["width"] == 2


def test_a_quantity_that_is_no_sum_is_refused():
    squared = measure("squared", lambda model: sum(p.numel() for p in model.parameters()) ** 2)
    with pytest.raises(OneShotError, match="squared of this space is no sum over its decisions"):
        started(Penalty(squared, 1.0))


def test_what_is_not_decided_by_itself_is_refused():
    cell = ModelSpace(lambda: Cell([nn.Identity, lambda: nn.Linear(4, 4)], 1, 1, 1), example_input=torch.zeros(2, 4))
    with pytest.raises(OneShotError, match=r"parameters depends on '.*op.*', which is not decided by itself"):
        started(Penalty(parameters, 1.0), cell)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": 0.0}, "both must be above 0"),
        ({"target": 1.0, "weight": -1.0}, "both must be above 0"),
        ({"target": 1.0, "form": "sum"}, "it must be 'add', 'multiply' or 'log'"),
    ],
)
def test_settings_have_ranges(settings, words):
    with pytest.raises(OneShotError, match=words):
        Penalty(parameters, **settings)


def test_a_penalty_is_shown():
    assert repr(Penalty(parameters, 2e6, form="add")) == "Penalty(parameters, 2e+06, weight=0.1, form='add')"
