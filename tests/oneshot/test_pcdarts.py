import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lanista import ModelSpace
from lanista.errors import OneShotError
from lanista.nn import Cell, LayerChoice
from lanista.oneshot import DARTS, PCDARTS
from lanista.testing.methods import finds_the_answer
from lanista.testing.planted import channels
from tests.oneshot.small import batch, loss, smooth, supernet


def images(option, width=8, **settings):
    """A choice between a layer and nothing, on images."""

    def build():
        stem = nn.Conv2d(3, width, 3, padding=1)
        return nn.Sequential(stem, LayerChoice({"layer": option, "skip": nn.Identity}, label="layer"))

    return ModelSpace(build, example_input=torch.zeros(2, 3, 4, 4))


def started(space, **settings):
    method = PCDARTS(**settings)
    method.start(supernet(space), steps=10)
    return method


def test_a_part_of_the_channels_goes_through_the_layers_and_the_rest_is_passed_by():
    space = images(lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)))
    method = started(space, parts=4)
    stem, mixed = method.network.model
    conv, norm, _ = mixed.options[0]
    x = torch.randn(5, 3, 4, 4)
    y = stem(x)
    found = method.mixture("weights")(x)
    statistics = norm.running_mean.clone()
    a, b = method.alphas["layer"].softmax(1)[0]
    part = F.conv2d(y[:, :2], conv.weight[:2, :2], conv.bias[:2], padding=1)
    part = F.batch_norm(part, None, None, norm.weight[:2], norm.bias[:2], training=True).relu()
    joined = torch.cat([a * part + b * y[:, :2], y[:, 2:]], 1)
    shuffled = torch.stack([joined[:, [0, 2, 4, 6]], joined[:, [1, 3, 5, 7]]], 1).flatten(1, 2)
    assert torch.allclose(found, shuffled, atol=1e-6)
    assert statistics[:2].all()
    assert not statistics[2:].any()
    found.square().sum().backward()
    gradient = next(p for n, p in method.network.supernet.named_parameters() if p.shape == (8, 8, 3, 3)).grad
    assert gradient[:2, :2].all()
    assert not gradient[2:].any()
    assert not gradient[:, 2:].any()


def test_selected_architectures_have_their_full_width():
    method = started(images(lambda: nn.Conv2d(8, 8, 1)), parts=4)
    x, shared = torch.randn(2, 3, 4, 4), method.network.supernet
    for name in ("layer", "skip"):
        assert torch.equal(method.network.select({"layer": name})(x), shared.path({"layer": name})(x))


@pytest.mark.parametrize(
    "option",
    [
        lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
        lambda: nn.Conv2d(8, 8, 3, padding=1, groups=2),
        lambda: nn.Sequential(nn.Conv2d(8, 24, 1), nn.GroupNorm(3, 24), nn.PReLU(24), nn.Conv2d(24, 8, 1)),
        lambda: nn.Sequential(nn.ConvTranspose2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True), nn.PReLU()),
        lambda: LayerChoice([nn.Identity, lambda: nn.Conv2d(8, 8, 1)], label="inner"),
    ],
    ids=["depthwise", "grouped", "inverted", "transposed", "nested"],
)
def test_layers_of_all_kinds_are_narrowed(option):
    method = started(images(option), parts=2)
    for training in (True, False):
        method.network.supernet.train(training)
        output = method.mixture("weights")(torch.randn(2, 3, 4, 4))
        assert output.shape == (2, 8, 4, 4)
        output.sum().backward()


