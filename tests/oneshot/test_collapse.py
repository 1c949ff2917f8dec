import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.hub import NASBench201
from lanista.hub.nasbench201 import ENTRIES, architecture
from lanista.nn import Cell, LayerChoice
from lanista.oneshot import DARTS, Network
from lanista.oneshot.collapse import collapse, diagnose
from tests.oneshot.paths import SPACES, supernet

BEST = ENTRIES[0].known[0].architecture
EVEN, SURE = [0.25] * 4, [0.9999, 0.0001, 0.0, 0.0]


@pytest.fixture(scope="module")
def cells():
    return Network(supernet(NASBench201(width=4, num_cells=1)))


def every(operation):
    return dict.fromkeys(BEST, operation)


def test_a_good_cell_is_no_collapse(cells):
    assert collapse(cells, BEST) == []
    resnet = architecture("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|")
    assert collapse(cells, resnet) == []


def test_a_cell_of_skip_connections_is_reported(cells):
    [message] = collapse(cells, every("skip_connect"))
    assert message.startswith(
        "6 of 6 decisions are for options that give zeros or what they get; a uniform draw has 2.4"
    )
    assert "probability 0.0041: cell/0_1, " in message


def test_a_cell_without_a_path_is_reported(cells):
    trivial, blind = collapse(cells, every("none"))
    assert "6 of 6 decisions" in trivial
    assert blind == "the model gives the same for different inputs: no path leads through it"
    closed = {**BEST, "cell/0_3": "none", "cell/1_3": "none", "cell/2_3": "none"}
    assert collapse(cells, closed) == [blind]


def test_poolings_have_no_parameters_and_do_something(cells):
    found = diagnose(cells, every("avg_pool_3x3"))
    nothing, little = found.shares
    assert nothing.labels == ()
    assert (len(little.labels), little.total, little.expected) == (6, 6, pytest.approx(3.6))
    assert little.chance == pytest.approx(0.6**6)
    [message] = found.messages
    assert message.startswith("6 of 6 decisions are for options that have no parameters")


def test_chances_are_those_of_uniform_draws(cells):
    mixed = {**every("nor_conv_3x3"), "cell/0_1": "none", "cell/0_2": "skip_connect"}
    nothing, _ = diagnose(cells, mixed).shares
    assert set(nothing.labels) == {"cell/0_1", "cell/0_2"}
    draws = [cells.supernet.space.sample(seed) for seed in range(2000)]
    counts = [sum(value in ("none", "skip_connect") for value in draw.values()) for draw in draws]
    assert nothing.expected == pytest.approx(sum(counts) / 2000, abs=0.1)
    assert nothing.chance == pytest.approx(sum(count >= 2 for count in counts) / 2000, abs=0.05)
    assert not nothing.suspicious


def test_priors_count_as_draws_do():
    def network(prior):
        return nn.Sequential(
            *(LayerChoice({"skip": nn.Identity, "linear": lambda: nn.Linear(2, 2)}, prior=prior) for _ in range(2))
        )

    for prior, messages in ((None, 0), ([1, 9], 1)):
        space = ModelSpace(network, prior, example_input=torch.zeros(2, 2))
        skips = dict.fromkeys(space.decisions.labels, "skip")
        assert len(collapse(Network(supernet(space)), skips)) == messages


def test_entropy_that_is_gone_early_is_reported(cells):
    strengths = {"a": [SURE, SURE], "b": [SURE]}
    [message] = collapse(cells, BEST, strengths, progress=0.2)
    assert message.startswith("after 20% of the search all decisions are made: the entropy of strengths is 0.1%")
    assert collapse(cells, BEST, strengths, progress=0.8) == []
    assert collapse(cells, BEST, {**strengths, "c": [EVEN]}, progress=0.2) == []
    assert diagnose(cells, BEST, {"a": [EVEN, SURE]}).entropy == pytest.approx(0.5, abs=0.01)
    assert diagnose(cells, BEST).entropy is None


def test_a_fresh_search_has_not_collapsed(cells):
    method = DARTS()
    method.start(cells.supernet, steps=10)
    assert collapse(method.network, BEST, method.strengths(), method.progress) == []


def test_operations_of_cells_and_inner_decisions_are_looked_at():
    def inner():
        return LayerChoice({"linear": lambda: nn.Linear(4, 4), "skip": nn.Identity}, label="inner")

    def network():
        cell = Cell({"linear": lambda: nn.Linear(4, 4), "skip": nn.Identity}, 2, label="cell")
        return nn.Sequential(cell, nn.Linear(8, 4), LayerChoice({"relu": nn.ReLU, "inner": inner}, label="outer"))

    space = ModelSpace(network, example_input=torch.zeros(2, 4))
    network = Network(supernet(space))
    skips = {label: "skip" if "skip" in space.decisions[label].grid() else 0 for label in space.decisions.labels}
    nothing, little = diagnose(network, {**skips, "outer": "inner"}).shares
    assert set(nothing.labels) == {"cell/op_1_0", "cell/op_2_0", "inner", "outer"}
    nothing, little = diagnose(network, {**skips, "outer": "inner", "inner": "linear"}).shares
    assert set(nothing.labels) == {"cell/op_1_0", "cell/op_2_0"}
    assert little.total == 4  # the activation has no parameters either


@pytest.mark.parametrize("name", SPACES)
def test_random_architectures_of_any_space_can_be_looked_at(name):
    space = SPACES[name]()
    shared = supernet(space)
    shared.train()
    before = {key: value.clone() for key, value in shared.state_dict().items()}
    found = diagnose(Network(shared), space.sample(0))
    assert not found.blind
    assert not found.settled
    assert shared.training
    assert all(torch.equal(value, before[key]) for key, value in shared.state_dict().items())


def test_without_an_example_input_parameters_are_all_that_is_known():
    def network():
        return nn.Sequential(*(LayerChoice({"skip": nn.Identity, "linear": lambda: nn.Linear(2, 2)}) for _ in range(5)))

    space = ModelSpace(network)
    [message] = collapse(Network(supernet(space)), dict.fromkeys(space.decisions.labels, "skip"))
    assert message.startswith("5 of 5 decisions are for options that have no parameters")
