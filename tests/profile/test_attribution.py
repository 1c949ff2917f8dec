"""Costs that are learnt as sums agree with the models, to the last digit."""

from collections.abc import Mapping
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lanista import ModelSpace, choice
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.profile import attribution
from lanista.profile.attribution import Unlearnable, learn
from lanista.space import Categorical, Real, SearchSpace
from lanista.testing.spaces import search_spaces


def counts(model: nn.Module) -> Mapping[str, float]:
    return {
        path: float(sum(parameter.numel() for parameter in module.parameters(recurse=False)))
        for path, module in model.named_modules()
    }


def learnt(space):
    return learn(space.decisions, lambda architecture: counts(space.sketch(architecture)), "parameters")


class Block(nn.Module):
    def __init__(self, width, name):
        super().__init__()
        inner = width * choice([1, 2, 4], label=f"{name}/expand")
        self.wide = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.act = LayerChoice(
            {
                "relu": nn.ReLU,
                "prelu": nn.PReLU,
                "gate": lambda: nn.Linear(width, choice([1, 3], label=f"{name}/gate")),
            },
            label=f"{name}/act",
        )


class Net(nn.Module):
    """Widths tie neighbours together, depths make blocks conditional."""

    def __init__(self, stages=2):
        super().__init__()
        widths = [8, *(choice([8, 12, 16], label=f"width{i}") for i in range(stages))]
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Linear(before, after),
                Repeat(lambda j, i=i, after=after: Block(after, f"{i}.{j}"), (0, 2), label=f"depth{i}"),
            )
            for i, (before, after) in enumerate(pairwise(widths))
        )
        self.head = nn.Linear(widths[-1], 3)


class Flat(nn.Module):
    """The paths of later blocks shift with the depth of the first stage: parts depend on what is elsewhere."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            *Repeat(lambda j: nn.Linear(4, 4), (1, 3), label="first"),
            LayerChoice([lambda: nn.Linear(4, 4), lambda: nn.Linear(4, 4, bias=False)], label="second"),
            nn.Linear(4, 7),
        )


class Joint(nn.Module):
    """What the inputs of all nodes are decides together how wide the head is."""

    def __init__(self):
        super().__init__()
        n = sum(choice([0, 1], label=f"used{i}") for i in range(6))
        self.input = InputChoice(3, label="input")
        self.head = nn.Linear(n + 1, 2)


@pytest.mark.parametrize("builder", [Net, Flat, Joint, lambda: nn.Linear(2, 3)])
def test_a_learnt_sum_is_what_each_model_has(builder):
    space = ModelSpace(builder)
    cost = learnt(space)
    for seed in range(40):
        architecture = space.sample(seed)
        assert cost.of(architecture) == sum(p.numel() for p in space.build(architecture).parameters())


def test_terms_tie_together_only_what_belongs_together():
    labels = {frozenset(term.labels) for term in learnt(ModelSpace(Net)).terms}
    assert any({"width0", "width1"} <= group for group in labels)
    assert not any({"0.0/expand", "1.0/expand"} <= group or {"0.0/expand", "0.1/expand"} <= group for group in labels)


@given(st.data(), search_spaces(continuous=False, size=3))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_sums_over_random_spaces_are_found(data, space):
    groups = data.draw(st.lists(st.lists(st.sampled_from(space.labels), max_size=2), max_size=4)) if len(space) else []

    def parts(architecture):
        # A number for each group that depends on all of its labels, and on no other.
        met = [{label: architecture[label] for label in group if label in architecture} for group in groups]
        return {str(i): float(Random(space.key(values)).randrange(100)) for i, values in enumerate(met)}

    cost = learn(space, parts, "cost", "ms")
    for seed in range(20):
        architecture = space.sample(seed)
        assert cost.of(architecture) == sum(parts(architecture).values())
    assert cost.unit == "ms"


def test_a_dependency_that_single_changes_do_not_show_is_found_on_random_architectures():
    space = SearchSpace({f"d{i}": Categorical(range(4)) for i in range(3)})

    def parts(architecture):
        return {"rare": 5.0 if architecture["d0"] == 3 and architecture["d1"] == 2 and architecture["d2"] == 1 else 1.0}

    cost = learn(space, parts, "cost")
    assert all(cost.of(a) == parts(a)["rare"] for a in space.grid())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (SearchSpace({"lr": Real(0, 1)}), "continuous"),
        (SearchSpace({f"d{i}": Categorical(range(9)) for i in range(9)}), "combinations"),
    ],
)
def test_what_is_no_sum_is_said_to_be_none(space, message):
    with pytest.raises(Unlearnable, match=message):
        learn(space, lambda architecture: {"": float(sum(architecture.values()))}, "cost")


@pytest.mark.parametrize("limited", [True, False])
def test_models_that_miss_a_limit_need_not_be_buildable(limited):
    space = SearchSpace({"a": Categorical(range(4)), "b": Categorical(range(4))})
    if limited:
        space = space.constrain(lambda architecture: architecture["a"] + architecture["b"] < 5)

    def parts(architecture):
        if architecture["a"] + architecture["b"] >= 5:
            raise ValueError("too wide")
        return {"": 1.0}

    with pytest.raises(Unlearnable if limited else ValueError, match="too wide"):
        learn(space, parts, "cost")


def test_no_more_models_are_built_than_allowed(monkeypatch):
    monkeypatch.setattr(attribution, "BUILDS", 20)
    with pytest.raises(Unlearnable, match="20 models were not enough"):
        learnt(ModelSpace(Net))
