from collections import Counter

import pytest
import torch
from torch import nn

from lanista import ModelSpace, integer, real
from lanista.errors import OneShotError
from lanista.nn import LayerChoice
from lanista.oneshot import FairNAS
from tests.oneshot.paths import SPACES, batch, linear, squared, started, trained


def test_each_step_trains_each_option_once():
    method, _ = started(FairNAS(), SPACES["layers"]())
    seen = set()
    for _ in range(20):
        paths = trained(method)
        assert len(paths) == 3
        for label in ("x", "y"):
            assert sorted(path[label] for path in paths) == ["a", "b", "c"]
        seen.add(tuple((path["x"], path["y"]) for path in paths))
    assert len(seen) > 15  # the permutations are random, and not the same for both


def test_a_smaller_decision_is_fair_over_steps():
    method, _ = started(FairNAS(), SPACES["layers"]())
    counts = Counter()
    for _ in range(9):
        for path in trained(method):
            counts[path["z"]] += 1
            assert abs(counts["a"] - counts["b"]) <= 1
    assert sum(counts.values()) == 27


def test_a_decision_inside_of_another_is_fair_where_it_exists():
    method, _ = started(FairNAS(), SPACES["nested"]())
    counts = Counter()
    for _ in range(8):
        for path in trained(method):
            counts[path.get("inner")] += 1
            inner = [counts[name] for name in ("c", "d", "e")]
            assert max(inner) - min(inner) <= 1
    assert counts[None] == 12


def test_the_gradients_of_a_step_are_summed_and_the_weights_move_once():
    method, optimizer = started(FairNAS(), SPACES["layers"]())
    other, _ = started(FairNAS(), SPACES["layers"]())
    data = batch(method.network.supernet.space)
    method.step(data, loss=squared, optimizer=optimizer)
    shared = other.network.supernet
    sums = [torch.zeros_like(weight) for weight in shared.parameters()]
    for value in other.passes(data, squared):
        shared.zero_grad()
        value.backward()
        for total, weight in zip(sums, shared.parameters(), strict=True):
            total.add_(0.0 if weight.grad is None else weight.grad)
    for total, weight in zip(sums, method.network.supernet.parameters(), strict=True):
        assert torch.allclose(total, weight.grad)


def test_the_number_of_paths_can_be_said():
    method, _ = started(FairNAS(paths=2), SPACES["layers"]())
    steps = [trained(method) for _ in range(9)]
    assert {len(step) for step in steps} == {2}
    assert Counter(path["x"] for step in steps for path in step) == {"a": 6, "b": 6, "c": 6}


def test_paths_keep_limits():
    space = SPACES["limited"]()
    method, _ = started(FairNAS(), space)
    paths = [path for _ in range(10) for path in trained(method)]
    assert len(paths) == 30
    assert not any(map(space.decisions.violations, paths))


def prior():
    return nn.Sequential(LayerChoice({"a": linear, "b": linear}, prior=[1, 2], label="x"), nn.Linear(4, 1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (prior, "'x' has a prior.*; leave the prior out"),
        (lambda: nn.Dropout(real(0.0, 0.5, label="rate")), "'rate' has inf values .a number from 0 to 0.5.*SPOS"),
        (lambda: nn.Linear(4, integer(1, 40, label="width")), r"'width' has 40 options.*FairNAS\(paths=8\)"),
    ],
)
def test_what_cannot_be_fair_is_named(build, message):
    with pytest.raises(OneShotError, match=message):
        started(FairNAS(), ModelSpace(build, example_input=torch.zeros(2, 4)))


@pytest.mark.parametrize("paths", [0, 1.5, True])
def test_the_setting_is_checked(paths):
    with pytest.raises(OneShotError, match=f"paths is {paths!r}; give an integer of at least 1, or None"):
        FairNAS(paths=paths)
