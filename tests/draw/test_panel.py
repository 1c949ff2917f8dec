import pytest
import torch
from torch import nn

from lanista.draw.calls import read
from lanista.draw.panel import panels
from tests.draw.networks import Darts, mobile


def panel_of(model, **settings):
    return panels(read(model), {}, {}, **settings)


def titles(panel):
    return [("+".join(row.title for row in box.rows), box.count) for box in panel.boxes]


def test_a_stack_of_twenty_cells_is_a_few_boxes():
    first, *others = panel_of(Darts(cells=20))
    assert titles(first) == [
        ("x", 1), ("Conv 3×3+BatchNorm", 1), ("Cell A", 6), ("Cell B", 1), ("Cell C", 1), ("Cell A", 5), ("Cell B", 1),
        ("Cell C", 1), ("Cell A", 5), ("AvgPool+flatten", 1), ("Linear", 1), ("output", 1),
    ]  # fmt: skip
    assert [panel.title for panel in others][:3] == ["Cell A", "Cell B", "Cell C"]
    assert sorted(path for box in first.boxes for path in box.covers) == sorted(
        op.path for op in read(Darts(cells=20)).ops() if op.module
    )


@pytest.mark.parametrize(("depth", "count"), [(0, 1), (1, 4), (None, 6)])
def test_depth_limits_the_panels(depth, count):
    assert len(panel_of(Darts(cells=6), depth=depth)) == count


def test_boxes_come_after_what_feeds_them():
    for panel in [*panel_of(Darts(cells=6)), *panel_of(mobile())]:
        for index, box in enumerate(panel.boxes):
            assert all(one in panel.boxes[:index] for one in box.inputs)


class Flat(nn.Module):
    """Layers and functions written one after another."""

    def __init__(self, repeats=3):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1) for _ in range(repeats)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(3) for _ in range(repeats)])

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = torch.relu(norm(conv(x)))
        return x


def test_small_operations_join_the_box_before_them_and_repetitions_are_one():
    [panel] = panel_of(Flat())
    assert titles(panel) == [("x", 1), ("Conv 3×3+BatchNorm+relu", 3), ("output", 1)]
    box = panel.boxes[1]
    assert (box.path, box.last) == ("convs.0", "convs.2")
    assert len(box.covers) == 6


def test_repetitions_of_several_boxes_are_one():
    layers = [layer for _ in range(4) for layer in (nn.Linear(3, 3), nn.Conv1d(3, 3, 1))]
    [panel] = panel_of(nn.Sequential(nn.Linear(8, 3), nn.Flatten(), *layers))
    assert titles(panel)[2] == ("Linear+Conv1d 1", 4)


class Pyramid(nn.Module):
    """Equal layers, whose results are all used in the end: drawn as one, that would not be seen."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(4)])

    def forward(self, x):
        results = []
        for layer in self.layers:
            x = layer(x)
            results.append(x)
        return torch.cat(results, 1)


def test_what_is_used_elsewhere_is_drawn_alone():
    [panel] = panel_of(Pyramid())
    assert [count for _, count in titles(panel)] == [1] * 7
    concat = next(box for box in panel.boxes if box.rows[0].title == "concat")
    assert len(concat.inputs) == 4


class Tapped(nn.Module):
    """The result before the activation is returned, too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = self.layer(x)
        return torch.relu(y), y


def test_an_output_in_the_midst_keeps_its_box():
    [panel] = panel_of(Tapped())
    assert titles(panel) == [("x", 1), ("Linear", 1), ("relu", 1), ("output", 1)]
    assert [box.rows[0].title for box in panel.boxes[-1].inputs] == ["Linear", "relu"]


def test_decisions_with_other_values_are_drawn_apart():
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(3)))
    labels = {id(layer): [f"rate{i}"] for i, layer in enumerate(model)}
    root = read(model)
    assert [box.count for box in panels(root, labels, {"rate0": 1, "rate1": 1, "rate2": 2})[0].boxes] == [1, 2, 1, 1]
