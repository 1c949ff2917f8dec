"""The MnasNet space of `examples/mutators.py`, built as mutators on a base model."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.graph.zoo import must_work

IMAGES = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def space():
    example = Path(__file__).parents[2] / "examples" / "mutators.py"
    return runpy.run_path(str(example), run_name="example")["space"]


def test_its_size_is_that_of_the_paper_for_one_stage(space):
    kinds = 2 + 1 + 1  # inverted residual with two expansions, separable, regular
    assert space.decisions.size == (3 * 2 * 2 * kinds * 2 * 4) ** 3
    assert [decision.condition() for decision in space.decisions if decision.label == "stage2/expansion"] == [
        "stage2/op is 'inverted'"
    ]


@pytest.mark.parametrize("seed", range(6))
def test_every_model_works(space, seed, tmp_path):
    must_work(space.build(space.sample(seed)), IMAGES, tmp_path / "folder")


def test_each_answer_shows_in_the_model(space):
    answers = {"width": 1.25, "kernel": 5, "se": 0.25, "op": "separable", "skip": "identity", "depth": 2}
    default = space.decisions.default()
    kept = {label: value for label, value in default.items() if label != "stage3/expansion"}
    architecture = {**kept, **{f"stage3/{label}": value for label, value in answers.items()}}
    model = space.build(architecture)
    assert model.get_submodule("6").in_features == 40
    depthwise = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert [(m.kernel_size, m.stride, m.groups) for m in depthwise if m.kernel_size == (5, 5)] == [
        ((5, 5), (2, 2), 16),
        ((5, 5), (1, 1), 40),
        ((5, 5), (1, 1), 40),
    ]
    assert sum(type(m).__name__ == "Excitation" for m in model.modules()) == 3
    assert sum(node.target is torch.add for node in model.graph.nodes) == 2
    assert "repeat sequential_3..add_2: 2 times" in str(space.history(architecture)[2])
