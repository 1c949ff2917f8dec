import operator

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.graph import ModelGraph, Mutator
from tests.graph.zoo import IMAGES, ROWS, Block, ResNet, same, seeded


class Wide(nn.Linear):
    """Only adds a constructor, so it is a layer of torch still."""

    def __init__(self, width):
        super().__init__(width, width)


class Scaled(nn.Linear):
    """Its forward is its own."""

    def forward(self, x):
        return super().forward(x) * 2


def test_layers_are_kept_whole_and_other_modules_traced_through():
    model = nn.Sequential(Wide(4), nn.Sequential(nn.ReLU(), Scaled(4, 4)), nn.ReLU())
    graph = ModelGraph(model, example_input=ROWS)
    assert [node.name for node in graph.find(type=nn.Module)] == ["0", "1.0", "2"]
    assert [section.name for section in graph.sections()] == ["1", "1.1"]
    assert list(graph.module().state_dict()) == list(model.state_dict())


def test_leaves_are_kept_whole():
    model = seeded(ResNet)
    graph = ModelGraph(model, example_input=IMAGES, leaves=[Block])
    assert [n.name for n in graph.find(type=Block)] == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    graph.node(name="layer1.1").delete()
    result = graph.module().eval()
    x = model.eval().layer1[0](model.maxpool(model.conv1(IMAGES)))
    assert torch.allclose(result(IMAGES), model.fc(model.layer2(x).mean((2, 3))), atol=1e-6)


class Route(nn.Module):
    """The path depends on numbers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else x


class Nothing(Mutator):
    def mutate(self, graph):
        pass


def test_what_cannot_be_traced_is_named_with_its_place():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Route()))
    with pytest.raises(SpaceError) as caught:
        ModelSpace(model, mutators=[Nothing()])
    words = [
        "Sequential cannot be traced in module '1.0' (Route)",
        f"{__file__}:",
        "if x.sum() > 0 else x",
        "leaves=[Route]",
        "mutators=[...]",
    ]
    assert all(word in str(caught.value) for word in words), caught.value
    space = ModelSpace(model, mutators=[Nothing()], leaves=[Route], example_input=ROWS)
    assert same(space.build({})(ROWS), model(ROWS))


class Rooted(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x) if self.training else x


class Auxiliary(nn.Module):
    def forward(self, x):
        return (x, x) if self.training else x


class Open(nn.Module):
    def forward(self, *inputs):
        return inputs[0]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Rooted(), ["Rooted cannot be traced at", "x if x.sum() > 0", "leaves=[...]"]),
        (Auxiliary(), ["Auxiliary.forward itself computes otherwise in training", "module of its own"]),
        (Open(), ["Open cannot be traced", "IndexError"]),
    ],
)
def test_a_model_that_is_no_graph_is_refused(model, words):
    with pytest.raises(SpaceError) as caught:
        ModelGraph(model)
    assert all(word in str(caught.value) for word in words), caught.value


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.noise = nn.Linear(4, 4), Noisy()

    def forward(self, x):
        return self.noise(self.linear(x))


def test_what_computes_otherwise_in_training_is_kept_whole():
    model = nn.Sequential(Nested(), nn.Linear(4, 2))
    graph = ModelGraph(model, example_input=ROWS)
    assert [n.name for n in graph.find(type=Noisy)] == ["0.noise"]
    assert [n.name for n in graph.find(type=nn.Linear)] == ["0.linear", "1"]
    result = graph.module()
    for mode in (True, False):
        result.train(mode), model.train(mode)
        assert same(seeded(lambda: result(ROWS)), seeded(lambda: model(ROWS)))


class Dropping(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.dropout = function, nn.Identity()

    def forward(self, x):
        return self.dropout(self.function(x, 0.5, self.training))


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (F.dropout, nn.Dropout),
        (F.alpha_dropout, nn.AlphaDropout),
        (F.feature_alpha_dropout, nn.FeatureAlphaDropout),
        (F.dropout1d, nn.Dropout1d),
    ],
)
def test_dropout_that_follows_the_mode_becomes_a_module(function, kind):
    model = nn.Sequential(Dropping(function))
    result = ModelGraph(model, example_input=ROWS).module()
    assert type(result.get_submodule("0.dropout1")) is kind
    for mode in (True, False):
        result.train(mode), model.train(mode)
        assert same(seeded(lambda: result(ROWS)), seeded(lambda: model(ROWS)))


class Options(nn.Module):
    def forward(self, x, scale=2.0, shift=None, *, flag=True):
        x = x * scale if flag else x
        return x if shift is None else x + shift


def test_inputs_with_defaults_are_inputs_only_if_the_example_has_them():
    shift = torch.ones(4)
    assert [n.name for n in ModelGraph(Options()).inputs] == ["x"]
    graph = ModelGraph(Options(), example_input=(ROWS, 3.0, shift))
    assert [n.name for n in graph.inputs] == ["x", "scale", "shift"]
    assert same(graph.module()(ROWS, 0.5, shift), ROWS * 0.5 + shift)


class Sizes(nn.Module):
    """Counts in place with numbers, and writes in place into tensors."""

    def forward(self, x):
        n = x.shape[1]
        n += 1
        n *= 2
        y = x + n
        y -= 1
        return y


def test_assignments_in_place_are_kept_for_tensors_only():
    graph = ModelGraph(Sizes(), example_input=ROWS)
    targets = [node.target for node in graph.nodes]
    assert [t for t in targets if t in (operator.add, operator.mul)] == [operator.add, operator.mul, operator.add]
    assert "__isub__" in targets
    assert same(graph.module()(ROWS), Sizes()(ROWS))
