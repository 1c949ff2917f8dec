import operator

import pytest
import torch
from torch import nn

from lanista.errors import InvalidMutation
from lanista.graph import ModelGraph
from tests.graph.zoo import IMAGES, ROWS, Block, ResNet, must_work, same, seeded


@pytest.fixture
def model():
    return seeded(ResNet).eval()


@pytest.fixture
def graph(model):
    return ModelGraph(model, example_input=IMAGES)


def through(model, *parts):
    """What `model` gives with these parts in place of its two layers."""
    x = model.maxpool(model.conv1(IMAGES))
    for part in parts:
        x = part(x)
    return model.fc(x.mean((2, 3)))


def test_a_section_is_deleted(graph, model):
    graph.section("layer1.1").delete()
    result = graph.module()
    assert torch.allclose(result(IMAGES), through(model, model.layer1[0], model.layer2), atol=1e-6)
    left = [name for name in model.state_dict() if not name.startswith("layer1.1.")]
    assert list(result.state_dict()) == left


@pytest.mark.parametrize("operation", [lambda: nn.Conv2d(4, 4, 1), nn.Identity, torch.tanh])
def test_a_section_is_replaced(graph, model, operation):
    section = graph.section("layer1.0")
    node = section.replace(operation)
    result = graph.module().eval()
    if operation is torch.tanh:
        assert node.name == "tanh"
        new = torch.tanh
    else:
        assert node.name == "layer1.0"
        new = result.get_submodule("layer1.0")
    assert torch.allclose(result(IMAGES), through(model, new, model.layer1[1], model.layer2), atol=1e-6)
    assert not [name for name in result.state_dict() if name.startswith("layer1.0.")][2:]
    with pytest.raises(InvalidMutation, match=r"section 'layer1\.0' has no nodes any more"):
        section.delete()


def test_a_section_is_repeated(graph, model):
    sections = graph.section("layer2.1").repeat(3)
    assert [section.name for section in sections] == ["layer2.1", "layer2.1_2", "layer2.1_3"]
    assert [section.module for section in sections] == [model.layer2[1]] * 3
    assert [section.path for section in graph.sections(type=Block)][-3:] == ["layer2.1", "layer2.1_2", "layer2.1_3"]
    result = graph.module().eval()
    block = model.layer2[1]
    assert torch.allclose(result(IMAGES), through(model, model.layer1, model.layer2[0], block, block, block), atol=1e-6)
    copy = result.get_submodule("layer2.1_2.conv1")
    assert torch.equal(copy.weight, block.conv1.weight)
    assert copy.weight is not block.conv1.weight
    assert set(model.state_dict()) < set(result.state_dict())
    sections[2].node(name="*conv1").update(kernel_size=1, padding=0)
    kernels = [section.node(name="*.conv1").module.kernel_size[0] for section in sections]
    assert kernels == [3, 3, 1]


@pytest.mark.parametrize("times", [0, 1])
def test_once_is_as_it_was_and_never_is_deleted(graph, model, times):
    sections = graph.section("layer1.1").repeat(times)
    assert len(sections) == times
    found = [name for name in graph.module().state_dict() if name.startswith("layer1.1.")]
    assert bool(found) == bool(times)


def test_nodes_between_two_are_a_section(graph, model):
    first, last = graph.node(name="layer1.0.conv1"), graph.node(name="layer1.0.bn1")
    section = graph.between(first, last)
    assert [node.name for node in section.nodes] == ["layer1.0.conv1", "layer1.0.bn1"]
    assert (section.path, section.module, section.label) == (None, None, None)
    copies = section.repeat(2)
    assert [node.name for node in copies[1].nodes] == ["layer1.0.conv1_2", "layer1.0.bn1_2"]
    assert len(graph.section("layer1.0").nodes) == 7 + 2
    block = model.layer1[0]
    x = model.maxpool(model.conv1(IMAGES))
    y = block.bn1(block.conv1(block.bn1(block.conv1(x))))
    y = block.relu(block.bn2(block.conv2(block.relu(y))) + x)
    expected = model.fc(model.layer2(model.layer1[1](y)).mean((2, 3)))
    assert torch.allclose(graph.module()(IMAGES), expected, atol=1e-6)
    section.delete()
    assert [node.name for node in copies[1].nodes] == ["layer1.0.conv1_2", "layer1.0.bn1_2"]
    with pytest.raises(InvalidMutation, match=r"no way leads from node 'fc' to 'layer1\.0\.relu'; swap them"):
        graph.between(graph.node(name="fc"), graph.section("layer1.0").output)


def test_a_section_over_blocks_is_copied_with_their_names(graph):
    section = graph.between(graph.section("layer1.0").nodes[0], graph.section("layer1.1").output)
    section.repeat(2)
    assert [s.path for s in graph.sections(type=Block)][:4] == ["layer1.0", "layer1.1", "layer1.0_2", "layer1.1_2"]
    graph.section("layer1.0_2").delete()
    assert graph.section("layer1.0").nodes


