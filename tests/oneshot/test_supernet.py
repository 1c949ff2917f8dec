import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

import lanista
from lanista import ModelSpace
from lanista.errors import ArchitectureError, OneShotError
from lanista.graph import Mutator
from lanista.hub.block import Attention
from lanista.nn import LayerChoice, Placeholder, Repeat
from lanista.oneshot import Network, Supernet
from lanista.space import choice
from lanista.testing.supernets import SUPERNET_LAWS
from tests.oneshot.spaces import LAYERS, SEQUENCE, VECTOR, Convolutions, Lists, Tied


class Plain(nn.Module):
    """Attributes that are neither parameters nor buffers."""

    def __init__(self):
        super().__init__()
        self.projection = nn.init.normal_(torch.empty(6, 6))
        self.features = torch.rand(6)
        self.layer = nn.Linear(6, choice([2, 3], label="width"))
        self.scale = float(self.layer.weight.std())

    def forward(self, x):
        return self.layer(x @ self.projection * self.features) / self.scale


class Wider(Mutator):
    """Fills placeholders with layers of a chosen width, or leaves them as they are."""

    def mutate(self, graph):
        width = self.choice([3, 6], label="width")
        for node in graph.find(type=nn.Identity):
            layers = {
                "keep": lambda: None,
                "wide": lambda node=node: node.replace(
                    nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 6))
                ),
                "norm": lambda node=node: node.replace(nn.BatchNorm1d(6)),
            }
            self.one_of(layers, label=node.label)


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(6, 6)
        self.first, self.second = Placeholder("first"), Placeholder("second")

    def forward(self, x):
        return self.second(self.first(self.stem(x)))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(*(Block() for _ in range(2)))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.blocks(self.norm(self.stem(x)).relu()).mean((2, 3)))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, x):
        return (x + self.second(self.first(x).relu())).relu()


@cache
def mutated():
    return ModelSpace(Base, mutators=[Wider()], example_input=VECTOR)


@cache
def elastic():
    torch.manual_seed(0)
    return lanista.from_model(Residual(), torch.randn(2, 3, 8, 8), verbose=False)


@pytest.mark.parametrize("law", SUPERNET_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("make", [mutated, elastic], ids=lambda make: make.__name__)
def test_contract(law, make):
    law(make)


def test_a_space_without_decisions_is_one_model():
    net = Supernet(ModelSpace(lambda: nn.Linear(2, 3)))
    assert torch.equal(net.path({}).weight, net.inherit({}).weight)
    assert set(net.state_dict()) == {"/weight", "/bias"}


def test_a_supernet_has_the_widest_tensors_and_shares_them():
    net = Supernet(ModelSpace(Convolutions))
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes["/stem/weight"] == (8, 3, 5, 5)
    assert shapes["/group/weight"] == (8, 8, 3, 3)
    assert shapes["/up/weight"] == (8, 8, 5, 5)
    small = net.path({"width": 4, "kernel": 1, "groups": 2})
    assert torch.equal(small.stem.weight, net.get_parameter("/stem/weight")[:4, :, 2:3, 2:3])
    assert torch.equal(small.up.weight, net.get_parameter("/up/weight")[:, :4, 2:3, 2:3])
    assert small.norm.weight is net.get_parameter("/norm/weight")


def test_layers_that_are_there_whatever_is_chosen_are_one_layer_each():
    space = LAYERS["common layers"]()
    net = Supernet(space)
    assert {name for name in net.state_dict() if "weight" in name} == {
        "/stem/weight",
        "/inner[inner=x]/weight",
        "/inner[inner=y]/weight",
        "/outer[outer=other]/weight",
        "/first=twice/weight",
        "/second[second=own]/weight",
    }
    for architecture in space.decisions.grid():
        path = net.path(architecture)
        assert path.stem.weight is net.get_parameter("/stem/weight")
        assert path.inner.weight is net.get_parameter(f"/inner[inner={architecture['inner']}]/weight")
        if "twice" in (architecture["first"], architecture["second"]):
            layer = path.first if architecture["first"] == "twice" else path.second
            assert layer.weight is net.get_parameter("/first=twice/weight")
    assert Network(net).complete


def test_layers_that_are_chosen_inside_of_repetitions_stay_apart():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)
            self.more = LayerChoice({"again": self.layer, "no": nn.Identity()}, label="more")

    space = ModelSpace(lambda: Repeat(Block, (1, 2), label="depth"))
    net = Supernet(space)
    assert {name for name in net.state_dict() if "weight" in name} == {"/depth=0/layer/weight", "/depth=1/layer/weight"}
    assert net.path({"depth": 2, "more": "again"})[1].more.weight is net.get_parameter("/depth=1/layer/weight")


def test_names_of_the_supernets_own_attributes_are_free():
    net = Supernet(ModelSpace(Lists))
    assert net.get_parameter("/space").shape == (6,)
    assert isinstance(net.space, ModelSpace)
    assert net.get_parameter("/fixed").requires_grad
    learns, fixed = (net.path({"width": 6, "learns": learns}) for learns in (True, False))
    (learns(VECTOR).sum() + fixed(VECTOR).sum()).backward()
    assert torch.equal(net.get_parameter("/fixed").grad, torch.full((6,), 4.0))  # of one of both


def test_initial_weights_are_those_of_the_constructors():
    torch.manual_seed(0)
    net = Supernet(ModelSpace(Tied))
    assert not net.get_parameter("/embed/weight")[0].any()  # of the padding
    assert 0.5 < float(net.get_parameter("/embed/weight")[1:].detach().std()) < 1.5


