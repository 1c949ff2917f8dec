import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import NasBench201Cell
from lanista.space import Categorical, SearchSpace


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


OPS = {"2": lambda inputs, outputs: Times(2), "3": lambda inputs, outputs: Times(3)}
X = torch.ones(2, 3)


def test_every_tensor_is_the_sum_over_earlier_ones():
    space = ModelSpace(NasBench201Cell, OPS, 3, 3, label="c")
    edges = ["0_1", "0_2", "1_2", "0_3", "1_3", "2_3"]
    assert space.decisions == SearchSpace({f"c/{edge}": Categorical(["2", "3"]) for edge in edges})
    cell = space.build({"c/0_1": "2", "c/0_2": "3", "c/1_2": "3", "c/0_3": "2", "c/1_3": "2", "c/2_3": "3"})
    one = 2 * X
    two = 3 * X + 3 * one
    assert torch.equal(cell(X), 2 * X + 2 * one + 3 * two)
    assert list(dict(cell.named_children())) == [f"op_{edge}" for edge in edges]


def test_operations_on_the_input_get_its_features():
    cell = NasBench201Cell([nn.Linear], 3, 5, 3)
    assert {name: (op.in_features, op.out_features) for name, op in cell.named_children()} == {
        "op_0_1": (3, 5),
        "op_0_2": (3, 5),
        "op_1_2": (5, 5),
    }
    assert cell(X).shape == (2, 5)


@pytest.mark.parametrize("number", [1, 2.0, None])
def test_there_are_at_least_two_tensors(number):
    with pytest.raises(SpaceError, match=f"num_tensors is {number}; it must be an integer of at least 2"):
        NasBench201Cell([nn.Linear], 3, 5, number)


def test_a_candidate_that_is_no_layer_is_named():
    with pytest.raises(SpaceError, match="candidate 0 of 'NasBench201Cell/0_1' built 3"):
        NasBench201Cell([lambda inputs, outputs: 3], 3, 5)
