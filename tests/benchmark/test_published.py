import pytest

from lanista.benchmark import published
from lanista.benchmark.protocol import BUDGETS


def test_rows_are_found_by_what_they_are():
    (row,) = published.rows("REINFORCE", "A", "cifar100", metric="test")
    assert (row.mean, row.std, row.amount, row.seeds, row.source) == (71.86, 0.89, 40_000, 500, published.NATS)
    (row,) = published.rows("local search", "B", "imagenet16-120", amount=150)
    assert (row.mean, row.std, row.metric) == (46.20, None, "test")
    (row,) = published.rows("NSGA-II", "hypervolume", "cifar10", amount=200, metric="latency")
    assert row.mean == 0.951
    assert [row.mean for row in published.rows("GDAS", "one-shot", "cifar10", metric="test")] == [93.51, 93.23]
    assert published.rows("nobody") == []


def test_every_method_is_there_for_every_data_set():
    by_dataset = [{(row.method, row.protocol) for row in published.rows(dataset=dataset)} for dataset in BUDGETS]
    assert by_dataset[0] == by_dataset[1] == by_dataset[2]
    assert {method for method, _ in by_dataset[0]} >= {"RS", "REA(10,3)", "REA(50,10)", "local search", "NSGA-II"}


@pytest.mark.parametrize("row", published.ROWS, ids=lambda row: f"{row.method} {row.protocol} {row.dataset}")
def test_no_accuracy_is_above_the_optimum(row):
    best = {"cifar10": 94.37, "cifar100": 73.51, "imagenet16-120": 47.31}[row.dataset]
    assert 0 < row.mean <= (1 if row.protocol == "hypervolume" else best)
