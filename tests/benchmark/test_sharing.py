"""The proof of one-shot methods: what a result is worth is exact, a small run gives a card, and a card its page."""

import dataclasses
import json
import pickle
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from lanista.hub.nasbench201 import architecture
from lanista.oneshot import Method
from tests.benchmark.cases import complete, folder

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "docs")]

import oneshot  # noqa: E402
import shared  # noqa: E402
import sharing  # noqa: E402
from handwritten import LOOPS  # noqa: E402
from outcomes import Kept  # noqa: E402
from supernets import COSTS, REDUCED, batches, cells, data, duration, make, methods, run  # noqa: E402

TINY = dataclasses.replace(
    REDUCED, width=2, cells=1, pixels=8, images=64, passes=16, batch=8, validation=20, recalibration=1, evaluations=6,
    ranked=10,
)  # fmt: skip
CARDS = sorted((ROOT / "docs" / "proof" / "oneshot").glob("*.json"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder like that of CIFAR-10, with 100 images of noise."""
    place, random = tmp_path_factory.mktemp("cifar"), np.random.default_rng(0)
    for number in range(1, 6):
        batch = {b"data": random.integers(0, 256, (20, 3072), np.uint8), b"labels": [i % 10 for i in range(20)]}
        (place / f"data_batch_{number}").write_bytes(pickle.dumps(batch))
    return place


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.setenv("LANISTA_BENCHMARKS", str(folder()))


def test_every_method_is_proven_and_has_a_loop_by_hand():
    assert {"DARTS", "DARTS-2", "SPOS"} <= set(methods())
    assert set(methods()) == set(LOOPS) == set(COSTS)
    assert all(isinstance(make(name, TINY), Method) for name in methods())


@pytest.mark.parametrize("name", methods())
def test_a_loop_by_hand_runs_what_the_method_ran(name, capsys):
    oneshot.step(name, (4, 1, 4), 3)
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == f"step of {name}" and 0 < told["low"] <= told["value"] <= told["high"]


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("cifar10", (87.08, 92.05, 92.61, 93.03, 93.31, 93.62)),
        ("cifar100", (61.52, 67.89, 68.91, 69.72, 70.28, 70.89)),
        ("imagenet16-120", (33.87, 40.42, 42.01, 43.37, 44.21, 44.88)),
    ],
)
def test_what_random_trainings_find_agrees_with_a_simulation(dataset, expected, tables):
    """Of 2,000 runs, by a second implementation."""
    found = [sharing.random_search(dataset, count) for count in (1, 3, 5, 10, 20, 50)]
    assert found == pytest.approx(expected, abs=0.3)
    (test,) = complete(dataset).columns("test")
    assert found[0] == pytest.approx(sum(test) / len(test))
    assert [sharing.worth(dataset, value) for value in found[1:]] == pytest.approx([3, 5, 10, 20, 50], rel=0.02)
    assert sharing.worth(dataset, found[0] - 1) == 0
    assert sharing.worth(dataset, 99.0) is None


def test_rank_correlations_are_those_of_all_and_of_the_best():
    real = list(range(20))
    assert sharing.taus(real, real) == {"all": 1.0, "top": 1.0}
    assert sharing.taus([*real[:16], 19, 18, 17, 16], real) == {"all": pytest.approx(0.9368, abs=1e-4), "top": -1.0}
    assert sharing.taus([1.0] * 20, real) == {"all": 0.0, "top": 0.0}


def test_cells_are_written_as_the_benchmark_writes_them():
    ranked = cells(TINY)
    assert ranked == cells(REDUCED)[:10]
    assert [architecture(sharing.written(cell)) for cell in ranked] == ranked


def test_no_image_is_in_two_parts(images):
    parts = data(TINY, images, learns=True)
    assert [len(y) for _, y in parts] == [32, 32, 20]
    assert len({tuple(x.flatten().tolist()) for part in parts for x in part[0]}) == 84
    weights, other, validation = data(TINY, images, learns=False)
    assert other is None and len(weights[1]) == 64 and torch.equal(validation[0], parts[2][0])
    too_many = data(dataclasses.replace(TINY, images=1000), images, learns=True)
    assert [len(y) for _, y in too_many] == [40, 40, 20]


def test_an_epoch_has_each_image_once(images):
    weights, _, _ = data(TINY, images, learns=True)
    seen = batches((weights[0], torch.arange(32)), 8, torch.Generator().manual_seed(0))
    first, second = ([number for _ in range(4) for number in next(seen)[1].tolist()] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(32)) and first != second


def test_searches_cost_about_the_same_or_have_as_many_epochs():
    assert duration("SPOS", TINY, 32) == 16
    assert duration("DARTS", TINY, 32) == 2
    assert duration("DARTS", dataclasses.replace(TINY, epochs=3), 32) == 12


@pytest.mark.parametrize("name", ["DARTS", "SPOS"])
def test_a_run_gives_a_card_and_a_card_its_page(name, images, tables, tmp_path, monkeypatch):
    monkeypatch.setattr("sharing.CARDS", tmp_path)
    monkeypatch.setattr("shared.FOLDER", tmp_path)
    assert shared.pages() == {}
    first, again = run(name, 0, TINY, images), run(name, 0, TINY, images)
    timed = ("search_seconds", "choice_seconds", "ranking_seconds", "before_mib", "peak_mib")
    assert {key: first[key] for key in first if key not in timed} == {
        key: again[key] for key in again if key not in timed
    }
    assert first["second_phase"] == (name == "SPOS")
    assert len(first["accuracies"]) == len(first["losses"]) == 10
    told = sharing.card(name, TINY, "reduced", [first, {**first, "seed": 1, "collapse": ["all is skipped"]}])
    assert told["test"]["cifar10"]["mean"] == pytest.approx(
        complete("cifar10").query(first["found"], "test")["test"], abs=0.01
    )
    sharing.write(told)
    assert json.loads((tmp_path / f"{name.lower()}.json").read_text()) == told
    made = shared.pages()
    assert set(made) == {"proof/oneshot/index.md", "proof/oneshot/reduced.svg"}
    page = made["proof/oneshot/index.md"]()
    for words in (
        f"| {name}",
        f"{name}, seed 1: all is skipped",
        "| NATS-Bench | GDAS | GDAS |",
        "**not** the setting",
    ):
        assert words in page
    ElementTree.fromstring(made["proof/oneshot/reduced.svg"]())


def test_a_result_worse_than_a_random_cell_is_called_so(images, tables):
    told = sharing.card("SPOS", TINY, "reduced", [run("SPOS", 0, TINY, images)])
    told["test"]["cifar10"] |= {"mean": 54.3, "worth": 0.0}
    page = shared.page([told])
    assert "* SPOS: 54.30 on CIFAR-10, and a random cell has 87.0" in page
    assert "| **under 1** |" in page


def test_outcomes_of_other_settings_are_thrown_away(tmp_path, images):
    marks = [sharing.fingerprint("SPOS", settings, images) for settings in (TINY, REDUCED)]
    assert marks[0] != marks[1] != sharing.fingerprint("DARTS", REDUCED, images)
    Kept(tmp_path, marks[0]).append("runs", [{"seed": 1}, {"seed": 0}])
    assert [outcome["seed"] for outcome in Kept(tmp_path, marks[0]).lines("runs")] == [0, 1]
    assert Kept(tmp_path, marks[1]).lines("runs") == []


def test_every_method_has_a_card_of_three_seeds():
    cards = {
        told["method"]: told
        for told in map(json.loads, (path.read_text() for path in CARDS))
        if told["size"] == "reduced"
    }
    assert set(cards) == set(methods())
    assert all(len(told["runs"]) >= 3 for told in cards.values())


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_a_card_is_of_a_method_that_there_is(path):
    told = json.loads(path.read_text())
    settings = sharing.SIZES[told["size"]]
    assert path.stem == sharing.slug(told["method"], told["size"])
    assert told["size"] == "full" or told["settings"] == repr(make(told["method"], settings))
    other = {name for name, value in dataclasses.asdict(settings).items() if told["protocol"][name] != value}
    assert other <= ({"images", "epochs"} if told["size"] == "full" else set())  # what there was, and time for
    assert len(told["commit"]) >= 40 and [run["seed"] for run in told["runs"]] == list(range(len(told["runs"])))