class Gated(nn.Module):
    """Reads a parameter of its own and a mask from outside, and writes in place."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.gamma = nn.Parameter(torch.full((4,), 0.5))
        self.register_buffer("shift", torch.ones(4), persistent=False)

    def forward(self, x, mask):
        y = self.linear(x) * self.gamma + self.shift
        y[:, 0] = 0
        return y * mask


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Gated()

    def forward(self, x, mask):
        return self.block(x, mask).tanh()


def test_parameters_are_copied_and_other_inputs_stay():
    model, mask = seeded(Chain), (ROWS > 0).float()
    graph = ModelGraph(model, example_input=(ROWS, mask))
    section = graph.section("block")
    assert section.input.name == "x"
    section.repeat(2)
    result = graph.module()
    assert same(result(ROWS, mask), model.block(model.block(ROWS, mask), mask).tanh())
    names = {f"{block}.{name}" for block in ("block", "block_2") for name in ("linear.weight", "linear.bias", "gamma")}
    assert set(result.state_dict()) == names
    assert result.get_parameter("block_2.gamma") is not result.get_parameter("block.gamma")
    assert result.get_buffer("block_2.shift") is not result.get_buffer("block.shift")
    section.delete()
    result = graph.module()
    assert same(result(ROWS, mask), model.block(ROWS, mask).tanh())
    assert set(result.state_dict()) == {name for name in names if "_2" in name}


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x):
        return self.block(self.block(x))


def test_each_call_of_a_module_is_a_section(tmp_path):
    model = seeded(Twice)
    graph = ModelGraph(model, example_input=ROWS)
    with pytest.raises(InvalidMutation, match="2 sections fit 'block': block, block@1"):
        graph.section("block")
    first, second = graph.sections("block")
    copies = second.repeat(2)
    assert copies[1].path == "block_2"
    assert same(graph.module()(ROWS), model.block(model.block(model.block(ROWS))))
    first.replace(nn.Sigmoid)
    result = graph.module()
    assert same(result(ROWS), model.block(model.block(ROWS.sigmoid())))
    must_work(result, ROWS, tmp_path / "folder")


class Inside(nn.Module):
    """Its parts are read across its border."""

    def __init__(self):
        super().__init__()
        self.pair = Pair()

    def forward(self, x):
        a, b = self.pair(x)
        return a * b


class Pair(nn.Module):
    def forward(self, x):
        return x.tanh(), x.sigmoid()


class Source(nn.Module):
    def __init__(self):
        super().__init__()
        self.source = Constant()

    def forward(self, x):
        return x + self.source()


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.ones(4))

    def forward(self):
        return self.value * 2


@pytest.mark.parametrize(
    ("make", "edit", "words"),
    [
        (Inside, lambda g: g.section("pair").delete(), ["'pair'", "['tanh', 'sigmoid'] are read from outside"]),
        (Source, lambda g: g.section("source").repeat(2), ["'source'", "reads no input"]),
        (Twice, lambda g: g.sections("block")[0].repeat(-1), ["'block'", "-1 times"]),
        (lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 2))), lambda g: g.section("0").repeat(2), ["'0_2.0'", "2]"]),
    ],
)
def test_an_illegal_edit_of_a_section_names_it(make, edit, words):
    graph = ModelGraph(make(), example_input=ROWS)
    before = str(graph)
    with pytest.raises(InvalidMutation) as caught:
        edit(graph)
    assert all(word in str(caught.value) for word in words), caught.value
    assert str(graph) == before


def test_what_is_inserted_in_a_section_belongs_to_it(graph):
    section = graph.section("layer1.1")
    new = section.output.insert_before(nn.Dropout)
    assert new.name == "layer1.1.dropout"
    assert new in section.nodes
    assert [n.name for n in section.repeat(2)[1].find(type=nn.Dropout)] == ["layer1.1_2.dropout"]
    assert section.find(type=operator.iadd)[0].name == "iadd_1"


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 4)
        self.outer.weight = self.inner.weight
        self.gate = nn.Parameter(torch.ones(4))
        self.inner.bias = self.gate

    def forward(self, x):
        return self.outer(self.inner(x).relu() * self.gate)


def test_what_is_tied_inside_of_a_section_is_tied_in_its_copies():
    model = nn.Sequential(Tied(), nn.Linear(4, 2))
    graph = ModelGraph(model, example_input=ROWS)
    graph.section("0").repeat(3)
    result = graph.module()
    blocks = [result.get_submodule(path) for path in ("0", "0_2", "0_3")]
    assert all(b.inner.weight is b.outer.weight and b.inner.bias is b.gate for b in blocks)
    assert len({id(b.inner.weight) for b in blocks}) == 3
    assert len(list(result.parameters())) == 3 * 3 + 2
