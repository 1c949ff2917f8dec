from collections import Counter
from functools import partial

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.nn import LayerChoice
from lanista.oneshot import SPOS
from lanista.strategy import Deduplicated
from tests.oneshot.paths import SPACES, linear, started, trained

STEPS = 900


def counts(space, steps=STEPS):
    method, _ = started(SPOS(), space, steps)
    return Counter(tuple(sorted(path.items())) for _ in range(steps) for path in trained(method))


def statistic(found, chances):
    """Chi-squared."""
    total = sum(found.values())
    return sum((found[name] - total * chance) ** 2 / (total * chance) for name, chance in chances.items())


def test_what_is_trained_is_uniform_over_architectures():
    space = SPACES["layers"]()
    found = counts(space)
    names = [tuple(sorted(architecture.items())) for architecture in space.decisions.grid()]
    assert found.keys() == set(names)
    assert statistic(found, dict.fromkeys(names, 1 / 18)) < 40.8  # p = 0.001, 17 degrees of freedom


def test_priors_say_how_often_an_option_is_trained():
    layers = partial(LayerChoice, {"a": linear, "b": linear, "c": linear}, prior=[1, 2, 5], label="x")
    space = ModelSpace(lambda: nn.Sequential(layers(), nn.Linear(4, 1)), example_input=torch.zeros(2, 4))
    found = counts(space, 400)
    assert statistic(found, {(("x", name),): part / 8 for name, part in {"a": 1, "b": 2, "c": 5}.items()}) < 13.8


def test_limits_hold_in_training_and_the_rest_is_uniform():
    space = SPACES["limited"]()
    found = counts(space)
    names = [tuple(sorted(architecture.items())) for architecture in space.decisions.grid()]
    assert len(names) == 12
    assert found.keys() == set(names)
    assert statistic(found, dict.fromkeys(names, 1 / 12)) < 31.3


def test_a_step_trains_the_weights_of_one_path_alone():
    method, optimizer = started(SPOS(), SPACES["layers"]())
    optimizer.param_groups[0]["lr"] = 0.1
    shared = method.network.supernet
    before = {name: weight.detach().clone() for name, weight in shared.named_parameters()}
    [path] = trained(method)
    optimizer.step()
    moved = {name for name, weight in shared.named_parameters() if not torch.equal(weight, before[name])}
    chosen = {name for name in before if "[" not in name or any(f"[{k}={v}]" in name for k, v in path.items())}
    assert moved == chosen


@pytest.mark.parametrize("name", ["layers", "limited"])
def test_the_best_are_a_sample_of_the_space(name):
    space = SPACES[name]()
    method, _ = started(SPOS(), space)
    assert method.strengths() is None
    best = method.best(5)
    assert len({space.decisions.key(architecture) for architecture in best}) == 5
    assert not any(map(space.decisions.violations, best))
    assert len(method.best(100)) == len(list(space.decisions.grid()))


def test_evolution_searches_the_supernet():
    strategy = SPOS().searcher()
    assert isinstance(strategy, Deduplicated)
    assert "RegularizedEvolution" in repr(strategy)
