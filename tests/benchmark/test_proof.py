"""The proof cards are there, say what was measured, and a quick run of each strategy agrees with its card."""

import json
import math
import sys
from pathlib import Path

import pytest

from lanista.benchmark import nasbench201, published
from lanista.benchmark.protocol import BUDGETS, Summary, queries
from lanista.errors import BenchmarkError
from tests.benchmark.cases import complete

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "docs" / "proof"
sys.path.append(str(ROOT / "benchmarks"))

from contenders import CONTENDERS, Bar  # noqa: E402
from proof import Outcomes, beside, card, fingerprint, held, run  # noqa: E402

each = pytest.mark.parametrize("name", CONTENDERS)


def read(name):
    return json.loads((CARDS / f"{name}.json").read_text())


def test_there_is_a_card_for_each_contender_and_no_other():
    assert {path.stem for path in CARDS.glob("*.json")} == set(CONTENDERS)


@each
def test_a_card_has_all_that_its_contender_is_proven_by(name):
    told, contender = read(name), CONTENDERS[name]
    assert told["strategy"] == name
    assert told["settings"] == repr(contender.make())
    assert len(told["commit"]) >= 40 and told["date"] and told["versions"]["lanista"]
    for protocol in set(contender.protocols) & {"A", "B"}:
        for dataset in BUDGETS:
            found = [one for one in told["results"] if (one["protocol"], one["dataset"]) == (protocol, dataset)]
            spent = {one["evaluations"] for one in found} if protocol == "B" else {found[0]["budget_seconds"]}
            wanted = {count for count in (50, 100, 150, 300) if count <= contender.evaluations}
            assert spent >= (wanted if protocol == "B" else {BUDGETS[dataset]})
    for one in told["results"] + told["hypervolume"]:
        assert one["standard_error"] == pytest.approx(one["std"] / math.sqrt(one["seeds"]), abs=1e-4)
        assert "published" in one and "source" in one
    assert [price["observed"] for price in told["proposing"]] == [100, 1_000, 10_000]


@pytest.fixture(scope="module")
def table():
    """Where it is from does not matter: all sources have validation accuracies."""
    try:
        return nasbench201("cifar10")
    except BenchmarkError:
        return complete("cifar10")


@each
def test_a_quick_run_agrees_with_the_card(name, table):
    """Means over few seeds, within two standard errors of both together."""
    contender, told = CONTENDERS[name], read(name)["curves"]["cifar10"]
    seeds, count = contender.fast
    (validation,) = table.columns("validation")
    values = [queries(contender.make(), table, seed, count).curve(validation, [count])[0] for seed in range(seeds)]
    place = told["evaluations"].index(count)
    std = told["validation_std"][place]  # of few runs, it is itself uncertain
    error = std * math.sqrt(1 / seeds + 1 / told["seeds"])
    assert Summary.of(values).mean == pytest.approx(told["validation"][place], abs=2 * error)


@pytest.mark.parametrize(("name", "method"), [("random", "RS"), ("evolution", "REA(10,3)")])
def test_the_cards_of_the_baselines_agree_with_a_second_implementation(name, method):
    compared = 0
    for one in read(name)["results"]:
        amount = one.get("evaluations") or one["budget_seconds"]
        for metric, figures in (("test", one), ("validation", one.get("validation"))):
            for row in published.rows(
                method, one["protocol"], one["dataset"], amount=amount, metric=metric, source=published.MEASURED
            ):
                mine = Summary(figures["seeds"], figures["mean"], figures["std"], figures["standard_error"])
                error = (row.std or mine.std) / math.sqrt(row.seeds)
                assert mine.seeds >= 500
                assert mine.distance(row.mean, error) <= 2, row
                compared += 1
    assert compared >= 12


def test_an_interrupted_proof_goes_on_where_it_stopped(tmp_path, monkeypatch):
    complete("cifar10")  # skips where there is none
    monkeypatch.setattr("proof.OUTCOMES", tmp_path)
    key = ("B", "cifar10", "")
    outcomes = Outcomes("random")
    outcomes.add(key, run("random", key, [1, 2]))
    outcomes.add(key, run("random", key, [0]))
    path = tmp_path / "random" / "B-cifar10.jsonl"
    path.write_text(path.read_text() + '{"seed": 3, "te')  # killed in the middle of a line
    again = Outcomes("random")
    assert [outcome["seed"] for outcome in again.read(key)] == [0, 1, 2]
    again.add(key, run("random", key, [3]))
    assert [outcome["seed"] for outcome in again.read(key)] == [0, 1, 2, 3]
    told = card("random", again, [])
    assert {one["dataset"] for one in told["results"]} == {"cifar10"}
    assert all(one["seeds"] == 4 for one in told["results"])
    assert told["curves"]["cifar10"]["evaluations"][-1] == 500


def test_outcomes_of_other_settings_are_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setattr("proof.OUTCOMES", tmp_path)
    key = ("A", "cifar10", "")
    Outcomes("random").add(key, [{"seed": 0}])
    assert len(Outcomes("random").read(key)) == 1
    monkeypatch.setattr("proof.versions", lambda: {"torch": "another"})
    assert Outcomes("random").read(key) == []
    assert fingerprint("random") != fingerprint("evolution") != fingerprint("evolution-50")


def test_the_price_of_proposing_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr("proof.OUTCOMES", tmp_path)
    measured = iter([[{"observed": 100, "milliseconds": 1.0}]])
    monkeypatch.setattr("proof.prices", lambda name: next(measured))
    assert Outcomes("random").prices("random") == Outcomes("random").prices("random")


def test_published_figures_stand_beside_ours():
    told = beside(CONTENDERS["evolution"], "A", "cifar10", 20_000, "test")
    assert (told["published"], told["measured"]) == (94.02, 94.08)
    assert told["source"].startswith("REA(10,3): Dong, Liu")
    assert beside(CONTENDERS["evolution"], "B", "cifar10", 50, "test") == {"published": None, "source": None}


def test_a_bar_is_held_against_the_figure_that_it_is_about():
    results = [
        {"protocol": "B", "dataset": dataset, "metric": "test", "evaluations": count, "mean": mean}
        for dataset, mean in zip(BUDGETS, (94.2, 72.0, 46.1), strict=True)
        for count in (100, 150)
    ]
    judged = list(held(Bar("B", 150, (94.15, 72.7, 46.1)), results, []))
    assert [(one["dataset"], one["met"]) for one in judged] == [
        ("cifar10", True), ("cifar100", False), ("imagenet16-120", True),
    ]  # fmt: skip
