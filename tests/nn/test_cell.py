from functools import partial

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import Cell, LayerChoice
from lanista.space import Categorical, Decision, SearchSpace, choice


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Swap(nn.Module):
    def forward(self, tensors):
        return [tensors[1], tensors[0]]


class Pair(nn.Module):
    def forward(self, cell, inputs):
        return inputs[-1], cell


A, B = torch.full((2, 1, 3), 1.0), torch.full((2, 1, 3), 10.0)
TIMES = {"2": partial(Times, 2), "3": lambda: Times(3), "5": Times(5)}


def build(architecture, *arguments, **named):
    return ModelSpace(Cell, TIMES, *arguments, label="c", **named).build(architecture)


def answers(**named):
    """op_2_0="3", input_2_0=1, ... as an architecture."""
    return {f"c/{name}": value for name, value in named.items()}


def test_labels_count_nodes_from_the_number_of_predecessors():
    space = ModelSpace(Cell, TIMES, 2, 2, 2, label="c")
    assert space.decisions == SearchSpace(
        {
            f"c/{kind}_{node}_{k}": Categorical(["2", "3", "5"]) if kind == "op" else Categorical(range(node))
            for node in (2, 3)
            for k in (0, 1)
            for kind in ("op", "input")
        }
    )
    assert ModelSpace(Cell, [nn.Tanh], 1).decisions.labels == ("Cell1/op_1_0", "Cell1/input_1_0")


TWO = answers(op_2_0="2", input_2_0=0, op_2_1="3", input_2_1=1, op_3_0="5", input_3_0=2, op_3_1="2", input_3_1=0)
NODE2 = 2 * A + 3 * B
NODE3 = 5 * NODE2 + 2 * A


@pytest.mark.parametrize(
    ("named", "expected", "outputs"),
    [
        ({}, torch.cat([NODE2, NODE3], 1), [2, 3]),
        ({"concat_dim": -1}, torch.cat([NODE2, NODE3], 2), [2, 3]),
        ({"merge_op": "loose_end"}, NODE3, [3]),
    ],
)
def test_a_node_is_the_sum_of_its_operations(named, expected, outputs):
    cell = build(TWO, 2, 2, 2, **named)
    assert torch.equal(cell([A, B]), expected)
    assert torch.equal(cell((A, B)), expected)
    assert cell.output_node_indices == outputs
    assert list(dict(cell.named_children())) == ["op_2_0", "op_2_1", "op_3_0", "op_3_1"]


def test_several_loose_ends_are_concatenated():
    loose = {**TWO, "c/input_3_0": 1}
    assert torch.equal(build(loose, 2, 2, 2, "loose_end")([A, B]), torch.cat([NODE2, 5 * B + 2 * A], 1))


def test_processors_are_part_of_the_module():
    cell = build(TWO, 2, 2, 2, preprocessor=Swap(), postprocessor=Pair())
    before, merged = cell([B, A])
    assert before is A
    assert torch.equal(merged, torch.cat([NODE2, NODE3], 1))


def test_with_one_predecessor_it_takes_the_tensor():
    one = answers(op_1_0="3", input_1_0=0, op_2_0="5", input_2_0=1)
    assert torch.equal(build(one, 2)(A), torch.cat([3 * A, 15 * A], 1))
    before, merged = build(one, 2, postprocessor=Pair())(A)
    assert before is A
    assert torch.equal(merged, torch.cat([3 * A, 15 * A], 1))


def test_cells_chain_in_a_sequential():
    def net():
        cells = [Cell(TIMES, 1, 2, 2, postprocessor=Pair(), label="c") for _ in range(3)]
        return nn.Sequential(*cells)

    space = ModelSpace(net)
    assert len(space.decisions) == 4
    fibonacci = answers(op_2_0="2", input_2_0=0, op_2_1="3", input_2_1=1)
    _, last = space.build(fibonacci)([A, B])
    assert torch.equal(last, torch.full_like(A, 2 * 32 + 3 * (2 * 10 + 3 * 32)))


def test_factories_get_node_operation_and_input():
    called = []

    def factory(node, op, source):
        called.append((node, op, source))
        return nn.Identity()

    space = ModelSpace(Cell, [factory], 2, 2, 2, label="c")
    assert set(called) == {(2, k, i) for k in (0, 1) for i in (0, 1)} | {(3, k, i) for k in (0, 1) for i in (0, 1, 2)}
    called.clear()
    space.build({**{f"c/op_{node}_{k}": 0 for node in (2, 3) for k in (0, 1)}, **{
        "c/input_2_0": 1, "c/input_2_1": 0, "c/input_3_0": 2, "c/input_3_1": 1,
    }})  # fmt: skip
    assert called == [(2, 0, 1), (2, 1, 0), (3, 0, 2), (3, 1, 1)]


