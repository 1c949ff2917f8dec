import pytest
import torch

from lanista.elastic.flow import follow
from lanista.elastic.plan import Axis, Stage, Wish, layers, plan
from lanista.elastic.trace import trace

from .models import make

WISH = Wish((0.25, 0.5, 0.75), 2, {"width", "heads", "hidden"}, ())


def planned(name, wish=WISH):
    model, example = make(name)
    return plan(follow(trace(model, example), model), model, wish)


def test_cuts_have_layers_and_followers():
    [cut] = [cut for cut in planned("densenet").cuts if cut.label == "stem/width"]
    assert cut.layers == ("stem", "steps.0.0", "steps.1.0", "steps.2.0")
    assert cut.followers == ("steps.0.2", "steps.1.2", "steps.2.2", "head")
    assert (cut.units, cut.each, cut.candidates) == (16, 1, (16, 12, 8, 4))


def test_groups_count_all_their_channels():
    [cut] = [cut for cut in planned("bottleneck").cuts if cut.label == "layer2.0.body.0/width"]
    assert (cut.units, cut.each, cut.candidates) == (4, 4, (16, 12, 8, 4))


def test_an_axis_of_several_cuts_keeps_what_all_of_them_keep():
    axis = Axis("w", 0, 6, {"a": torch.tensor([0, 1, 2, -1, -1, -1]), "b": torch.tensor([-1, -1, -1, 0, 1, -1])})
    assert axis.kept({}).tolist() == [0, 1, 2, 3, 4, 5]
    assert axis.kept({"a": 1, "b": 1}).tolist() == [0, 3, 5]


def test_positions_of_concatenated_channels():
    found = planned("densenet")
    axis = found.axes["steps.1.2.weight", 1]
    assert axis.kept({"stem/width": 4, "steps.0.2/width": 2}).tolist() == [0, 1, 2, 3, 16, 17]


def test_a_plan_without_a_decision_gives_the_reason():
    found = planned("mlp")
    less = found.without({"0/width": "it fails"})
    assert [cut.label for cut in less.cuts] == ["3/width"]
    assert (less.fixed["0"], less.fixed["1"]) == ("it fails", "it fails")
    assert ("3.weight", 1) not in less.axes
    assert ("3.weight", 0) in less.axes


@pytest.mark.parametrize("name", ["mlp", "resnet", "vit", "recurrent", "tied"])
def test_each_layer_is_in_a_cut_or_fixed(name):
    model, _ = make(name)
    found = planned(name)
    assert {layer for cut in found.cuts for layer in cut.layers} | found.fixed.keys() == set(layers(model))


def test_a_stage_drops_from_the_end():
    stage = Stage("a/depth", "a", (3, 2), ("0", "1", "2"))
    assert stage.dropped(2) == ("a.2",)
    assert Stage("depth", "", (3, 2), ("0", "1", "2")).dropped(1) == ("1", "2")
