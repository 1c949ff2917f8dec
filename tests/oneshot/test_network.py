import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import OneShotError
from lanista.nn import AutoActivation, Cell, InputChoice, LayerChoice, NasBench101Cell, Repeat
from lanista.nn.mixture import Mixture
from lanista.oneshot import DARTS, SPOS, Network, Supernet
from lanista.space import choice, real
from lanista.testing.supernets import supernet
from tests.oneshot.spaces import LAYERS, VECTOR
from tests.oneshot.test_supernet import mutated


def linear():
    return nn.Linear(6, 6)


def read():
    """User code that reads an attribute of what a question gave."""
    first = LayerChoice([linear, lambda: nn.Linear(6, 4)], label="first")
    return nn.Sequential(first, nn.Linear(first.out_features, 2))


def valued(question):
    def build():
        value = question()
        return nn.Sequential(linear(), {"relu": nn.ReLU(), "tanh": nn.Tanh()}.get(value) or nn.Dropout(value))

    return build


class Indexed(nn.Module):
    """Takes the blocks of a Repeat by their numbers."""

    def __init__(self):
        super().__init__()
        self.blocks = Repeat(linear, (1, 2), label="depth")

    def forward(self, x):
        return sum(x + block(x) for block in self.blocks)


class Shaped(nn.Module):
    """Options whose outputs have different shapes."""

    def __init__(self):
        super().__init__()
        self.layer = LayerChoice([linear, lambda: nn.Linear(6, 3)], label="layer")

    def forward(self, x):
        return self.layer(x).sum(1)


OBSTACLES = {
    "attributes": (read, ["first"], "cannot be built with all options at once (AttributeError"),
    "strings": (valued(lambda: choice(["relu", "tanh"], label="act")), ["act"], "ask with LayerChoice"),
    "real numbers": (valued(lambda: real(0.1, 0.5, label="rate")), ["rate"], "more than 16 values"),
    "rates": (valued(lambda: choice([0.1, 0.5], label="rate")), ["rate"], "dropout rate"),
    "activations": (lambda: AutoActivation(label="f"), ["f/unary_0", "f/unary_1", "f/binary_0"], "one formula"),
    "loose ends": (
        lambda: Cell([linear], 2, 1, 1, "loose_end", concat_dim=0, label="k"),
        ["k/op_1_0", "k/input_1_0", "k/op_2_0", "k/input_2_0"],
        "loose_end",
    ),
    "NAS-Bench-101": (
        lambda: NasBench101Cell([lambda f: nn.Linear(f, f)], 6, 6, nn.Linear, 3, label="k"),
        ["k/num_nodes", "k/op1", "k/input1", "k/input2"],
        "whole graph",
    ),
    "depths": (Indexed, ["depth"], "a chosen layer is not only called"),
    "shapes": (Shaped, ["layer"], "different shapes"),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_cannot_be_mixed_is_named_with_the_reason(name):
    builder, labels, words = OBSTACLES[name]
    network = Network(supernet(ModelSpace(builder, example_input=VECTOR)))
    if name == "shapes":  # each architecture alone can be selected
        with pytest.raises(OneShotError, match=words):
            network.mix({"layer": Mixture(torch.tensor([[0.5, 0.5]]))})(VECTOR)
        return
    assert set(network.obstacles) == set(labels)
    assert all(words in reason for reason in network.obstacles.values())
    for call in (lambda: network.mix({}), lambda: network.select(network.supernet.space.sample(0))):
        with pytest.raises(OneShotError) as error:
            call()
        assert all(f"{label!r}: " in str(error.value) for label in labels)
        assert "SPOS" in str(error.value)


@pytest.mark.parametrize("reduction", ["concat", "none"])
def test_several_inputs_that_are_not_added_cannot_be_mixed(reduction):
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.pick = InputChoice(3, 2, reduction, label="pick")

        def forward(self, x):
            return self.pick([x, 2 * x, 3 * x])

    network = Network(supernet(ModelSpace(Joined, example_input=VECTOR)))
    assert reduction in network.obstacles["pick"]


def test_mutators_edit_one_model_at_a_time():
    network = Network(supernet(mutated()))
    assert ["mutators" in reason for label, reason in network.obstacles.items() if label.endswith("first")] == [True]


def test_a_loop_over_blocks_needs_an_example():
    space = ModelSpace(lambda: nn.Sequential(*Repeat(linear, (1, 2), label="depth")))
    assert "example_input" in Network(supernet(space)).obstacles["depth"]


def test_methods_negotiate_at_the_start():
    net = supernet(ModelSpace(read, example_input=VECTOR))
    with pytest.raises(OneShotError, match=r"(?s)search with DARTS.*'first'.*AttributeError.*SPOS"):
        DARTS().start(net, steps=1)
    SPOS().start(net, steps=1)


def test_paths_do_not_wait_for_what_masks_find_out(monkeypatch):
    def never(*_):
        raise AssertionError("masks were looked for")

    monkeypatch.setattr("lanista.oneshot.network.find", never)
    space = LAYERS["widths"]()
    network = Network(supernet(space))
    network.sub(space.sample(0))


def test_a_question_with_one_option_and_a_space_with_none():
    one = Network(supernet(ModelSpace(LayerChoice, {"a": linear}, label="only", example_input=VECTOR)))
    assert one.complete
    assert one.select({"only": "a"})(VECTOR).shape == VECTOR.shape
    assert one.strongest({"only": [[1.0]]}, 3) == [{"only": "a"}]
    none = Network(Supernet(ModelSpace(linear, example_input=VECTOR)))
    assert none.complete
    assert none.relaxations == {}
    assert torch.equal(none.mix({})(VECTOR), none.supernet.path({})(VECTOR))
    assert none.strongest({}, 2) == [{}]


def test_sub_is_selected_where_that_is_exact_and_free_and_built_elsewhere():
    exact = Network(supernet(LAYERS["nested"]()))
    assert exact.sub(exact.supernet.space.sample(0)) is exact.model
    masked = Network(supernet(LAYERS["widths"]()))
    assert not masked.complete
    assert masked.sub(masked.supernet.space.sample(0)) is not masked.model


def test_layers_that_change_their_input_do_not_change_that_of_others():
    def build():
        options = {"relu": lambda: nn.ReLU(inplace=True), "keep": nn.Identity}
        return nn.Sequential(linear(), LayerChoice(options, label="act"))

    network = Network(supernet(ModelSpace(build, example_input=VECTOR)))
    y = network.model[0](VECTOR)
    mixed = network.mix({"act": Mixture(torch.tensor([[0.25, 0.75]]))})(VECTOR)
    torch.testing.assert_close(mixed, 0.25 * y.relu() + 0.75 * y)


def test_the_mode_is_that_of_the_supernet():
    network = Network(supernet(LAYERS["dropout"]()))
    architecture = network.supernet.space.sample(0)
    assert network.select(architecture).training
    network.supernet.eval()
    assert not network.select(architecture).training
