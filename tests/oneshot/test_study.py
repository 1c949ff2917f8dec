from torch import nn

from lanista import ModelSpace
from lanista.oneshot.study import Study
from lanista.oneshot.supernet import Supernet
from lanista.space import choice
from tests.oneshot.spaces import Widths
from tests.oneshot.test_supernet import elastic


def study(space):
    widest = {d.label: max(d.domain.grid()) for d in space.decisions}
    return Study(Supernet(space), widest), {d.label: list(d.domain.grid()) for d in space.decisions}


def test_which_dimensions_of_which_tensors_a_number_changes():
    found, values = study(ModelSpace(Widths))
    assert all(found.effect(label, options) is None for label, options in values.items())
    changes = {label: {key.path: dims for key, dims in of.items()} for label, of in found.changes.items()}
    assert changes["kernel"] == {"stem.weight": {2, 3}, "depth.weight": {2, 3}}
    assert changes["ratio"] == {
        "expand.weight": {0},
        "expand.bias": {0},
        "depth.weight": {0},
        "depth.bias": {0},
        "project.weight": {1},
    }
    assert changes["width"]["project.weight"] == {0, 1}
    assert changes["width"]["norm.running_mean"] == {0}


def test_sizes_and_entries_of_a_dimension():
    found, values = study(elastic())
    label = next(label for label in values if label.startswith("conv") or "stem" in label)
    assert found.effect(label, values[label]) is None
    key, dims = next(iter(found.changes[label].items()))
    least = min(values[label])
    size, entries = found.part(key, min(dims), {label: least})
    assert entries == tuple(range(size))
    assert found.part(key, min(dims), {})[1] is None
    assert found.name({label: max(values[label])}) == ()


def test_rates_count_for_the_decision_that_changes_them_only():
    def build():
        rate, width = choice([1, 2], label="rate"), choice([2, 4], label="width")
        return nn.Sequential(nn.Linear(3, rate), nn.Linear(rate, width), nn.Dropout(rate / 4))

    found, values = study(ModelSpace(build))
    assert "dropout" in found.effect("rate", values["rate"])
    assert found.effect("width", values["width"]) is None
