from itertools import product

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.nn.mixture import Mixture
from lanista.oneshot import Network
from lanista.oneshot.mask import COMBINATIONS
from lanista.space import choice
from lanista.testing.supernets import supernet
from tests.oneshot.spaces import IMAGE, VECTOR


def mlp(between=lambda width: nn.ReLU()):
    width = choice([2, 4, 8], label="width")
    return nn.Sequential(nn.Linear(6, width), between(width), nn.Linear(width, 3))


def convolution():
    width, kernel = choice([2, 4], label="width"), choice([5, 1, 3], label="kernel")
    return nn.Sequential(nn.Conv2d(3, width, kernel, padding="same"), nn.Sigmoid(), nn.Conv2d(width, 2, 1))


def kernels():
    return nn.Conv2d(3, 2, choice([3, 1, 5], label="kernel"), padding="same")


def inverted():
    width, ratio = choice([2, 4], label="width"), choice([1, 2, 3], label="ratio")
    return nn.Sequential(nn.Linear(6, width * ratio), nn.Tanh(), nn.Linear(width * ratio, 3))


def transposed():
    width = choice([2, 4], label="width")
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.ConvTranspose2d(width, 2, 2, 2))


class Attended(nn.Module):
    """Values, but not queries and keys, are as wide as is chosen."""

    def __init__(self):
        super().__init__()
        width = choice([2, 4], label="width")
        self.scores, self.values, self.out = nn.Linear(6, 6), nn.Linear(6, width), nn.Linear(width, 3)

    def forward(self, x):
        return self.out((self.scores(x) @ x.T).softmax(1) @ self.values(x))


CASES = {
    "linear": (mlp, VECTOR),
    "sigmoid": (lambda: mlp(lambda width: nn.Sigmoid()), VECTOR),
    "batch norm": (lambda: mlp(nn.BatchNorm1d), VECTOR),
    "kernel": (kernels, IMAGE),
    "width * ratio": (inverted, VECTOR),
    "transposed": (transposed, IMAGE),
    "attention": (Attended, VECTOR),
}


def mixed(network, weights):
    return network.mix({name: Mixture(weight[None]) for name, weight in weights.items()})


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_mixture_is_the_sum_of_what_the_sizes_give(name, training):
    """Where one layer sums over what is chosen; and so are the gradients of weights and shares, which add up to 1."""
    builder, x = CASES[name]
    space = ModelSpace(builder, example_input=x)
    net = supernet(space).train(training)
    network = Network(net)
    assert network.obstacles == {}
    options = {d.label: list(d.domain.grid()) for d in space.decisions}
    logits = {label: torch.randn(len(values), requires_grad=True) for label, values in options.items()}
    shares = {label: logit.softmax(0) for label, logit in logits.items()}
    total = 0
    for values in product(*options.values()):
        share = torch.stack([shares[o][options[o].index(v)] for o, v in zip(options, values, strict=True)]).prod()
        total = total + share * net.path(dict(zip(options, values, strict=True)))(x)
    found = mixed(network, shares)(x)
    torch.testing.assert_close(found, total, rtol=1e-4, atol=1e-5)
    wanted = [*logits.values(), *net.parameters()]
    upstream = torch.randn_like(found)
    pairs = zip(*(torch.autograd.grad(y, wanted, upstream, retain_graph=True) for y in (found, total)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(1 + other.abs().max()))


def test_only_what_sums_over_channels_is_masked_where_that_is_enough():
    network = Network(supernet(ModelSpace(mlp, example_input=VECTOR)))
    assert network.obstacles == {}
    mixed(network, {"width": torch.tensor([0.5, 0.25, 0.25])})
    assert torch.equal(network.model[0].weight, network.supernet.get_parameter("/0/weight"))
    share = torch.tensor([1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25])
    assert torch.equal(network.model[2].weight, network.supernet.get_parameter("/2/weight") * share)


def test_windows_and_channels_together():
    network = Network(supernet(ModelSpace(convolution, example_input=IMAGE)))
    assert network.obstacles == {}
    mixed(network, {"width": torch.tensor([0.5, 0.5]), "kernel": torch.tensor([0.2, 0.3, 0.5])})
    share = (network.model[0].weight / network.supernet.get_parameter("/0/weight"))[0, 0]
    expected = torch.tensor([[0.2] * 5, [0.2, *[0.7] * 3, 0.2], [0.2, 0.7, 1.0, 0.7, 0.2]])
    torch.testing.assert_close(share[:3], expected)


def test_options_that_do_not_run_have_no_part():
    net = supernet(ModelSpace(mlp, example_input=VECTOR)).eval()
    network = Network(net)
    weights = torch.tensor([[0.25, 1.0, 0.75]], requires_grad=True)
    found = network.mix({"width": Mixture(weights, runs=((1,),))})(VECTOR)
    torch.testing.assert_close(found, net.path({"width": 4})(VECTOR))
    found.sum().backward()
    assert [bool(gradient) for gradient in weights.grad[0]] == [False, True, False]


def test_options_that_are_watched_have_a_gradient():
    network = Network(supernet(ModelSpace(mlp, example_input=VECTOR)))
    weights = torch.tensor([[0.0, 1.0, 0.0]], requires_grad=True)
    network.mix({"width": Mixture(weights, runs=((1,),), watched=((2,),))})(VECTOR).sum().backward()
    assert [bool(gradient) for gradient in weights.grad[0]] == [False, True, True]


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.width = choice([2, 4], label="width")
        self.first, self.second = nn.Linear(6, self.width), nn.Linear(self.width, 3)

    def forward(self, x):
        return self.second(self.first(x)) * self.width**-0.5


def normalised():
    width = choice([2, 4], label="width")
    return nn.Sequential(nn.Linear(6, width), nn.LayerNorm(width), nn.Linear(width, 3))


def dropped():
    width = choice([2, 4], label="width")
    return nn.Sequential(nn.Linear(6, width), nn.Dropout(width / 10), nn.Linear(width, 3))


def momentum():
    width = choice([2, 4], label="width")
    return nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width, momentum=1 / width), nn.Linear(width, 3))