class Halved(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        options = [lambda: nn.Conv2d(8, 8, kernel, 2, 1), lambda: nn.MaxPool2d(3, 2, 1)]
        self.choice = LayerChoice(options, label="half")

    def forward(self, x):
        return self.choice(x)


def test_what_is_passed_by_shrinks_as_the_layers_do():
    space = ModelSpace(Halved, 3, example_input=torch.zeros(2, 8, 6, 6))
    method, x = started(space, parts=2), torch.randn(2, 8, 6, 6)
    output = method.mixture("weights")(x)
    assert torch.equal(output[:, 1::2], F.max_pool2d(x[:, 4:], 2))


@pytest.mark.parametrize(
    ("option", "parts", "reason"),
    [
        (lambda: nn.Conv2d(8, 8, 1), 3, "8 channels do not fall into 3 equal parts"),
        (lambda: nn.Sequential(nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 1)), 4, "sizes of Conv2d.* do not fall into 4"),
        (lambda: nn.Conv2d(8, 8, 1, groups=4), 4, "the 4 groups of Conv2d.* do not divide"),
        (lambda: nn.LayerNorm([8, 4, 4]), 4, "how a LayerNorm is made narrower is not known"),
        (lambda: nn.Flatten(2), 4, "different shapes"),
        (lambda: nn.Unflatten(1, (8, 1)), 4, "RuntimeError"),
    ],
)
def test_what_cannot_be_narrowed_is_named_at_the_start(option, parts, reason):
    with pytest.raises(OneShotError, match=reason) as raised:
        started(images(option), parts=parts)
    if "shapes" not in reason:
        assert "'layer'" in str(raised.value)


def test_a_layer_that_changes_the_number_of_channels_is_refused():
    options = [lambda: nn.Conv2d(8, 16, 1), lambda: nn.Conv2d(8, 16, 3, padding=1)]
    space = ModelSpace(lambda: LayerChoice(options, label="wider"), example_input=torch.zeros(2, 8, 4, 4))
    with pytest.raises(OneShotError, match=r"'wider' cannot run on one of 4 parts .* 8 channels do not stay 8"):
        started(space)


def test_without_an_example_nothing_is_known():
    with pytest.raises(OneShotError, match="give ModelSpace an example_input"):
        started(ModelSpace(lambda: LayerChoice([nn.Identity, nn.ReLU], label="a")))


def test_rows_that_compete_share_what_there_is():
    cell = ModelSpace(
        lambda: Cell([nn.Identity, lambda: nn.Conv2d(4, 4, 1)], 2, 1, 1, label="cell"),
        example_input=torch.zeros(2, 4, 3, 3),
    )
    method = started(cell)
    assert [tuple(alpha.shape) for alpha in method.alphas.values()] == [(1, 3), (2, 3)]
    with torch.no_grad():
        method.alphas["cell/2"].copy_(torch.tensor([[0.0, 1.0, 2.0], [0.0, 5.0, 0.0]]))
    beta = torch.tensor([2.0, 0.0]).softmax(0)
    strengths = torch.tensor(method.strengths()["cell/2"])
    assert torch.allclose(strengths.sum(1), beta)
    assert torch.allclose(strengths[0], beta[0] * torch.tensor([0.0, 1.0]).softmax(0))
    assert method.best()[0]["cell/input_2_0"] == 0  # though the best option of the other row is more certain


def test_the_architecture_stands_still_at_first():
    method = PCDARTS(parts=2, warmup=0.5)
    shared = supernet(smooth())
    method.start(shared, steps=4)
    optimizer = torch.optim.SGD(shared.parameters(), 0.1)
    moved = []
    for number in range(4):
        before = method.strengths()
        method.step(batch(number), batch(number), loss=loss, optimizer=optimizer)
        moved.append(method.strengths() != before)
    assert moved == [False, False, True, True]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"parts": 0}, "parts is 0; give an integer of at least 1"),
        ({"parts": 2.0}, "parts is 2.0; give an integer of at least 1"),
        ({"warmup": 1.5}, "warmup is 1.5; give a share of the search, from 0 to 1"),
    ],
    ids=str,
)
def test_settings_have_ranges(wrong, words):
    with pytest.raises(OneShotError, match=words):
        PCDARTS(**wrong)


def test_a_part_of_the_channels_is_enough_to_find_what_was_planted():
    finds_the_answer(lambda: PCDARTS(parts=2, warmup=0.1, learning_rate=0.05), channels())


def test_its_shared_weights_do_not_compare_architectures():
    assert not PCDARTS.ranks
    assert DARTS.ranks
