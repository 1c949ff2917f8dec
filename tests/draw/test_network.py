import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lanista import ModelSpace, draw, hub
from lanista.errors import ArchitectureError
from tests.draw.networks import IMAGE, Branching, Darts, Small, darts, mobile
from tests.draw.paper import check, words

SPACES = {
    "darts": darts(cells=20),
    "mobile": ModelSpace(mobile, example_input=IMAGE),
    "small": ModelSpace(Small, example_input=IMAGE),
}


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1000))
def test_every_decision_and_every_layer_is_in_the_picture(name, seed):
    space = SPACES[name]
    architecture = space.sample(seed)
    picture = draw.architecture(space, architecture)
    said = words(check(picture))
    assert set(architecture) <= set(said)
    covered = {path for text in said for path in text.split(", ")}
    model = space.build(architecture)
    layers = {path for path, module in model.named_modules() if type(module).__module__.startswith("torch.nn.modules")}
    containers = {path for path, module in model.named_modules() if isinstance(module, nn.Sequential | nn.ModuleList)}
    assert layers - containers <= covered


@pytest.mark.parametrize("space", [hub.DARTS(), hub.NASBench101(), hub.NASBench201()], ids=["darts", "101", "201"])
def test_cells_of_the_hub_are_drawn_once_with_their_decisions(space):
    architecture = space.sample(3)
    said = words(check(draw.architecture(space, architecture)))
    assert set(architecture) <= set(said)
    operations = [label for label in architecture if re.search(r"/(op)?_?\d", label)]
    marked = [text.partition(" = ")[0] for text in said if " = " in text]
    assert any(label in marked for label in operations)
    assert len(said) < 400


def test_the_same_architecture_gives_the_same_bytes():
    space = darts(cells=6)
    architecture = space.sample(5)
    assert draw.architecture(space, architecture) == draw.architecture(darts(cells=6), dict(architecture))


def test_chosen_candidates_are_marked_where_they_are():
    picture = draw.architecture(SPACES["small"], {"width": 16, "body": "plain", "depth": 2, "skip": [0, 1]})
    said = words(check(picture))
    assert {"body = plain", "depth = 2", "skip = [0, 1]"} <= set(said)
    assert "5 decisions" not in picture and "4 decisions" in picture


def test_shapes_and_repetitions_are_told():
    said = words(check(draw.model(Darts(cells=20), IMAGE)))
    assert {"×6", "×5", "64×16×16", "cells.0–5", "Cell A ×16", "221,890 parameters"} & set(said) >= {
        "×6",
        "×5",
        "64×16×16",
    }
    assert "3×32×32" not in words(check(draw.model(Darts(cells=20))))


def test_depth_zero_is_the_model_alone():
    assert "Cell A ×5" in draw.model(Darts(cells=9))
    assert "Cell A ×5" not in draw.model(Darts(cells=9), depth=0)


def test_what_cannot_be_traced_has_dashed_lines():
    picture = draw.model(Branching())
    check(picture)
    assert 'class="loose"' in picture and 'class="edge"' not in picture.partition("</style>")[2]


def test_names_cannot_break_the_picture():
    space = ModelSpace(lambda: nn.Linear(2, 2), example_input=torch.zeros(1, 2))
    check(draw.architecture(space, {}))
    odd = type("Odd<&>\x01", (Branching,), {})
    check(draw.model(odd()))


@pytest.mark.parametrize("model", [nn.Identity(), nn.Linear(2, 2), nn.Sequential(), nn.ModuleList([nn.ReLU()])])
def test_the_least_models_have_a_picture(model):
    check(draw.model(model))


def test_a_wrong_architecture_is_refused():
    with pytest.raises(ArchitectureError):
        draw.architecture(SPACES["small"], {"body": "unknown"})
