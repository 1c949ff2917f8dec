"""The contract of measures, and what every one of them keeps to."""

import logging
import math
import pickle

import cloudpickle
import pytest
import torch
from torch import nn

from lanista import ModelSpace, choice
from lanista.errors import SpaceError
from lanista.model import Bound
from lanista.nn import LayerChoice
from lanista.profile import (
    Energy,
    Latency,
    LatencyTable,
    Measurement,
    Parameters,
    activations,
    flops,
    macs,
    measure,
    memory,
    parameters,
)
from lanista.space.limit import Sum
from tests.profile.models import MODELS, ROW, state

QUICK = Latency(warmup=0, repeats=2)


def modules_of(model):
    return len(list(model.modules()))


def meter():
    return 1.0


MEASURES = {
    "parameters": lambda: parameters,
    "trainable": lambda: Parameters(trainable=True),
    "flops": lambda: flops,
    "macs": lambda: macs,
    "activations": lambda: activations,
    "memory": lambda: memory,
    "latency": lambda: QUICK,
    "table": lambda: LatencyTable(latency=QUICK),
    "energy": lambda: Energy(seconds=1e-4, repeats=2, counter=meter),
    "own": lambda: measure("modules", modules_of),
}
each_measure = pytest.mark.parametrize("make", MEASURES.values(), ids=MEASURES)
each_model = pytest.mark.parametrize(("build", "example"), MODELS.values(), ids=MODELS)


@each_model
@each_measure
@pytest.mark.parametrize("training", [True, False])
def test_a_measured_model_is_as_before(make, build, example, training):
    model = build().train(training)
    before = state(model)
    value = make()(model, example)
    assert state(model) == before
    assert value.value >= 0
    assert value.error >= 0
    assert value.unit == make().unit


@each_model
@each_measure
def test_parts_sum_to_the_value(make, build, example):
    model, one = build(), make()
    if isinstance(one, Latency | Energy):
        assert one.parts(model, example) is None
        return
    value, parts = one(model, example).value, one.parts(model, example)
    assert parts is None or (sum(parts.values()) == value and set(parts) <= dict(model.named_modules()).keys())
    assert parts == one.parts(model, example)


@each_measure
def test_equal_settings_look_equal_also_in_another_process(make):
    assert repr(make()) == repr(make()) == repr(pickle.loads(cloudpickle.dumps(make())))
    assert "0x" not in repr(make())


def test_other_settings_look_different():
    others = [Parameters(trainable=True), Latency(), Latency(backend="compile"), Latency(threads=1), LatencyTable()]
    others += [LatencyTable({"a": 1.0}), LatencyTable({"a": 2.0}), measure("a", len), measure("b", len), parameters]
    assert len(set(map(repr, others))) == len(others)


@pytest.mark.parametrize("make", [MEASURES[name] for name in ("flops", "activations", "memory", "latency", "table")])
def test_what_runs_the_model_asks_for_an_example(make):
    with pytest.raises(SpaceError, match=r"needs an example input.*ModelSpace\(\.\.\., example_input"):
        make()(torch.nn.Linear(2, 2))


def net():
    width = choice([4, 8], label="width")
    body = LayerChoice([lambda: nn.Linear(width, width), nn.Tanh, nn.Identity], label="body")
    return nn.Sequential(nn.Linear(4, width), body, nn.Linear(width, 2))


@pytest.mark.parametrize("name", ["parameters", "flops", "macs", "activations", "table", "memory", "own"])
def test_limits_on_a_space_say_what_the_measure_says(name):
    space = ModelSpace(net, example_input=ROW)
    one = MEASURES[name]()
    if name == "table":
        one.cover(space, samples=20)
        one = LatencyTable(one.entries)
    cost = space.cost(one)
    assert isinstance(cost, Sum) is (name not in ("memory", "own"))
    values = [one(space.build(architecture), ROW).value for architecture in space.decisions.grid()]
    assert [cost.of(architecture) for architecture in space.decisions.grid()] == pytest.approx(values, rel=1e-12)
    limited = space.constrain(one <= min(values))
    assert one(limited.build(limited.sample(0)), ROW).value == pytest.approx(min(values))


def test_comparisons_make_bounds():
    assert (parameters <= 5e6) == Bound(parameters, None, 5e6)
    assert (QUICK >= 2) == Bound(QUICK, 2.0, None)


@pytest.mark.parametrize("value", ["5", None, True])
def test_bounds_are_numbers(value):
    with pytest.raises(SpaceError, match=r"latency is compared with .*; give a number of ms"):
        QUICK.__le__(value)
    with pytest.raises(SpaceError, match=r"parameters is compared with .*; give a number$"):
        parameters.__ge__(value)


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (Measurement(1234567, 0.0, ""), "1,234,567"),
        (Measurement(1.23456, 0.01234, "ms"), "1.235 ± 0.012 ms"),
        (Measurement(12.0, 0.0, "J"), "12 J"),
    ],
)
def test_measurements_read_well(measurement, text):
    assert str(measurement) == text


def test_not_a_number_is_written_too():
    assert str(Measurement(math.nan, 0.0, "ms")) == "nan ms"
    assert str(Measurement(math.inf, 0.0, "ms")) == "inf ms"


def test_a_limit_that_cannot_be_repeated_is_told(caplog):
    space = ModelSpace(lambda: nn.Linear(4, choice([2, 3], label="out")), example_input=torch.zeros(1, 4))
    quick = Latency(warmup=0, repeats=2)
    with caplog.at_level(logging.WARNING, "lanista"):
        assert space.constrain(parameters <= 100, flops <= 1e6).sample(0)
        assert not caplog.records
        assert space.constrain(quick <= 1e4).sample(0)
        assert not caplog.records  # an experiment writes down what it measures
        assert space.constrain(LatencyTable(latency=quick) <= 1e4).sample(0)
    assert "cannot be resumed; save the table, and load it frozen" in caplog.text
    assert (quick.repeatable, parameters.repeatable, LatencyTable().repeatable) == (False, True, False)
    assert LatencyTable({"Linear": 1.0}).repeatable