def outside():
    return nn.Linear(6, choice([2, 4], label="width"))


def grown():
    return nn.Sequential(nn.Linear(6, 12 // choice([1, 2], label="width")), nn.AdaptiveAvgPool1d(2))


def deepened():
    return nn.Sequential(*[nn.Linear(6, 6) for _ in range(choice([1, 2], label="width"))])


def strided():
    return nn.Conv2d(3, 2, 3, choice([1, 2], label="width"), padding=1)


def dilated():
    return nn.Conv2d(3, 2, 3, padding="same", dilation=choice([1, 2], label="width"))


def many():
    width = sum(choice(list(range(1, 7)), label=f"width{i}") for i in range(3))
    return nn.Sequential(nn.Linear(6, width), nn.Linear(width, 2))


def long():
    width = choice(list(range(1, 20)), label="width")
    return nn.Sequential(nn.Linear(6, width), nn.Linear(width, 2))


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        (Scaled, "not the widest one with zeros"),
        (normalised, "not the widest one with zeros"),
        (dropped, "dropout rate"),
        (momentum, "momentum"),
        (outside, "another shape"),
        (grown, "larger than with the greatest"),
        (deepened, "which layers there are"),
        (strided, "size of no weight"),
        (dilated, "size of no weight"),
        (long, "more than 16 values"),
        (many, "has too many sizes"),
    ],
)
def test_what_cannot_be_masked_is_named_with_the_reason(builder, words):
    x = IMAGE if builder in (strided, dilated) else VECTOR
    network = Network(supernet(ModelSpace(builder, example_input=x)))
    assert network.obstacles
    for label, reason in network.obstacles.items():
        assert label.startswith("width")
        assert words in reason
    assert COMBINATIONS < 6**3


def test_without_an_example_nothing_is_masked():
    network = Network(supernet(ModelSpace(mlp)))
    assert "example_input" in network.obstacles["width"]


class Lucky(nn.Module):
    """A chosen width that is wrong only together with a certain other choice."""

    def __init__(self):
        super().__init__()
        width, other = choice([2, 4], label="width"), choice([3, 5], label="other")
        self.body = nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))
        self.more = nn.Sequential(nn.Linear(6, other), nn.ReLU(), nn.Linear(other, 3))
        self.factor = 2 if (width, other) == (2, 3) else 1

    def forward(self, x):
        return self.factor * (self.body(x) + self.more(x))


def test_sizes_are_tried_in_the_company_of_others():
    network = Network(supernet(ModelSpace(Lucky, example_input=VECTOR)))
    assert set(network.obstacles) == {"width", "other"}
    assert "do not go together" in network.obstacles["width"]
