import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.export import write_folder
from lanista.graph import ModelGraph, Mutator
from lanista.nn import LayerChoice, Placeholder


def net(classes=2):
    return nn.Sequential(nn.Linear(4, 8), Placeholder("block", width=8, place=[0, 1]), nn.Linear(8, classes))


def test_it_does_nothing_and_is_plain_torch(tmp_path):
    model = ModelSpace(net).build({})
    assert type(model[1]) is nn.Identity
    x = torch.randn(3, 4)
    assert torch.equal(model(x), model[2](model[0](x)))
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (again[1].label, again[1].info) == ("block", {"width": 8, "place": [0, 1]})
    write_folder(model, tmp_path / "folder", card={}, architecture={}, example_input=x)


class Fill(Mutator):
    def mutate(self, graph):
        for node in graph.find(label="block"):
            width = node.info["width"]
            layers = {"linear": partial(nn.Linear, width, width), "norm": partial(nn.LayerNorm, width)}
            node.replace(LayerChoice(layers))


def test_a_mutator_fills_it():
    space = ModelSpace(net, mutators=[Fill()], example_input=torch.zeros(1, 4))
    assert space.decisions.labels == ("Fill1/LayerChoice1",)
    assert type(space.build({"Fill1/LayerChoice1": "norm"}).get_submodule("1")) is nn.LayerNorm


@pytest.mark.parametrize("make", [lambda: LayerChoice([lambda: Placeholder("x")]), lambda: Placeholder("x")])
def test_it_may_stand_where_a_layer_may(make):
    assert ModelGraph(nn.Sequential(make())).node(label="x").info == {}
