import itertools
import logging

import pytest
import torch
from torch import nn

from lanista import ModelSpace, choice
from lanista.errors import SpaceError
from lanista.nn import LayerChoice
from lanista.profile import measure, parameters, screen, screening, synflow


class Zero(nn.Module):
    def forward(self, x):
        return x * 0


def net():
    layers = [nn.Linear(4, width := choice([2, 4, 8, 16, 32], label="width"))]
    layers.append(LayerChoice({"relu": nn.ReLU, "none": Zero}, label="act"))
    depth = choice([1, 2, 3], label="depth")
    return nn.Sequential(*layers, *(nn.Linear(width, width) for _ in range(depth)), nn.Linear(width, 2, bias=False))


SPACE = ModelSpace(net, example_input=torch.zeros(1, 4))


def test_the_best_come_first_with_their_values():
    found = screen(SPACE, synflow, samples=20, keep=5)
    cost = SPACE.cost(synflow)
    assert [cost.of(a) for a in found.architectures] == list(found.values) == sorted(found.values, reverse=True)
    assert found.measured == 20
    assert len(found.values) == 5
    assert found.seconds > 0


def test_all_of_a_small_space_are_measured_once():
    found = screen(SPACE, parameters, samples=1000, keep=1000)
    cost = SPACE.cost(parameters)
    every = sorted((cost.of(a) for a in SPACE.decisions.grid()), reverse=True)
    assert list(found.values) == every
    assert found.measured == len(every) == 30


def test_what_has_no_finite_value_is_left_out():
    """Nothing flows through zeros."""
    found = screen(SPACE, synflow, samples=30, keep=30)
    biases = measure("odd", lambda model: float("nan") if any(isinstance(m, Zero) for m in model) else 1.0)
    assert found.refused == 0, "biases flow on"
    assert screen(SPACE, biases, samples=30, keep=30).refused == 15
    assert all(a["act"] == "relu" for a in screen(SPACE, biases, samples=30, keep=30).architectures)


def test_a_seed_decides_and_generators_do_not():
    one = screen(SPACE, synflow, samples=8, keep=3, seed=4)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    again = screen(ModelSpace(net, example_input=SPACE.example_input), synflow, samples=8, keep=3, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert (again.architectures, again.values) == (one.architectures, one.values)
    assert (
        screen(SPACE, parameters, samples=8, seed=5).architectures != screen(SPACE, parameters, samples=8).architectures
    )


def test_limits_hold():
    limited = SPACE.constrain(parameters <= 200)
    found = screen(limited, synflow, samples=6, keep=6)
    assert all(SPACE.cost(parameters).of(a) <= 200 for a in found.architectures)


def test_what_takes_long_is_told(monkeypatch, caplog):
    clock = itertools.count(step=6.0)
    monkeypatch.setattr(screening, "perf_counter", lambda: next(clock))
    with caplog.at_level(logging.INFO, "lanista"):
        found = screen(SPACE, synflow, samples=4, keep=2)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("synflow of")]
    assert lines[0] == "synflow of 2 of 4 architectures, 6 s each"
    assert lines[-1] == "synflow of 4 architectures, 7.5 s each; 0 without a finite value"
    assert found.seconds == 7.5


@pytest.mark.parametrize("setting", ["samples", "keep"])
def test_numbers_below_one_are_named(setting):
    with pytest.raises(SpaceError, match=f"{setting} is 0; give an integer of at least 1"):
        screen(SPACE, synflow, **{setting: 0})
