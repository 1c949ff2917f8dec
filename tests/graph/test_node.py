import operator
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lanista.errors import InvalidMutation
from lanista.graph import ModelGraph
from lanista.nn import Placeholder
from tests.graph.zoo import IMAGES, ROWS, Mixed, ResNet, must_work, same, seeded


@pytest.fixture
def model():
    return seeded(ResNet).eval()


@pytest.fixture
def graph(model):
    return ModelGraph(model, example_input=IMAGES)


def swish(x):
    return x * torch.sigmoid(x)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (nn.GELU, F.gelu),
        (nn.GELU(), F.gelu),
        (partial(nn.LeakyReLU, 0.5), lambda x: F.leaky_relu(x, 0.5)),
        (lambda: nn.Sequential(nn.GELU(), nn.Tanh()), lambda x: F.gelu(x).tanh()),
        (torch.tanh, torch.tanh),
        (F.gelu, F.gelu),
        (swish, swish),
    ],
)
def test_an_operation_is_replaced(operation, expected):
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    graph = ModelGraph(net, example_input=ROWS)
    graph.node(type=nn.ReLU).replace(operation)
    assert same(graph.module()(ROWS), net[2](expected(net[0](ROWS))))


def test_a_module_that_is_given_is_copied():
    candidate = nn.Linear(4, 4)
    graphs = [ModelGraph(nn.Sequential(nn.Identity()), example_input=ROWS) for _ in range(2)]
    for graph in graphs:
        graph.nodes[1].replace(candidate)
    weights = [graph.module().get_parameter("0.weight") for graph in graphs]
    assert torch.equal(*weights)
    assert len({id(weight) for weight in (*weights, candidate.weight)}) == 3


def test_a_function_becomes_a_module_beside_the_others(graph, model):
    pool = graph.node(type=F.adaptive_avg_pool2d)
    pool.replace(lambda: nn.AdaptiveMaxPool2d(1))
    assert pool.name == "adaptivemaxpool2d"
    result = graph.module()
    assert isinstance(result.adaptivemaxpool2d, nn.AdaptiveMaxPool2d)
    expected = model.fc(model.layer2(model.layer1(model.maxpool(model.conv1(IMAGES)))).amax((2, 3)))
    assert same(result(IMAGES), expected)


def test_one_call_of_a_shared_module_is_replaced_alone(graph):
    first, second = graph.section("layer1.0").find(type=nn.ReLU)
    first.replace(nn.Tanh)
    assert (first.name, second.name) == ("layer1.0.relu_2", "layer1.0.relu")
    second.replace(nn.Sigmoid)
    children = dict(graph.module().layer1.get_submodule("0").named_children())
    assert [type(children[name]) for name in ("relu_2", "relu")] == [nn.Tanh, nn.Sigmoid]


def test_the_label_stays_with_the_place():
    graph = ModelGraph(nn.Sequential(Placeholder("block", width=4)), example_input=ROWS)
    node = graph.node(label="block")
    node.replace(lambda: nn.Linear(4, node.info["width"]))
    assert graph.node(label="block") == node
    node.relabel("done")
    assert (graph.find(label="block"), graph.find(label="done")) == ([], [node])


def test_arguments_are_changed(graph, model):
    node = graph.node(name="layer1.0.conv1")
    node.update(kernel_size=5, padding=2)
    conv = graph.module().get_submodule("layer1.0.conv1")
    assert (conv.kernel_size, conv.padding, conv.stride, conv.bias) == ((5, 5), (2, 2), (1, 1), None)
    assert node.arguments["kernel_size"] == (5, 5)
    assert conv is not model.layer1[0].conv1


def test_weights_stay_where_no_shape_changes(graph, model):
    graph.node(name="layer1.0.conv1").update(dilation=2, padding=2)
    conv = graph.module().get_submodule("layer1.0.conv1")
    assert conv.dilation == (2, 2)
    assert torch.equal(conv.weight, model.layer1[0].conv1.weight)


