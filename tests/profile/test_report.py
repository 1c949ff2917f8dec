import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile import activations, macs, memory, parameters, summary
from tests.profile.models import IMAGE, MODELS, ROW, convolutional


@pytest.mark.parametrize("name", MODELS)
def test_totals_are_the_measures(name):
    build, example = MODELS[name]
    model = build()
    total = summary(model, example).total
    assert total.parameters == parameters(model, example).value
    assert total.macs == macs(model, example).value
    assert total.activations == activations(model, example).value
    assert summary(model, example).memory == memory(model, example).value


def test_a_row_has_all_that_is_in_the_module():
    found = summary(convolutional(), IMAGE)
    rows = {row.path: row for row in found.rows}
    assert rows["3"].parameters == rows["3.inner"].parameters == 148
    assert rows["3"].macs == rows["3.inner"].macs == 2 * 4 * 36 * 36
    assert rows["6"].output == ((2, 2),)
    assert [row.path for row in summary(convolutional(), IMAGE, depth=1).rows] == ["", *map(str, range(7))]
    assert summary(convolutional(), IMAGE, depth=1).total == found.total


def test_it_reads_as_a_table():
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Sequential())
    model[2].add_module("head", nn.Linear(64, 10))
    model[0].requires_grad_(False)
    lines = str(summary(model, ROW)).splitlines()
    assert lines[0].split() == ["module", "type", "parameters", "MACs", "activations", "output"]
    assert lines[2].split() == ["(model)", "Sequential", "970", "1.79", "k", "512", "B", "2x10"]
    assert lines[6].split() == ["head", "Linear", "650", "1.28", "k", "512", "B", "2x10"]
    assert lines[6].startswith("    head")
    assert lines[8:] == [
        "parameters   970 (650 trainable)",
        "MACs         1,792 (3,584 FLOPs)",
        "activations  512 B kept for the backward pass",
        f"memory       {4 * 970 + 4 * (8 + 128 + 128):,} B at most at a time in an inference".replace(
            "4,936 B", "4.8 KiB"
        ),
    ]


def test_unused_modules_and_odd_outputs_are_shown():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Linear(4, 4)

        def forward(self, x):
            return {"rows": x, "sum": x.sum()}

    text = str(summary(Odd(), ROW))
    assert "not run" in text
    assert "2x4, scalar" in text


def test_a_model_that_cannot_train_on_the_example_is_shown_nevertheless():
    found = summary(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), torch.zeros(1, 4))
    assert found.total.activations is None
    assert "activations  activations cannot be measured" in str(found)


def test_a_model_that_cannot_run_is_an_error():
    with pytest.raises(SpaceError, match="summary cannot be measured: Linear cannot be run"):
        summary(nn.Linear(4, 2), torch.zeros(3))
