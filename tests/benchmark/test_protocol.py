import math
import statistics

import pytest
from torch import nn

from lanista import ModelSpace, choice
from lanista.benchmark import Table, published
from lanista.benchmark.protocol import BUDGETS, Search, Summary, budget, fronts, queries
from lanista.errors import BenchmarkError
from lanista.strategy import GridSearch, Random, RegularizedEvolution
from tests.benchmark.cases import complete


class Digits(nn.Identity):
    def __init__(self):
        super().__init__()
        choice(range(10), label="tens")
        choice(range(10), label="ones")


@pytest.fixture(scope="module")
def table():
    """A hundred networks; network n has the accuracy n, and the second training seed sees 99 - n."""
    models = ModelSpace(Digits)
    columns = {
        "validation": range(100),
        "validation_seed0": range(100),
        "validation_seed1": range(99, -1, -1),
        "validation_12": range(100),
        "test": range(100),
        "seconds_12": [10.0] * 100,
        "parameters": range(100),
    }
    seeds = {"validation": ["validation_seed0", "validation_seed1"]}
    return Table("digits", models, models.decisions.grid(), columns, seeds=seeds)


def test_the_incumbent_is_the_best_by_what_was_observed(table):
    test = table.columns("test")[0]
    seen = queries(GridSearch(), table, 0, 30)
    assert seen.rows == seen.incumbents == list(range(30)), "each one better than all before"
    seen = queries(GridSearch(), table, 1, 30)
    assert seen.incumbents == [0] * 30, "the other training seed sees it the other way round"
    assert seen.curve(test, [1, 30]) == [0, 0]


def test_a_search_that_ends_keeps_its_incumbent(table):
    seen = queries(GridSearch(), table, 0, 500)
    assert len(seen.rows) == 100
    assert seen.curve(table.columns("test")[0], [99, 100, 101, 500]) == [98, 99, 99, 99]


def test_repeated_queries_are_charged(table):
    assert len(queries(Random(dedup=False), table, 0, 300).rows) == 300


def test_a_budget_is_spent_and_the_last_training_counts(table):
    seen = budget(Random(), table, 0, 95.0)
    assert (len(seen.rows), seen.seconds) == (10, 100.0)
    assert budget(Random(), table, 0, 100.0) == seen
    assert len(budget(Random(), table, 0, 0.0).rows) == 0
    with pytest.raises(BenchmarkError, match="no metric 'validation_12'"):
        budget(Random(), Table("bare", table.models, table.architectures, {"test": range(100)}), 0, 1.0)


def test_the_hypervolume_grows_to_that_of_all(table):
    shares = fronts(GridSearch(), table, 0, "parameters", [1, 50, 100])
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    # Observed the wrong way round, the first network looks best in both.
    assert fronts(GridSearch(), table, 1, "parameters", [1, 50, 100])[2] == shares[0]


def test_a_summary_has_mean_spread_and_standard_error():
    summary = Summary.of([1.0, 2.0, 3.0, 6.0])
    assert summary == Summary(4, 3.0, statistics.stdev([1, 2, 3, 6]), statistics.stdev([1, 2, 3, 6]) / 2)
    assert summary.distance(4.0, 0.0) == pytest.approx(1 / summary.standard_error)
    assert Summary.of([5.0]) == Summary(1, 5.0, 0.0, 0.0)
    assert Search([3], [3]).curve([0, 0, 0, 7.0], [1, 9]) == [7.0, 7.0]


SEEDS = 60
RS, REA = Random(dedup=False), RegularizedEvolution(population_size=10, sample_size=3)


@pytest.mark.parametrize("dataset", BUDGETS)
@pytest.mark.parametrize(("method", "strategy"), [("RS", RS), ("REA(10,3)", REA)])
def test_both_protocols_give_what_a_second_implementation_measured(dataset, method, strategy):
    """With few seeds; `benchmarks/proof.py` has many."""
    table = complete(dataset)
    test = table.columns("test")[0]
    by_time = [budget(strategy, table, seed, BUDGETS[dataset]).curve(test, [10**9])[0] for seed in range(SEEDS)]
    by_count = [queries(strategy, table, seed, 100).curve(test, [100])[0] for seed in range(SEEDS)]
    for protocol, amount, values in (("A", BUDGETS[dataset], by_time), ("B", 100, by_count)):
        row = published.rows(method, protocol, dataset, amount=amount, metric="test", source=published.MEASURED)[0]
        assert Summary.of(values).distance(row.mean, row.std / math.sqrt(row.seeds)) < 2.5