def test_equal_arguments_change_nothing(graph, model):
    graph.node(name="layer1.0.conv1").update(kernel_size=3, padding=1)
    assert graph.module().get_submodule("layer1.0.conv1") is model.layer1[0].conv1
    assert graph.draft.edits == []


@pytest.mark.parametrize(
    ("function", "changes", "expected"),
    [
        (lambda x: F.leaky_relu(x, 0.1), {"negative_slope": 0.5}, lambda x: F.leaky_relu(x, 0.5)),
        (lambda x: torch.flatten(x, 1), {"start_dim": 0}, lambda x: torch.flatten(x, 0)),
        (lambda x: F.max_pool1d(x, 2), {"kernel_size": 4}, lambda x: F.max_pool1d(x, 4)),
        (lambda x: x.sum(dim=0), {"dim": 1}, lambda x: x.sum(dim=1)),
    ],
)
def test_arguments_of_functions_are_changed(function, changes, expected):
    class Net(nn.Module):
        def forward(self, x):
            return function(x)

    graph = ModelGraph(Net(), example_input=ROWS)
    node = graph.nodes[1]
    node.update(**changes)
    assert changes.items() <= node.arguments.items()
    assert same(graph.module()(ROWS), expected(ROWS))


def test_nodes_are_inserted(graph, model):
    pool = graph.node(name="maxpool")
    norm = pool.insert_before(lambda: nn.BatchNorm2d(4))
    drop = pool.insert_after(nn.Tanh)
    logits = graph.output.insert_before(F.relu)
    assert [node.name for node in (norm, drop, logits)] == ["batchnorm2d", "tanh", "relu"]
    assert [pool.inputs, pool.users] == [[norm], [drop]]
    x = model.layer2(model.layer1(model.maxpool(model.conv1(IMAGES) / (1 + 1e-5) ** 0.5).tanh()))
    expected = F.relu(model.fc(x.mean((2, 3))))
    assert torch.allclose(graph.module()(IMAGES), expected, atol=1e-5)


def test_a_node_is_inserted_on_one_edge(graph, model):
    relu, add = graph.node(name="maxpool"), graph.section("layer1.0").node(name="iadd*")
    new = relu.insert_between(add, nn.Tanh)
    assert new.users == [add]
    assert {n.name for n in relu.users} == {"layer1.0.conv1", "tanh"}
    x = model.maxpool(model.conv1(IMAGES))
    block = model.layer1[0]
    y = block.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x))))) + x.tanh())
    expected = model.fc(model.layer2(model.layer1[1](y)).mean((2, 3)))
    assert torch.allclose(graph.module()(IMAGES), expected, atol=1e-6)
    with pytest.raises(InvalidMutation, match=r"'fc' does not read 'maxpool'; it reads \['flatten'\]"):
        relu.insert_between(graph.node(name="fc"), nn.Tanh)


def test_a_skip_connection_is_inserted(tmp_path):
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)))
    graph = ModelGraph(model, example_input=ROWS)
    node = graph.node(name="2").insert_after(torch.add, graph.node(name="0"))
    assert [n.name for n in node.inputs] == ["2", "0"]
    hidden = model[0](ROWS)
    assert same(graph.module()(ROWS), model[2](hidden.relu()) + hidden)
    must_work(graph.module(), ROWS, tmp_path / "folder")


def test_an_inserted_input_is_one_occurrence():
    class Twice(nn.Module):
        def forward(self, x):
            return torch.sub(x, x)

    graph = ModelGraph(Twice(), example_input=ROWS)
    graph.node(type=torch.sub).insert_before(torch.tanh, input=1)
    assert same(graph.module()(ROWS), ROWS - ROWS.tanh())


