import pytest
import torch
from torch import nn

from lanista import ModelSpace, hub
from lanista.nn import Cell, LayerChoice, Repeat
from lanista.oneshot import Supernet
from lanista.oneshot.identity import Mixing, Path, slots
from lanista.oneshot.survey import survey
from lanista.space import choice
from tests.oneshot.spaces import Windows


class Counting:
    """A supernet that counts what is built of it."""

    def __init__(self, space):
        self.net, self.kinds = Supernet.__new__(Supernet), []
        nn.Module.__init__(self.net)
        self.net.space, self.net._common = space, {}

    def skeleton(self, architecture, kind):
        self.kinds.append(kind)
        return self.net.skeleton(architecture, kind)

    def model(self, architecture, kind):
        return self.net.model(architecture, kind)


def surveyed(space, include=()):
    builder = Counting(space)
    return survey(space, include, builder), builder.kinds


def test_where_all_options_can_be_there_at_once_few_models_are_built():
    found, kinds = surveyed(hub.NASBench201(width=4, num_cells=1))
    assert kinds[0] is Mixing
    assert kinds.count(Mixing) == 1
    assert len(kinds) < 10
    assert [kind for (_, kind), _ in found.cover] == [Mixing]


def test_loose_ends_are_surveyed_as_a_whole():
    candidates = {name: lambda: nn.Linear(3, 3) for name in "abcdefgh"}
    space = ModelSpace(lambda: Cell(candidates, 4, 2, 2, "loose_end", label="k"))
    net = Supernet(space)
    assert sum("weight" in name for name in net.state_dict()) == 8 * (2 + 3 + 4 + 5)
    for seed in range(100):
        net.path(space.sample(seed))


class Attributes(nn.Module):
    """Reads an attribute of a chosen layer, so that all cannot be there at once."""

    def __init__(self):
        super().__init__()
        width = choice([2, 4, 8], label="width")
        self.first = LayerChoice(
            {"a": lambda: nn.Linear(3, width), "b": lambda: nn.Linear(3, 2 * width)}, label="first"
        )
        self.rest = Repeat(lambda: nn.Linear(self.first.out_features, self.first.out_features), (0, 2), label="rest")

    def forward(self, x):
        return self.rest(self.first(x))


def test_where_they_cannot_each_answer_is_met():
    found, kinds = surveyed(ModelSpace(Attributes))
    assert {key.path: shape for key, shape in found.shapes.items() if "weight" in key.path} == {
        "first[first=a].weight": (8, 3),
        "first[first=b].weight": (16, 3),
        "rest.rest=0.weight": (16, 16),
        "rest.rest=1.weight": (16, 16),
    }
    assert len(kinds) < 40


class Strings(nn.Module):
    """Layers that are there with two answers of no numbers together, and are widest with the greatest numbers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict()
        for i in range(6):
            kind, norm = choice(["a", "b", "c", "d"], label=f"kind{i}"), choice(["x", "y", "z"], label=f"norm{i}")
            width = choice([2, 3, 4, 5, 6], label=f"width{i}") + choice([0, 1, 2, 3], label=f"more{i}")
            self.layers[f"{i}{kind}{norm}"] = nn.Linear(width, width)


def test_answers_that_are_no_layers_are_met_in_company():
    space = ModelSpace(Strings)
    found, _ = surveyed(space)
    assert {key.path for key in found.shapes if "weight" in key.path} == {
        f"layers.{i}{kind}{norm}.weight" for i in range(6) for kind in "abcd" for norm in "xyz"
    }
    assert all(shape[0] == 9 for shape in found.shapes.values())


def named(count):
    """Two decisions for one of many names, each of which builds a layer of its own."""
    layers = nn.ModuleDict()
    for i in range(2):
        layers[choice([f"{i}/{k}" for k in range(count)], label=f"name{i}")] = nn.Linear(1, 1)
    return layers


def test_each_of_many_names_is_met(caplog):
    found, kinds = surveyed(ModelSpace(named, 100))
    assert {key.path for key in found.shapes if "weight" in key.path} == {
        f"{i}/{k}.weight" for i in range(2) for k in range(100)
    }
    assert len(kinds) < 250
    assert not caplog.records


def test_names_that_are_too_many_are_said_to_be(caplog, monkeypatch):
    monkeypatch.setattr("lanista.oneshot.survey.NAMES", 20)
    surveyed(ModelSpace(named, 21))
    messages = [record.getMessage() for record in caplog.records]
    assert ["include=" in message for message in messages] == [True, True]
    assert "'name0' has 21 values" in messages[0]


def test_buffers_that_are_computed_are_private_and_those_that_are_drawn_are_shared():
    found, _ = surveyed(ModelSpace(Windows))
    assert {key.path for key in found.private} == {"index", "scale"}
    assert {key.path: shape for key, shape in found.shapes.items() if key.path in ("ids", "features")} == {
        "ids": (1, 8),
        "features": (4, 8),
    }


def test_what_is_included_is_met():
    space = ModelSpace(lambda: nn.Linear(2, choice(list(range(1, 200)), label="width")))
    assert max(shape[0] for shape in surveyed(space)[0].shapes.values()) == 199
    found, _ = surveyed(space, [{"width": 77}])
    assert max(shape[0] for shape in found.shapes.values()) == 199


class Fussy(nn.Module):
    """Computes something of its weights when it is built, which must be numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(choice([2, 4], label="width"), 3)
        if not 0 < float(self.layer.weight.detach().abs().sum()) < 1000:
            raise ValueError("the weights are not filled")


def test_constructors_that_read_their_weights_are_run_for_real():
    before = torch.get_rng_state()
    builder = Counting(ModelSpace(Fussy))
    survey(builder.net.space, (), builder)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "settings"), [("MnasNet", {"layers": (1, 2, 1, 1, 1, 1, 1)}), ("MobileNetV3", {"depths": (1, 2)})]
)
def test_nothing_of_large_spaces_is_missed(name, settings):
    space = getattr(hub, name)(**settings)
    found, net = surveyed(space)[0], Counting(space).net
    for seed in range(20):
        model, context = net.skeleton(space.sample(seed), Path)
        for slot in slots(model, context):
            assert all(a <= b for a, b in zip(slot.tensor.shape, found.shapes[slot.key], strict=True))
