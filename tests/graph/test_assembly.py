import copy

import torch
from torch import fx, nn

from lanista.graph import ModelGraph
from tests.graph.zoo import IMAGES, ROWS, Mixed, ResNet, same, seeded


def test_unread_parts_stay_and_deleted_ones_go():
    graph = ModelGraph(seeded(ResNet), example_input=IMAGES)
    result = graph.module()
    assert isinstance(result.auxiliary, nn.Linear)
    graph.node(name="fc").delete()
    assert not hasattr(graph.module(), "fc")
    assert hasattr(graph.module(), "auxiliary")


def test_containers_are_plain_and_code_is_readable():
    result = ModelGraph(seeded(ResNet), example_input=IMAGES).module()
    assert type(result).__name__ == "ResNet"
    assert isinstance(result, fx.GraphModule)
    homes = {type(module).__module__.partition(".")[0] for module in result.modules()}
    assert homes == {"torch"}
    assert "layer1_0_conv1" in result.code


def test_ties_persistence_and_order_stay():
    model = seeded(Mixed)
    result = ModelGraph(model, example_input=ROWS).module()
    assert result.second.weight is result.first.weight
    assert [name for name, _ in result.named_buffers()] == ["shift", "unread", "constant"]
    layers = [f"{layer}.{name}" for layer in ("first", "second") for name in ("weight", "bias")]
    assert list(result.state_dict()) == ["scale", "unread", *layers]
    assert len(list(result.parameters())) == len(list(model.parameters()))


class Aliased(nn.Module):
    """One layer and one block under two names."""

    def __init__(self):
        super().__init__()
        self.first = self.again = nn.Linear(4, 4)
        self.block = nn.Sequential(nn.Linear(4, 4))
        self.blocks = nn.ModuleList([self.block, nn.Tanh()])

    def forward(self, x):
        return self.blocks[1](self.blocks[0](self.again(self.first(x))))


def test_parts_with_two_names_keep_both():
    model = seeded(Aliased)
    graph = ModelGraph(model, example_input=ROWS)
    result = graph.module()
    assert list(result.state_dict()) == list(model.state_dict())
    assert result.again is result.first
    assert same(copy.deepcopy(result)(ROWS), model(ROWS))
    first, again = graph.find(name="first")
    first.replace(nn.Tanh)
    again.replace(nn.Sigmoid)
    names = [name for name in graph.module().state_dict() if not name.startswith("block")]
    assert names == []
    assert same(graph.module()(ROWS), model.blocks[1](model.block(ROWS.tanh().sigmoid())))


def test_the_graph_stays_usable():
    graph = ModelGraph(seeded(ResNet).eval(), example_input=IMAGES)
    first = graph.module()
    expected = first(IMAGES)
    graph.node(name="maxpool").replace(lambda: nn.AvgPool2d(2))
    second = graph.module()
    assert same(first(IMAGES), expected)
    assert not torch.equal(second(IMAGES), expected)
