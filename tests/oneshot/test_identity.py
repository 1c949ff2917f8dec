import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from lanista import ModelSpace
from lanista.nn import Cell, InputChoice, LayerChoice, NasBench101Cell, Repeat
from lanista.oneshot.identity import Mixing, Path, slots
from lanista.space import choice
from tests.oneshot.spaces import LAYERS
from tests.testing.test_primitives import SPACES


def paths(space, architecture, kind=Path):
    """What the weights of a model are called."""
    with space.answers(architecture, kind) as context:
        model = space.create()
    return [slot.key.path for slot in slots(model, context) if slot.name == "weight" or kind is Mixing]


def linear():
    return nn.Linear(4, 4)


def listed():
    return nn.Sequential(
        linear(), *Repeat(linear, (0, 2), label="r"), LayerChoice([linear, nn.ReLU], label="c"), linear()
    )


def test_names_in_lists_do_not_count_repetitions():
    space = ModelSpace(listed)
    assert paths(space, {"r": 0, "c": 0}) == ["0.weight", "1[c=0].weight", "2.weight"]
    assert paths(space, {"r": 2, "c": 1}) == ["0.weight", "r=0.weight", "r=1.weight", "2.weight"]


def test_numbers_that_are_names_are_kept():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleDict({"1": linear(), "5": linear()})

    assert paths(ModelSpace(Named), {}) == ["layers.1.weight", "layers.5.weight"]


@pytest.mark.parametrize(
    ("builder", "architecture", "expected"),
    [
        (lambda: LayerChoice({"a": linear}, label="c"), {"c": "a"}, ["[c=a].weight"]),
        (lambda: Repeat(linear, (1, 2), label="r"), {"r": 1}, ["r=0.weight"]),
        (
            lambda: LayerChoice({"x": lambda: LayerChoice({"y": linear}, label="in")}, label="out"),
            {"out": "x", "in": "y"},
            ["[out=x][in=y].weight"],
        ),
        (
            lambda: Repeat(lambda: LayerChoice({"a": linear}, label="c"), (1, 2), label="r"),
            {"r": 1, "c": "a"},
            ["r=0[c=a].weight"],
        ),
        (
            lambda: Cell({"a": linear}, 1, 2, label="k"),
            {"k/op_1_0": "a", "k/input_1_0": 0, "k/op_1_1": "a", "k/input_1_1": 0},
            ["k/0->1=a.weight", "k/0->1=a.weight"],
        ),
        (lambda: nn.Sequential(parametrizations.weight_norm(linear())), {}, []),
    ],
)
def test_names_of_candidates(builder, architecture, expected):
    assert paths(ModelSpace(builder), architecture) == expected


def test_a_cell_of_nas_bench_101_has_candidates_of_its_own():
    candidates = {name: lambda f: nn.Linear(f, f) for name in "ab"}
    space = ModelSpace(NasBench101Cell, candidates, 4, 4, nn.Linear, 3, label="k")
    architecture = {"k/num_nodes": 3, "k/op1": "b", "k/input1": [0], "k/input2": [1]}
    assert paths(space, architecture) == ["projection_1.weight", "op_1[k/op1=b].weight"]


WHOLE = (
    "NasBench101Cell",
    "NasBench201Cell",
    "Cell, one predecessor",
    "Repeat in a list",
    "nested",
    "layers and widths",
)


@pytest.mark.parametrize("name", WHOLE)
def test_a_model_of_all_options_has_the_names_of_all_models(name):
    space = {**SPACES, **LAYERS}[name]()
    every = set(paths(space, {d.label: d.domain.default() for d in space.decisions}, Mixing))
    for seed in range(5):
        assert set(paths(space, space.sample(seed))) <= every


def test_parametrized_weights_are_their_layers():
    def build():
        return nn.Sequential(parametrizations.weight_norm(nn.Conv1d(2, 2, 3)), parametrizations.spectral_norm(linear()))

    space = ModelSpace(build)
    with space.answers({}, Path) as context:
        model = space.create()
    owners = {slot.key.path: (type(slot.owner).__name__, slot.role) for slot in slots(model, context)}
    assert owners["0.parametrizations.weight.original1"] == ("ParametrizedConv1d", "weight")
    assert owners["1.parametrizations.weight.0._u"] == ("ParametrizedLinear", "weight")
    assert owners["1.bias"] == ("ParametrizedLinear", "bias")


def test_classes_share_nothing_and_the_context_knows_why_not():
    class Norms(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = choice({"bn": nn.BatchNorm1d, "ln": nn.LayerNorm}, label="norm")(4)
            self.pick = InputChoice(2, 2, "concat", label="pick")

    space = ModelSpace(Norms)
    kinds = set()
    for norm in ("bn", "ln"):
        with space.answers({"norm": norm, "pick": [0, 1]}, Mixing) as context:
            model = space.create()
        kinds |= {slot.key.kind for slot in slots(model, context)}
    assert len(kinds) == 2
    assert context.asked == {"norm", "pick"}
    assert context.whole == {"pick"}
    assert set(context.obstacles) == {"pick"}
    assert torch.is_tensor(model.norm.weight)
