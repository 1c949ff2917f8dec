import pytest
import torch
from torch import nn

from lanista import ModelSpace, choice
from lanista.hub import AutoFormer, NASBench201
from lanista.nn import LayerChoice, Repeat
from lanista.oneshot.extreme import extremes
from lanista.profile import parameters
from tests.oneshot.paths import SPACES, supernet


def found(space):
    return extremes(supernet(space))


def elastic():
    """The greatest numbers make the largest model, but for groups; a rate changes nothing."""
    width, kernel = choice([8, 4], label="width"), choice([3, 5], label="kernel")
    groups, rate = choice([1, 4], label="groups"), choice([0.1, 0.5], label="rate")

    def inner():
        hidden = choice([2, 6], label="hidden")
        return nn.Sequential(nn.Conv1d(width, hidden, 1), nn.Conv1d(hidden, width, 1))

    return nn.Sequential(
        nn.Conv1d(4, width, kernel, padding=kernel // 2, groups=groups),
        LayerChoice({"skip": nn.Identity, "inner": inner, "pool": lambda: nn.MaxPool1d(1)}, label="inner"),
        Repeat(lambda: nn.BatchNorm1d(width), (1, 3), label="depth"),
        nn.Dropout(rate),
    )


def test_the_largest_has_the_most_parameters_and_the_smallest_the_fewest():
    space = ModelSpace(elastic, example_input=torch.zeros(2, 4, 6))
    largest, smallest = found(space)
    assert largest == {
        "width": 8, "kernel": 5, "groups": 1, "rate": 0.5, "inner": "inner", "hidden": 6, "depth": 3
    }  # fmt: skip
    assert smallest == {"width": 4, "kernel": 3, "groups": 4, "rate": 0.1, "inner": "skip", "depth": 1}
    cost = space.cost(parameters)
    costs = [cost.of(architecture) for architecture in space.decisions.grid()]
    assert (cost.of(largest), cost.of(smallest)) == (max(costs), min(costs))


def test_in_spaces_of_the_hub():
    largest, smallest = found(NASBench201(width=4, num_cells=1))
    assert set(largest.values()) == {"nor_conv_3x3"}
    assert not {"nor_conv_3x3", "nor_conv_1x1"} & set(smallest.values())
    former = AutoFormer(3, embed_dims=(8, 16), heads=(1, 2), mlp_ratios=(1.5, 2.0), depths=(1, 2), image=32, patch=16)
    largest, smallest = found(former)
    assert (largest["embed_dim"], largest["depth"]) == (16, 2)
    assert [largest[f"block1/{what}"] for what in ("heads", "mlp_ratio")] == [2, 2.0]
    assert smallest == {"embed_dim": 8, "depth": 1, "block0/heads": 1, "block0/mlp_ratio": 1.5}


@pytest.mark.parametrize("most", [60, 80, 150])
def test_limits_are_kept_and_nothing_larger_is_a_step_away(most):
    free = ModelSpace(elastic, example_input=torch.zeros(2, 4, 6))
    space = free.constrain(parameters <= most, parameters >= 36)
    cost, decisions = space.cost(parameters), space.decisions
    largest, smallest = found(space)
    costs = sorted({cost.of(architecture) for architecture in decisions.grid()})
    assert not decisions.violations(largest) + decisions.violations(smallest)
    assert all(cost.of(near) <= cost.of(largest) for near in decisions.neighbours(largest))
    assert all(cost.of(near) >= cost.of(smallest) for near in decisions.neighbours(smallest))
    assert cost.of(largest) >= costs[-2]
    assert cost.of(smallest) == costs[0]


@pytest.mark.parametrize("name", SPACES)
def test_any_space_has_extremes(name):
    space = SPACES[name]()
    count = {}
    for architecture in (*found(space), space.sample(0), space.sample(1)):
        assert space.decisions.validate(architecture) == architecture
        assert not space.decisions.violations(architecture)
        count[len(count)] = sum(weight.numel() for weight in space.build(architecture).parameters())
    assert count[1] <= count[2] <= count[0]
    assert count[1] <= count[3] <= count[0]
