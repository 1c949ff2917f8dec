from functools import partial
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lanista import ModelSpace
from lanista.errors import ArchitectureError, SpaceError
from lanista.nn import LayerChoice, NasBench101Cell
from lanista.nn.nasbench101 import channels
from lanista.space import Categorical, Decision, Integer, Subset, choice, dag


class Times(nn.Module):
    def __init__(self, factor, features):
        super().__init__()
        self.factor, self.features = factor, features

    def forward(self, x):
        assert x.shape[1] == self.features
        return x * self.factor


class Widen(nn.Module):
    """The first feature, as often as wanted."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return x[:, :1].repeat(1, self.outputs)


OPS = {"2": partial(Times, 2), "3": partial(Times, 3)}
X = torch.ones(2, 3)


def built(edges, ops, in_features=3, out_features=6, **named):
    count = len(ops) + 2
    matrix = tuple(tuple(int((i, j) in edges) for j in range(count)) for i in range(count))
    space = ModelSpace(NasBench101Cell, OPS, in_features, out_features, Widen, label="c", **named)
    return space.build(dag.architecture(matrix, ops, "c"))


def test_what_is_asked_depends_on_the_number_of_vertices():
    space = ModelSpace(NasBench101Cell, OPS, 3, 4, Widen, 4, label="c").decisions
    assert list(space) == [
        Decision("c/num_nodes", Integer(2, 4)),
        Decision("c/op1", Categorical(["2", "3"]), {"c/num_nodes": (3, 4)}),
        Decision("c/op2", Categorical(["2", "3"]), {"c/num_nodes": (4,)}),
        Decision("c/input1", Subset([0], 1)),
        Decision("c/input2", Subset([0, 1], (1, 2)), {"c/num_nodes": (3, 4)}),
        Decision("c/input3", Subset([0, 1, 2], (1, 3)), {"c/num_nodes": (4,)}),
    ]
    assert space.size == 1 + 2 * 3 + 4 * 3 * 7


def test_the_smallest_cell_is_a_projection():
    cell = built([(0, 1)], ())
    assert list(dict(cell.named_children())) == ["projection_1"]
    assert cell(X).shape == (2, 6)


def test_vertices_add_and_the_output_concatenates_and_adds_the_input():
    cell = built([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (0, 3)], ("2", "3"))
    # Vertex 1: 2 x; vertex 2: 3 (2 x + x); the output: both side by side, each with 3 of 6 features, plus x.
    assert torch.equal(cell(X), torch.tensor([[3.0, 3, 3, 10, 10, 10]] * 2))
    assert list(dict(cell.named_children())) == ["projection_1", "op_1", "projection_2", "op_2", "projection_3"]


def test_a_tensor_with_too_many_features_is_cut():
    # Vertex 1 leads to 2 and 3, which share 5 features as 3 and 2: it has 3, of which vertex 3 takes 2.
    cell = built([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)], ("2", "2", "3"), out_features=5)
    assert [cell.get_submodule(f"op_{i}").features for i in (1, 2, 3)] == [3, 3, 2]
    assert torch.equal(cell(X), torch.tensor([[4.0, 4, 4, 6, 6]] * 2))


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        # From the benchmark's rules, section 2 of the paper's appendix and `compute_vertex_channels` of its code.
        ([(0, 1)], [3, 128]),
        ([(0, 1), (1, 2)], [3, 128, 128]),
        ([(0, 1), (0, 2), (1, 3), (2, 3)], [3, 64, 64, 128]),
        ([(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], [3, 43, 43, 42, 128]),
        ([(0, 1), (1, 2), (2, 3), (0, 3)], [3, 128, 128, 128]),
        ([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 4)], [3, 64, 64, 64, 128]),
    ],
)
def test_features_are_shared_as_in_the_benchmark(edges, expected):
    matrix = tuple(tuple(int((i, j) in edges) for j in range(len(expected))) for i in range(len(expected)))
    assert channels(matrix, 3, 128) == expected


def test_vertices_that_lead_nowhere_are_left_out_and_their_questions_answered():
    ops = {"asks": lambda features: Times(choice([2, 3]), features)}
    space = ModelSpace(NasBench101Cell, ops, 3, 4, Widen, 4, label="c")
    assert [d.when for d in space.decisions if "choice1" in d.label] == [
        ({"c/num_nodes": (3, 4)},),
        ({"c/num_nodes": (4,)},),
    ]
    cell = space.build(
        {
            "c/num_nodes": 4,
            **{"c/op1": "asks", "c/op1/asks/choice1": 3, "c/op2": "asks", "c/op2/asks/choice1": 2},
            **{"c/input1": [0], "c/input2": [0, 1], "c/input3": [1]},
        }
    )
    assert list(dict(cell.named_children())) == ["projection_1", "op_1"]
    assert torch.equal(cell(X), torch.full((2, 4), 3.0))


def test_too_many_edges_after_pruning_are_refused():
    every = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert built(every, ("2", "2", "3"), max_num_edges=10)(X).shape == (2, 6)
    with pytest.raises(ArchitectureError, match=r"'c' has 10 edges after pruning, and max_num_edges is 9; take"):
        built(every, ("2", "2", "3"))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.integers(6, 40))
def test_every_valid_cell_gives_the_wanted_features(seed, width):
    space = ModelSpace(NasBench101Cell, OPS, 3, width, Widen, label="c")
    architecture = space.sample(seed)
    assert dag.is_valid(architecture, "c")
    cell = space.build(architecture)
    assert cell(X).shape == (2, width)
    assert len([name for name, _ in cell.named_children() if "op" in name]) == len(dag.graph(architecture, "c")[1])


def test_the_space_is_limited_where_it_can_have_too_many_edges():
    def net(most):
        cell = {"label": "c", "max_num_nodes": most}
        return nn.Sequential(*(NasBench101Cell(OPS, 3, 3, Widen, **cell) for _ in range(3)))

    assert not ModelSpace(net, 4).decisions.limits
    space = ModelSpace(net, 7).decisions
    assert [limit.describe() for limit in space.limits] == ["edges of c at most 9"]
    for seed in range(20):
        mutant = space.mutate(space.sample(seed), Random(seed))
        assert dag.is_valid(mutant, "c")


def test_the_limit_holds_where_there_is_no_cell():
    space = ModelSpace(LayerChoice, [nn.Identity, lambda: NasBench101Cell(OPS, 3, 3, Widen, label="c")], label="op")
    assert not space.decisions.violations({"op": 0})
    assert {space.sample(seed)["op"] for seed in range(20)} == {0, 1}


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: NasBench101Cell(OPS, 3, 4, Widen, 1), ["max_num_nodes is 1", "at least 2"]),
        (lambda: NasBench101Cell(OPS, 3, 4, Widen, 7, 0), ["max_num_edges is 0", "at least 1"]),
        (lambda: NasBench101Cell(OPS, 3, 4, lambda i, o: 3), ["the projection to 4", "built 3"]),
        (lambda: NasBench101Cell({}, 3, 4, Widen), ["no candidate"]),
        (lambda: built([(0, 1), (0, 2), (1, 3), (2, 3)], ("2", "2"), out_features=1), ["out_features is 1", "2 vert"]),
    ],
)
def test_a_misuse_says_what_to_do(ask, words):
    with pytest.raises(SpaceError) as caught:
        ask()
    assert all(word in str(caught.value) for word in words), caught.value
