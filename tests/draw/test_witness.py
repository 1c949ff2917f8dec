import torch
from torch import nn

from lanista import ModelSpace, choice
from lanista.draw.witness import witnessed
from lanista.nn import LayerChoice, Repeat
from tests.draw.networks import IMAGE, Small, darts, mobile


def came_of(space, architecture):
    model, chosen = witnessed(space, space.decisions.validate(architecture))
    paths = {id(module): path for path, module in model.named_modules()}
    return {label: sorted(paths[i] for i in chosen if label in chosen[i]) for label in architecture}


def test_each_decision_has_the_modules_that_came_of_it():
    space = ModelSpace(Small, example_input=IMAGE)
    architecture = {"width": 16, "body": "wide", "factor": 2, "depth": 1, "skip": [0]}
    assert came_of(space, architecture) == {
        "width": [""], "body": ["body"], "factor": ["body"], "depth": ["tail"], "skip": ["skip"],
    }  # fmt: skip


def test_a_value_belongs_to_who_asks_for_it():
    space = ModelSpace(mobile)
    came = came_of(space, space.decisions.default())
    assert came["stage0/0/kernel"] == ["3.0"]
    assert came["stage2/1/expand"] == ["5.1"]
    assert came["stage1/depth"] == ["4"]


def test_a_repetition_gets_what_its_block_asks():
    def block():
        return nn.Linear(2, 2, bias=choice([True, False]))

    space = ModelSpace(lambda: nn.Sequential(Repeat(block, 2, label="r"), Repeat(block, (1, 2), label="d")))
    came = came_of(space, {"r/0/choice1": True, "r/1/choice1": True, "d": 2, "d/0/choice1": True, "d/1/choice1": True})
    assert came == {
        "r/0/choice1": [""], "r/1/choice1": [""], "d": ["1"], "d/0/choice1": ["1.0"], "d/1/choice1": ["1.1"],
    }  # fmt: skip


def test_one_label_may_have_many_modules():
    came = came_of(darts(cells=6), darts(cells=6).decisions.default())
    assert len(came["normal/op_2_0"]) == 4
    assert len(came["reduce/input_5_1"]) == 2


def test_building_needs_no_memory_and_draws_no_number():
    space = ModelSpace(lambda: nn.Linear(10**6, LayerChoice([nn.ReLU]) and 10**6))
    before = torch.get_rng_state()
    model, _ = witnessed(space, space.decisions.default())
    assert model.weight.is_meta
    assert torch.equal(before, torch.get_rng_state())


class Real(nn.Module):
    """A constructor that needs numbers."""

    def __init__(self):
        super().__init__()
        self.rates = [float(x) for x in torch.linspace(0, 0.1, choice([2, 3], label="n"))]


def test_a_constructor_that_needs_numbers_gets_them():
    space = ModelSpace(Real)
    model, chosen = witnessed(space, {"n": 3})
    assert len(model.rates) == 3 and chosen == {id(model): ["n"]}
