import copy
import pickle
from functools import partial

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from lanista.errors import InvalidMutation, SpaceError
from lanista.graph import ModelGraph
from lanista.nn import InputChoice, Placeholder
from tests.graph.zoo import IMAGES, ROWS, Block, Mixed, ResNet, must_work, same, seeded

MODELS = [
    pytest.param(ResNet, IMAGES, id="resnet"),
    pytest.param(Mixed, ROWS, id="mixed"),
    pytest.param(lambda: nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))), ROWS, id="chain"),
    pytest.param(lambda: fx.symbolic_trace(ResNet()), IMAGES, id="graph module"),
]


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(("make", "example"), MODELS)
def test_without_edits_the_model_is_the_original(make, example, checked):
    model = seeded(make)
    state = model.state_dict()
    graph = ModelGraph(model, example_input=example if checked else None)
    result = graph.module()
    result.graph.lint()
    assert list(result.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in result.state_dict().items())
    assert [name for name, _ in result.named_parameters()] == [name for name, _ in model.named_parameters()]
    for mode in (True, False):
        one, other = (copy.deepcopy(each).train(mode) for each in (result, model))
        assert same(seeded(partial(one, example)), seeded(partial(other, example)))
    assert not [m for m in result.modules() if type(m).__module__.startswith("lanista")]


@pytest.mark.parametrize(("make", "example"), MODELS)
def test_the_result_works_as_any_model_does(make, example, tmp_path):
    result = ModelGraph(seeded(make), example_input=example).module()
    again = pickle.loads(pickle.dumps(result.eval()))
    assert same(again(example), result(example))
    must_work(result, example, tmp_path / "folder")


@pytest.mark.parametrize(("make", "example"), MODELS)
def test_making_a_graph_draws_nothing_and_leaves_the_model_alone(make, example):
    model = seeded(make).eval()
    before, state = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    result = ModelGraph(model, example_input=example).module()
    assert torch.equal(torch.get_rng_state(), before)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in (*model.modules(), *result.modules()))


@pytest.fixture
def graph():
    return ModelGraph(seeded(ResNet), example_input=IMAGES)


def names(found):
    return [thing.name for thing in found]


def test_nodes_are_found_by_type(graph):
    assert names(graph.find(type=nn.Linear)) == ["fc"]
    assert names(graph.find(type=nn.ReLU)).count("layer1.0.relu") == 2  # two calls of one module
    assert names(graph.find(type=F.adaptive_avg_pool2d)) == ["adaptive_avg_pool2d"]
    assert names(graph.find(type="flatten")) == ["flatten"]
    assert graph.find(type=nn.LSTM) == []


def test_nodes_are_found_by_name(graph):
    assert names(graph.find(name="layer*.0.conv1")) == ["layer1.0.conv1", "layer2.0.conv1"]
    assert names(graph.find(name="layer1.*", type=nn.BatchNorm2d)) == [f"layer1.{b}.bn{n}" for b in "01" for n in "12"]
    assert graph.node(name="fc").module.out_features == 3


def test_nodes_are_found_by_label():
    block = Placeholder("block", width=4, stride=2)
    block_too, conv = Placeholder("block", width=8), nn.Conv2d(3, 3, 1)
    conv.label = "stem"
    graph = ModelGraph(nn.Sequential(conv, block, block_too))
    assert [node.info for node in graph.find(label="block")] == [{"width": 4, "stride": 2}, {"width": 8}]
    assert graph.node(label="stem").name == "0"
    with pytest.raises(InvalidMutation, match=r"no node fits 'blok'; there are, for example, block"):
        graph.node(label="blok")
    with pytest.raises(InvalidMutation, match=r"2 nodes fit 'block': 1, 2; ask for one"):
        graph.node(label="block")
    with pytest.raises(InvalidMutation, match=r"no node fits '7'; there are, for example, "):
        graph.node(name="7")


