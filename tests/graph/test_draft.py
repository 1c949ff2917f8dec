import pytest
import torch
from torch import nn

from lanista.graph import ModelGraph
from tests.graph.zoo import IMAGES, ROWS, ResNet, same, seeded


def test_a_rollback_restores_all():
    model = seeded(ResNet).eval()
    graph = ModelGraph(model, example_input=IMAGES)
    graph.node(name="maxpool").replace(lambda: nn.AvgPool2d(2))
    before, expected, state = str(graph), graph.module()(IMAGES), list(graph.module().state_dict())
    for _ in range(2):
        mark = graph.draft.mark()
        graph.section("layer1.0").repeat(3)
        graph.section("layer1.0_2").replace(nn.Identity)
        graph.node(name="fc").update(out_features=7)
        graph.node(name="conv1").insert_after(torch.tanh).relabel("new")
        graph.node(name="layer2.1.conv1").delete()
        done = [edit.operation for edit in graph.draft.edits]
        assert done == ["replace", "repeat", "replace", "update", "insert", "delete"]
        graph.draft.rollback(mark)
        assert str(graph) == before
        assert same(graph.module()(IMAGES), expected)
        assert list(graph.module().state_dict()) == state
        assert [edit.operation for edit in graph.draft.edits] == ["replace"]


def test_names_are_free_again_after_a_rollback():
    graph = ModelGraph(seeded(ResNet))
    names = []
    for _ in range(2):
        mark = graph.draft.mark()
        names.append([section.name for section in graph.section("layer1.0").repeat(3)])
        names[-1] += [graph.node(name="fc").insert_after(torch.tanh).name]
        graph.draft.rollback(mark)
    assert names[0] == names[1] == ["layer1.0", "layer1.0_2", "layer1.0_3", "tanh"]


class Asserting(nn.Module):
    """Calls for their effect: nothing reads their results."""

    def __init__(self):
        super().__init__()
        self.first, self.check = nn.Linear(4, 4), Check()

    def forward(self, x):
        return self.check(self.first(x))


class Check(nn.Module):
    def forward(self, x):
        torch._assert(x.shape[1] == 4, "four")
        y = x * 2
        y.add_(1)
        return y


def test_calls_for_their_effect_stay_until_they_are_deleted():
    model = seeded(Asserting)
    graph = ModelGraph(model, example_input=ROWS)
    assert same(graph.module()(ROWS), model(ROWS))
    with pytest.raises(AssertionError, match="four"):
        graph.module()(torch.ones(1, 1, 4)[:, :, :4].expand(1, 3, 4))
    graph.section("check").repeat(2)
    assert same(graph.module()(ROWS), model.check(model(ROWS)))
    for section in graph.sections("check*"):
        section.delete()
    assert same(graph.module()(ROWS), model.first(ROWS))
    assert [node.name for node in graph.nodes] == ["x", "first", "output"]


def test_new_parts_follow_the_mode_of_the_model():
    model = seeded(ResNet).eval()
    model.layer1.train()
    graph = ModelGraph(model)
    graph.node(name="fc").insert_before(lambda: nn.Sequential(nn.Dropout(), nn.ReLU()))
    graph.section("layer1.1").repeat(2)
    graph.node(name="layer1.0.conv1").update(kernel_size=1, padding=0)
    modes = {name: module.training for name, module in graph.module().named_modules()}
    assert not any(mode for name, mode in modes.items() if name.startswith(("sequential", "fc", "layer2")))
    assert modes["layer1.1_2.bn1"] is modes["layer1.0.conv1"] is True
