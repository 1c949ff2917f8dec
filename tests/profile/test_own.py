import functools

import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.model import Bound
from lanista.profile import Measurement, measure

MODEL = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
ROW = torch.zeros(1, 4)


def depth(model):
    return len(list(model.children()))


def outputs(model, example_input):
    return model(example_input).numel()


def outputs_too(model, example_input=None):
    return 0 if example_input is None else outputs(model, example_input)


def scaled(factor, model):
    return factor * depth(model)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (depth, 2),
        (outputs, 2),
        (lambda m, x: 0.5, 0.5),
        (lambda *arguments: len(arguments), 1),
        (functools.partial(scaled, 3), 6),
    ],
)
def test_a_function_becomes_a_measure(function, value):
    own = measure("own", function, unit="B")
    assert own(MODEL, ROW) == Measurement(value, 0.0, "B")
    assert (own <= 3) == Bound(own, None, 3.0)
    assert own.parts(MODEL, ROW) is None


def test_an_example_that_is_needed_is_asked_for():
    assert measure("depth", depth)(MODEL).value == 2
    with pytest.raises(SpaceError, match="outputs runs the model and needs an example input"):
        measure("outputs", outputs)(MODEL)
    assert measure("outputs", outputs_too)(MODEL, ROW).value == 2


def test_a_function_may_know_its_error():
    found = Measurement(1.0, 0.5, "s")
    assert measure("time", lambda model: found)(MODEL) is found


def test_parts_are_checked_against_the_value():
    split = {"0": 1.0, "1": 1.0}
    assert measure("depth", depth, parts=lambda model: split).parts(MODEL) == split
    with pytest.raises(SpaceError, match=r"parts of the measure 'depth' sum to 5\.0, but its value is 2"):
        measure("depth", depth, parts=lambda model: {"0": 5.0}).parts(MODEL)


def test_it_is_shown_as_it_was_written():
    assert repr(measure("depth", depth)) == "measure('depth', depth)"
    assert repr(measure("depth", depth, unit="m")) == "measure('depth', depth, unit='m')"
    assert repr(measure("depth", functools.partial(scaled, 3))) == "measure('depth', partial)"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: measure("own", 5), ["'own' got 5", "function(model)"]),
        (lambda: measure("own", lambda: 1), ["function(model, example_input)", "functools.partial"]),
        (lambda: measure("own", lambda a, b, c: 1), ["functools.partial"]),
        (lambda: measure("own", depth, parts=lambda m, x: {}), ["'own' take different arguments"]),
        (lambda: measure("own", lambda model: "much")(MODEL), ["'own' returned 'much'", "number"]),
        (lambda: measure("own", lambda model: None)(MODEL), ["returned None"]),
    ],
)
def test_a_misuse_says_what_to_do(make, words):
    with pytest.raises(SpaceError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value
