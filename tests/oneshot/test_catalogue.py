from functools import cache

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.oneshot import Supernet
from lanista.oneshot.identity import Path, slots
from lanista.space import choice
from tests.oneshot.hub import made
from tests.oneshot.spaces import LAYERS

SPACES = {**LAYERS, **{name: lambda name=name: made(name) for name in ("NASBench201", "MnasNet", "AutoFormer")}}


@cache
def supernet(name):
    return Supernet(SPACES[name]())


@pytest.mark.parametrize("name", SPACES)
def test_it_has_each_shared_parameter_once_and_as_it_is(name):
    shared = supernet(name)
    whole = shared.catalogue()
    held = [weight for weight in whole.parameters() if weight is not None]
    assert {id(weight) for weight in held} == {id(weight) for weight in shared.parameters()}
    assert all(isinstance(weight, nn.Parameter) for weight in held)
    assert not list(whole.buffers())


@pytest.mark.parametrize("name", SPACES)
def test_each_is_in_a_module_of_a_kind_that_models_have(name):
    shared = supernet(name)
    kinds = {(id(w), type(m).__name__) for m in shared.catalogue().modules() for w in m._parameters.values()}
    for seed in range(3):
        model, context = shared.skeleton(shared.space.sample(seed), Path)
        places = [(slot.module, slot.name) for slot in slots(model, context) if not slot.buffer]
        shared.bind(model, context)
        held = {}
        for module, role in places:
            held.setdefault(id(module._parameters[role]), type(module).__name__)  # where it is tied, the first counts
        whole = {id(weight) for weight in shared.parameters()}  # others are slices
        assert {(number, kind) for number, kind in held.items() if number in whole} <= kinds


def test_what_stands_in_one_place_stands_side_by_side():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            bias = choice([False, True], label="bias")
            if choice(["one", "two"], label="kind") == "one":
                self.body[1] = nn.LayerNorm(4)
            else:
                self.tail = nn.Linear(4, 4, bias=bias)

        def forward(self, x):
            return self.body(x)

    whole = Supernet(ModelSpace(Two, example_input=torch.zeros(2, 4))).catalogue()
    names = [name for name, _ in whole.named_parameters()]
    assert sorted(name.split(".")[0] for name in names if "tail" in name) in (["tail"] * 2, ["tail/Linear/1"] * 2)
    linear = [module for module in whole.modules() if isinstance(module, nn.Linear)]
    norms = [module for module in whole.body.modules() if isinstance(module, nn.LayerNorm)]
    assert len(linear) == 2
    assert len(norms) == 1
    assert len({id(w) for w in whole.parameters()}) == 6
