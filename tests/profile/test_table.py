import json
import math
import pickle

import pytest
import torch
from torch import nn

from lanista import ModelSpace, choice
from lanista.errors import LanistaError, SpaceError
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.profile import Calibration, Latency, LatencyTable, Measurement, operations, parameters, table
from tests.profile.models import ROW, Residual

QUICK = Latency(warmup=0, repeats=2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        width = choice([4, 8], label="width")
        self.stem = nn.Linear(4, width)
        self.body = Repeat(
            lambda index: LayerChoice(
                {"plain": lambda: nn.Linear(width, width), "tanh": nn.Tanh, "skip": nn.Identity}, label=f"op{index}"
            ),
            (1, 2),
            label="depth",
        )
        self.join = InputChoice(2, n_chosen=None, label="join")

    def forward(self, x):
        x = self.stem(x)
        return self.join([x, self.body(x)])


SPACE = ModelSpace(Net, example_input=ROW)


def by_type(operation):
    return operation.kind if operation.kind in ("Linear", "Tanh") else None


def test_the_estimate_is_the_sum_of_known_operations():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), Residual(nn.Linear(4, 4)))
    entries = {name: float(10**index) for index, name in enumerate(LatencyTable().operations(model, ROW))}
    assert len(entries) == 3
    known = LatencyTable(entries)
    assert known(model, ROW) == Measurement(1 + 10 + 1 + 100, 0.0, "ms")
    assert known.parts(model, ROW) == {"0": 1.0, "1": 10.0, "2.inner": 1.0, "2": 100.0}
    assert known(nn.Sequential(model, model).to("meta"), ROW).value == 2 * known(model, ROW).value


def test_errors_of_the_same_entry_add_up_and_of_others_do_not():
    entries = {"Linear": Measurement(1.0, 3.0, "ms"), "Tanh": Measurement(1.0, 8.0, "ms")}
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Tanh())
    assert LatencyTable(entries, naming=by_type)(model, ROW) == Measurement(3.0, 10.0, "ms")


def test_what_has_no_name_costs_nothing():
    foreign = LatencyTable({"Linear": 2.5}, naming=by_type)
    assert foreign(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), ROW).value == 2.5
    with pytest.raises(LanistaError, match=r"no entry for 'Tanh' \(1\), only for 1 others"):
        foreign(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), ROW)


def test_each_operation_is_measured_once(monkeypatch):
    measured = []

    def fake(self, model, example):
        measured.append(type(model).__name__)
        return Measurement(2.0, 0.5, "ms")

    monkeypatch.setattr(Latency, "__call__", fake)
    own = LatencyTable(latency=QUICK)
    deep = nn.Sequential(*[nn.Linear(4, 4), nn.Tanh()] * 5)
    assert own(deep, ROW).value == own(deep, ROW).value == 20.0
    assert sorted(measured) == ["Linear", "Tanh"]
    assert own.entries["Tanh() on 2x4"] == Measurement(2.0, 0.5, "ms")


def test_a_covered_space_needs_no_further_measurements(tmp_path):
    own = LatencyTable(latency=QUICK)
    state = torch.get_rng_state().tolist()
    assert own.cover(SPACE, samples=40) == len(own.entries) > 8
    assert own.cover(SPACE, samples=40) == 0
    assert torch.get_rng_state().tolist() == state
    own.save(tmp_path / "table.json")
    frozen = LatencyTable.load(tmp_path / "table.json")
    assert frozen.entries == own.entries
    for architecture in SPACE.decisions.grid():
        model = SPACE.build(architecture)
        assert frozen(model, ROW) == own(model, ROW) == pickle.loads(pickle.dumps(frozen))(model, ROW)
    assert list(tmp_path.iterdir()) == [tmp_path / "table.json"]


def test_rare_answers_are_covered_too(monkeypatch):
    monkeypatch.setattr(Latency, "__call__", lambda *_: Measurement(1.0, 0.0, "ms"))
    space = ModelSpace(lambda: nn.Linear(4, choice(range(1, 40))), example_input=ROW)
    own = LatencyTable()
    assert own.cover(space, samples=5) == 39


def test_a_limit_on_a_covered_table_needs_no_further_measurements(monkeypatch):
    sizes = lambda _, model, __: Measurement(float(parameters(model).value), 0.0, "ms")  # noqa: E731
    monkeypatch.setattr(Latency, "__call__", sizes)
    space = ModelSpace(
        lambda: nn.Sequential(nn.Linear(4, width := choice(range(1, 13))), nn.Linear(width, choice(range(1, 13)))),
        example_input=ROW,
    )
    own = LatencyTable()
    assert own.cover(space, samples=5) >= 12 * 12 - 1  # of 156; Linear(4, 4) may be either
    limited = space.constrain(LatencyTable(own.entries) <= 50.0)  # frozen: it would raise
    assert all(own(limited.build(limited.sample(seed)), ROW).value <= 50 for seed in range(5))