def test_a_node_is_deleted(graph, model):
    graph.node(name="layer1.0.bn1").delete()
    result = graph.module()
    assert set(model.state_dict()) - set(result.state_dict()) == {
        f"layer1.0.bn1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    }
    add = graph.section("layer1.1").node(name="iadd*")
    add.delete(keep=1)  # the skip: what the block computed is not needed any more
    assert not [name for name in graph.module().state_dict() if name.startswith("layer1.1")]
    with pytest.raises(InvalidMutation, match="'iadd_1' was deleted; ask the graph again"):
        add.update()


def test_an_input_is_rewired(graph, model):
    add = graph.section("layer1.1").node(name="iadd*")
    add.rewire(graph.node(name="maxpool"), input=1)
    x = model.maxpool(model.conv1(IMAGES))
    block, y = model.layer1[1], model.layer1[0](x)
    y = block.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(y))))) + x)
    assert torch.allclose(graph.module()(IMAGES), model.fc(model.layer2(y).mean((2, 3))), atol=1e-6)


def test_an_input_may_come_from_a_later_node():
    class Branches(nn.Module):
        def forward(self, x):
            a = torch.tanh(x)
            b = torch.sigmoid(x)
            return a - b

    graph = ModelGraph(Branches(), example_input=ROWS)
    graph.node(type=torch.tanh).rewire(graph.node(type=torch.sigmoid))
    b = ROWS.sigmoid()
    assert same(graph.module()(ROWS), b.tanh() - b)
    with pytest.raises(InvalidMutation, match="node 'tanh' would depend on its own result, through 'sigmoid'"):
        graph.node(type=torch.sigmoid).rewire(graph.node(type=torch.tanh))
    assert same(graph.module()(ROWS), b.tanh() - b)


def test_what_nothing_needs_any_more_comes_back_when_it_is_needed(graph, model):
    bn, conv = graph.node(name="layer1.0.bn1"), graph.node(name="layer1.0.conv1")
    relu = graph.section("layer1.0").find(type=nn.ReLU)[0]
    relu.rewire(conv)
    assert bn not in graph.nodes
    with graph.edit():
        conv.update(kernel_size=1, padding=0)
        relu.rewire(bn)
    assert bn.shape == "[2, 4, 6, 6]"
    assert list(graph.module().state_dict()) == list(model.state_dict())


def net():
    return ModelGraph(seeded(ResNet), example_input=IMAGES)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda g: g.node(name="fc").replace(lambda: nn.Linear(9, 3)), ["replace fc", "node 'fc'", "[2, 8]", "[9, 3]"]),
        (lambda g: g.node(name="conv1").replace(nn.Conv2d), ["'conv1'", "Conv2d", "lambda: nn.Conv2d(8, 8, 3)"]),
        (lambda g: g.node(name="conv1").replace(3), ["'conv1'", "3", "a module, or a callable"]),
        (lambda g: g.node(name="conv1").replace(dict), ["'conv1'", "built {}", "not a torch.nn.Module"]),
        (lambda g: g.node(name="conv1").replace(lambda x: x), ["'conv1'", "no name that code could use"]),
        (lambda g: g.node(name="conv1").update(kernel=3), ["'conv1'", "no argument 'kernel'", "kernel_size"]),
        (lambda g: g.node(name="conv1").update(groups=2), ["'conv1'", "cannot be built", "divisible by groups"]),
        (lambda g: g.node(name="flatten").update(start_dim=0), ["'flatten'", "without names", "'start_dim'"]),
        (lambda g: g.node(name="maxpool").update(kernel_size=13), ["'maxpool'", "kernel_size=13"]),
        (lambda g: g.inputs[0].delete(), ["'x' is an input", "cannot be deleted"]),
        (lambda g: g.output.replace(nn.ReLU), ["'output' is the output", "cannot be replaced"]),
        (lambda g: g.output.insert_after(nn.ReLU), ["nothing comes after the output"]),
        (lambda g: g.node(name="conv1").delete(keep=1), ["'conv1' has 1 inputs", "number 1"]),
        (lambda g: g.node(name="conv1").rewire(net().inputs[0]), ["'x' belongs to another graph"]),
        (lambda g: g.node(name="conv1").insert_after(torch.add, g.node(name="fc")), ["depend on its own result"]),
        (lambda g: g.node(name="fc").insert_after(torch.add, g.inputs[0]), ["insert fc: add", "node 'add'", "12, 12]"]),
        (lambda g: g.node(name="layer2.0.conv1").delete(), ["delete layer2.0.conv1", "'layer2.0.bn1'", "[2, 4, 6, 6]"]),
        (lambda g: g.node(name="conv1").insert_after(nn.Flatten), ["insert conv1: Flatten", "node 'maxpool'"]),
    ],
)
def test_an_illegal_edit_names_the_node_and_changes_nothing(edit, words):
    graph = net()
    before, state = str(graph), graph.module().state_dict()
    with pytest.raises(InvalidMutation) as caught:
        edit(graph)
    assert all(word in str(caught.value) for word in words), caught.value
    assert str(graph) == before
    assert graph.draft.edits == []
    assert list(graph.module().state_dict()) == list(state)