def test_a_module_is_copied_for_each_use():
    given = nn.Linear(3, 3)
    cell = Cell([given], 2)
    assert len({id(cell.op_1_0.weight), id(cell.op_2_0.weight), id(given.weight)}) == 3
    assert torch.equal(cell.op_2_0.weight, given.weight)


def test_what_a_candidate_asks_exists_only_with_it_and_its_input():
    def asks(node, op, source):
        return Times(choice([2, 3], label=f"factor{node}")) if source == 1 else Times(choice([4, 5]))

    space = ModelSpace(Cell, {"plain": nn.Identity, "asks": asks}, 2, label="c")
    when = {d.label: d.when for d in space.decisions if d.when}
    assert when == {
        "c/op_1_0/asks/choice1": ({"c/op_1_0": ("asks",)},),
        "c/op_2_0/asks/choice1": ({"c/op_2_0": ("asks",), "c/input_2_0": (0,)},),
        "factor2": ({"c/op_2_0": ("asks",), "c/input_2_0": (1,)},),
    }
    for architecture in space.decisions.grid():
        space.build(architecture)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_cell_within_a_candidate_has_labels_of_its_own(depth):
    space = ModelSpace(Cell, [lambda node, op, source: Cell([nn.Tanh, nn.ReLU], 1)], 1 + depth, label="c")
    labels = [label for label in space.decisions.labels if "Cell1" in label]
    assert labels[:2] == ["c/op_1_0/0/Cell1/op_1_0", "c/op_1_0/0/Cell1/input_1_0"]
    assert len(labels) == 2 * (1 + depth)


def test_a_reduction_cell_strides_on_its_inputs_alone():
    def net():
        def op(stride, node, k, source):
            return nn.Conv2d(2, 2, 1, stride if source < 2 else 1)

        return Cell({"conv": partial(op, 2)}, 3, 2, 2, label="reduce")

    space = ModelSpace(net)
    images = [torch.zeros(1, 2, 8, 8)] * 2
    assert all(space.build(space.sample(seed))(images).shape == (1, 6, 4, 4) for seed in range(10))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: Cell([nn.Tanh], 0), ["num_nodes is 0", "at least 1"]),
        (lambda: Cell([nn.Tanh], 1, 0), ["num_ops_per_node is 0"]),
        (lambda: Cell([nn.Tanh], 1, 1, True), ["num_predecessors is True"]),
        (lambda: Cell([nn.Tanh], 1, merge_op="sum"), ["merge_op is 'sum'", "'all' or 'loose_end'"]),
        (lambda: Cell([], 1), ["no candidate"]),
        (lambda: Cell([3], 1), ["candidate 0 is 3"]),
        (lambda: Cell({"a": lambda: 3}, 1, label="c"), ["candidate 'a' of 'c/op_1_0' built 3"]),
        (lambda: Cell([nn.Tanh], 1, preprocessor=len), ["preprocessor is", "torch.nn.Module"]),
        (lambda: Cell([nn.Tanh], 1, postprocessor=Pair), ["postprocessor is", "(type)"]),
    ],
)
def test_a_misuse_says_what_to_do(ask, words):
    with pytest.raises(SpaceError) as caught:
        ask()
    assert all(word in str(caught.value) for word in words), caught.value


def test_decisions_are_asked_in_the_order_of_nodes():
    first = next(iter(ModelSpace(Cell, TIMES, 1, label="c").decisions))
    assert first == Decision("c/op_1_0", Categorical(["2", "3", "5"]))


def test_shared_candidates_are_traced_once_in_each_scope():
    called = []

    def asks(node, op, source):
        called.append(source)
        return Times(choice([2, 3], label="factor"))

    candidates = {"asks": asks, "plain": nn.Identity}

    def cells():
        return nn.Sequential(*(Cell(candidates, 1, 1, 2, postprocessor=Pair(), label="c") for _ in range(3)))

    space = ModelSpace(LayerChoice, {"one": cells, "none": nn.Identity, "other": cells}, label="body")
    # All of the first cell, and what was chosen in the two others; the same in the other branch. (Then a probe.)
    assert called[:8] == [0, 1, 0, 0] * 2
    when = {decision.label: decision.when for decision in space.decisions}
    assert when["factor"] == ({"body": ("one", "other"), "c/op_2_0": ("asks",)},)


def test_other_candidates_of_the_same_label_are_traced_too():
    def net():
        first = Cell({"a": nn.Identity}, 1, label="c")
        return nn.Sequential(first, Cell({"a": lambda: Times(choice([2, 3], label="factor"))}, 1, label="c"))

    assert "factor" in ModelSpace(net).decisions