def test_fewer_heads_are_the_first_of_queries_keys_and_values():
    net = Supernet(ModelSpace(lambda: Attention(8, choice([1, 2], label="heads"), 4), example_input=SEQUENCE))
    weight = net.get_parameter("/qkv/weight")
    assert torch.equal(net.path({"heads": 1}).qkv.weight, weight.reshape(3, 8, 8)[:, :4].reshape(12, 8))


def test_errors_say_what_to_do():
    net = Supernet(ModelSpace(Tied))
    with pytest.raises(ArchitectureError, match="width"):
        net.path({"width": 5})
    with pytest.raises(OneShotError, match=r"supernet.path\(architecture\)"):
        net(VECTOR)
    with pytest.raises(OneShotError, match="instead of LazyLinear"):
        Supernet(ModelSpace(lambda: nn.LazyLinear(3)))


def test_plain_attributes_are_drawn_once_for_all():
    space = ModelSpace(Plain, example_input=VECTOR)
    net = Supernet(space)
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        junk = [torch.full((6, 6), 1e9) for _ in range(20)]
        del junk  # memory that tensors which are not filled would show
        paths += [net.path({"width": 3}), net.inherit({"width": 3}), Supernet(space).path({"width": 3})]
    for path in paths:
        assert torch.equal(path.projection, paths[0].projection)
        assert torch.equal(path.features, paths[0].features)
        assert path.scale == paths[0].scale
    assert 0.5 < float(paths[0].projection.std()) < 1.5
    assert 0.1 < paths[0].scale < 0.4  # of weights from -6 ** -0.5 to 6 ** -0.5
    assert torch.equal(paths[0].eval()(VECTOR), paths[1].eval()(VECTOR))


def rare():
    """Whose widest layer is there with one of very many answers."""
    answers = [choice(list(range(16)), label=f"x{i}") for i in range(8)]
    return nn.Linear(2, 9 if answers == [7, 3, 9, 1, 2, 5, 4, 8] else 3)


def test_a_tensor_that_was_not_met_is_an_error_and_can_be_included():
    space = ModelSpace(rare)
    architecture = {f"x{i}": value for i, value in enumerate([7, 3, 9, 1, 2, 5, 4, 8])}
    with pytest.raises(OneShotError, match=r"of shape \(9, 2\), and the supernet has \(3, 2\).*include"):
        Supernet(space).path(architecture)
    assert Supernet(space, include=[architecture]).path(architecture).weight.shape == (9, 2)


def test_paths_follow_their_supernet_to_another_type():
    net = Supernet(ModelSpace(LayerChoice, {"a": lambda: nn.BatchNorm1d(6), "b": lambda: nn.Linear(6, 6)}, label="c"))
    path = net.path({"c": "a"})
    net.double()
    assert path(VECTOR.double()).dtype == torch.float64
    assert path.running_mean.dtype == torch.float64
    assert int(path.num_batches_tracked) == 1


def test_paths_are_not_moved_by_themselves():
    net = Supernet(ModelSpace(LayerChoice, {"a": lambda: nn.LSTM(6, 6), "b": lambda: nn.Linear(6, 6)}, label="c"))
    for name in "ab":
        path = net.path({"c": name})
        assert path.to("cpu").float() is path
        with pytest.raises(OneShotError, match=r"supernet\.to"):
            path.double()
        assert copy.deepcopy(path).double()(VECTOR.double())[0].dtype == torch.float64
        assert net.inherit({"c": name}).double()(VECTOR.double())[0].dtype == torch.float64
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    sliced = Supernet(ModelSpace(Tied)).path({"width": 4, "body": 0, "tied": True}).to("cpu")
    with pytest.raises(OneShotError, match=r"supernet\.to"):
        sliced.bfloat16()


def resnet20():
    """As its weights were published (github.com/akamaster/pytorch_resnet_cifar10)."""

    class Basic(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.added = (outputs - inputs) // 2

        def forward(self, x):
            y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
            if self.added:
                x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))
            return (x + y).relu()

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
            stages = [[(16, 16, 1)] * 3, [(16, 32, 2), *[(32, 32, 1)] * 2], [(32, 64, 2), *[(64, 64, 1)] * 2]]
            layers = [nn.Sequential(*(Basic(*block) for block in stage)) for stage in stages]
            self.layer1, self.layer2, self.layer3 = layers
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)).relu())))
            return self.linear(x.mean((2, 3)))

    return ResNet()


def weights():
    """Those of a trained ResNet-20; skips the test where these are not beside the checkout."""
    for folder in Path(lanista.__file__).resolve().parents:
        path = folder / "shared" / "data" / "weights" / "resnet20-12fca82f.th"
        if path.exists():
            state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
            return {name.removeprefix("module."): value for name, value in state.items()}
    return pytest.skip("there are no shared/data/weights beside the checkout")


def test_the_widest_path_of_a_trained_model_is_that_model():
    model = resnet20()
    model.load_state_dict(weights(), strict=False)  # newer batch norms count their batches
    images = torch.randn(4, 3, 32, 32)
    space = lanista.from_model(model, images[:1], verbose=False)
    net = Supernet(space).eval()
    widest = space.decisions.default()
    with torch.no_grad():
        expected = model.eval()(images)
        assert torch.equal(net.path(widest)(images), expected)
        assert torch.equal(net.inherit(widest).eval()(images), expected)
        small = space.sample(0)
        assert torch.equal(net.path(small)(images), space.build(small).eval()(images))  # the same slices
        assert not torch.equal(net.path(small)(images), expected)