def test_sections_are_found_by_path_type_and_label():
    model = ResNet()
    model.layer1[1].label = "second"
    graph = ModelGraph(model)
    assert names(graph.sections(type=Block)) == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    assert names(graph.sections("layer2.*")) == ["layer2.0", "layer2.0.downsample", "layer2.1"]
    section = graph.section(label="second")
    assert (section.name, section.module) == ("layer1.1", model.layer1[1])
    assert (section.input.name, section.output.name) == ("layer1.0.relu", "layer1.1.relu")
    assert names(section.find(type=nn.Conv2d)) == ["layer1.1.conv1", "layer1.1.conv2"]
    with pytest.raises(InvalidMutation, match="no section fits 'layer3'; there are, for example, layer"):
        graph.section("layer3")
    with pytest.raises(InvalidMutation, match=r"2 sections fit 'layer\?': layer1, layer2"):
        graph.section("layer?")


def test_a_node_knows_its_neighbours_and_shape(graph):
    add = graph.section("layer2.0").node(name="iadd*")
    assert names(add.inputs) == ["layer2.0.bn2", "layer2.0.downsample.1"]
    assert names(add.users) == ["layer2.0.relu"]
    assert (add.shape, tuple(add.value.shape)) == ("[2, 8, 3, 3]", (2, 8, 3, 3))
    assert graph.inputs[0].shape == "[2, 3, 12, 12]"
    assert names(graph.output.inputs) == ["fc"]
    assert ModelGraph(ResNet()).node(name="fc").shape == ""


def test_a_graph_prints_as_a_table(graph):
    text = str(graph)
    assert len(text.splitlines()) == len(graph.nodes)
    assert any(line.split()[0] == "fc" and line.endswith("[2, 3]") for line in text.splitlines())
    assert repr(graph) == f"ModelGraph(ResNet: {len(graph.nodes)} nodes)"
    assert repr(graph.node(name="maxpool")).startswith("Node(maxpool: MaxPool2d(")


def test_edits_that_are_legal_only_together(graph):
    conv1, bn1, conv2 = (graph.node(name=f"layer2.1.{name}") for name in ("conv1", "bn1", "conv2"))
    before = str(graph)
    with pytest.raises(InvalidMutation) as caught:
        conv1.update(out_channels=6)
    assert "node 'layer2.1.bn1'" in str(caught.value), caught.value
    assert "with graph.edit()" in str(caught.value)
    assert str(graph) == before
    with graph.edit():
        conv1.update(out_channels=6)
        bn1.update(num_features=6)
        conv2.update(in_channels=6)
    assert bn1.shape == "[2, 6, 3, 3]"
    before = str(graph)
    with pytest.raises(InvalidMutation) as caught, graph.edit():
        conv1.update(out_channels=5)
        bn1.update(num_features=5)
    words = ["update layer2.1.conv1: out_channels=5; update layer2.1.bn1", "node 'layer2.1.conv2'", "[2, 5, 3, 3]"]
    assert all(word in str(caught.value) for word in words), caught.value
    assert str(graph) == before


def test_an_error_in_a_batch_undoes_it(graph):
    before = str(graph)
    with pytest.raises(ZeroDivisionError), graph.edit():
        graph.section("layer1.0").delete()
        raise ZeroDivisionError
    assert str(graph) == before


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ModelGraph(ResNet(), leaves=[ResNet()]), ["leaves has ResNet", "classes of modules"]),
        (lambda: ModelGraph(ResNet(), example_input=ROWS), ["the model itself does not run", "'conv1'", "[3, 4]"]),
        (lambda: ModelGraph(ResNet(), example_input=(IMAGES, IMAGES)), ["has 2 inputs", "forward takes 1"]),
        (lambda: ModelGraph(nn.Bilinear(2, 2, 2), example_input=ROWS), ["has 1 inputs", "needs input1, input2"]),
    ],
)
def test_a_misuse_says_what_to_do(make, words):
    with pytest.raises(SpaceError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_choice_of_inputs_is_traced_through():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.join = nn.Linear(4, 2), nn.Linear(4, 2), InputChoice(2, 2)

        def forward(self, x):
            return self.join([self.left(x), self.right(x)])

    model = Two()
    graph = ModelGraph(model, example_input=ROWS)
    assert same(graph.module()(ROWS), model.left(ROWS) + model.right(ROWS))