def test_edits_in_the_midst_of_functions(tmp_path):
    graph = ModelGraph(seeded(Mixed), example_input=ROWS)
    graph.node(type=nn.Dropout).update(p=0.1)
    graph.node(name="second").update(bias=False)
    graph.node(type=operator.mul).replace(operator.truediv)
    model = graph.module()
    assert (model.dropout.p, model.second.bias) == (0.1, None)
    must_work(model, ROWS, tmp_path / "folder")


class InPlace(nn.Module):
    """Writes in place wherever that is right for the model as it is."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Linear(4, 4), nn.LayerNorm(4), nn.ReLU(inplace=True)

    def forward(self, x):
        x = x * 2
        y = self.act(self.norm(self.conv(x)))
        y = F.silu(self.conv(y), inplace=True)
        y += x
        y *= self.norm(x)
        return y


class Apart(InPlace):
    """The same without writing in place."""

    def forward(self, x):
        x = x * 2
        y = torch.relu(self.norm(self.conv(x)))
        y = F.silu(self.conv(y)) + x
        return y * self.norm(x)


EDITS = {
    "delete": lambda node: node.delete(),
    "append": lambda node: node.insert_after(nn.Tanh),
    "replace": lambda node: node.replace(nn.Sigmoid),
}


@pytest.mark.parametrize("edits", [["delete conv", "delete norm"], ["delete norm"], ["append norm"], ["replace silu"]])
def test_what_was_right_in_place_spoils_no_other_tensor(edits):
    def edited(model):
        graph = ModelGraph(model, example_input=ROWS)
        for edit in edits:
            kind, name = edit.split()
            EDITS[kind](graph.find(name=name)[0])
        return graph.module()

    result = edited(seeded(InPlace))
    result(ROWS).sum().backward()  # torch refuses where a tensor that it needs was written to
    assert same(result(ROWS), edited(seeded(Apart))(ROWS))


def test_additions_are_found_however_they_are_written(graph):
    found = [graph.find(type=kind) for kind in (operator.add, operator.iadd, "__iadd__")]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 4
    found[0][0].insert_before(nn.Tanh)
    assert [graph.find(type=kind) for kind in (operator.add, operator.iadd)] == found[:2]


def test_an_updated_module_shares_the_weights_that_it_shared():
    model = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1))
    model[2].weight = model[0].weight
    graph = ModelGraph(model, example_input=torch.zeros(1, 3, 8, 8))
    graph.node(name="2").update(dilation=2, padding=2)
    result = graph.module()
    assert result.get_parameter("2.weight") is result.get_parameter("0.weight")
    graph.node(name="2").update(kernel_size=1, padding=0)
    assert graph.module().get_parameter("2.weight").shape == (3, 3, 1, 1)