def test_a_frozen_table_measures_nothing():
    frozen = LatencyTable({"Tanh() on 2x4": 1.0})
    with pytest.raises(LanistaError, match=r"frozen.*no entry for 'Linear\(.* on 2x4' \(the model itself\).*cover"):
        frozen(nn.Linear(4, 4), ROW)
    thawed = LatencyTable({"Tanh() on 2x4": 1.0}, frozen=False, latency=QUICK)
    assert thawed(nn.Linear(4, 4), ROW).value > 0


def test_settings_travel_with_the_file(tmp_path):
    own = LatencyTable({"Tanh() on 2x4": Measurement(1.5, 0.25, "ms")}, latency=Latency(threads=1, repeats=7))
    own.save(tmp_path / "table.json")
    again = LatencyTable.load(tmp_path / "table.json")
    assert repr(again) == repr(own)
    assert again.latency == own.latency
    data = json.loads((tmp_path / "table.json").read_text())
    assert data["threads"] == 1
    assert data["torch"] == torch.__version__
    assert data["machine"]


def test_a_table_of_another_machine_can_be_read_but_not_continued(tmp_path):
    path = tmp_path / "table.json"
    LatencyTable({"Tanh() on 2x4": 1.0}).save(path)
    LatencyTable.load(path, frozen=False)
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "phone", "threads": 77}))
    assert LatencyTable.load(path)(nn.Tanh(), ROW).value == 1.0
    with pytest.raises(LanistaError, match=r"measured with machine phone, threads 77, and here it is .*frozen=True"):
        LatencyTable.load(path, frozen=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no JSON", "is not a latency table: JSONDecodeError"),
        ("[]", "is not a latency table: TypeError"),
        ('{"format": 99}', "has format 99; this version of lanista reads 1"),
        ('{"format": 1}', "is not a latency table: KeyError"),
        ('{"format": 1, "operations": {"a": 1}, "latency": {}}', "is not a latency table: TypeError"),
    ],
)
def test_other_files_are_refused(tmp_path, text, words):
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(LanistaError, match=words):
        LatencyTable.load(tmp_path / "table.json")


@pytest.mark.parametrize("value", [-1.0, "fast", math.nan, math.inf, None])
def test_entries_are_milliseconds(value):
    with pytest.raises(SpaceError, match="entry of 'Tanh' is"):
        LatencyTable({"Tanh": value})


def test_an_operation_that_cannot_be_measured_is_named():
    index = nn.Embedding(3, 4)
    failing = LatencyTable(latency=Latency(device="xpu"))
    with pytest.raises(LanistaError, match=r"Embedding\(3, 4\) on 2 int64 cannot be measured by itself: device"):
        failing(index, torch.tensor([1, 2]))


def test_calibration_compares_with_whole_models():
    found = LatencyTable(latency=QUICK).calibrate(SPACE, samples=3)
    assert len(found.estimated) == len(found.measured) == 3
    assert found.ratio > 0
    assert "3 models: rank correlation" in str(found)
    with pytest.raises(SpaceError, match="samples is 1"):
        LatencyTable().calibrate(SPACE, samples=1)


@pytest.mark.parametrize(
    ("estimated", "measured", "correlation"),
    [
        ((1, 2, 3), (10, 20, 90), 1),
        ((1, 2, 3), (3, 2, 1), -1),
        ((1, 2, 3, 4), (2, 1, 4, 3), 0.6),
        ((1, 1, 2), (1, 2, 3), math.sqrt(3) / 2),
        ((1, 1, 1), (1, 2, 3), math.nan),
    ],
)
def test_rank_correlation_is_spearmans(estimated, measured, correlation):
    assert Calibration(estimated, measured).rank_correlation == pytest.approx(correlation, nan_ok=True)


def test_the_machine_has_a_name():
    assert table._machine("cpu")


def test_names_for_foreign_tables_can_be_listed():
    model = SPACE.build(SPACE.decisions.default())
    listed = LatencyTable().operations(model, ROW)
    assert sum(listed.values()) == len(operations(model, ROW))
    assert LatencyTable(naming=by_type).operations(model, ROW) == {"Linear": 2}
