from random import Random

import pytest
import torch

from lanista.hub import CATALOG, NASBench101
from lanista.hub.nasbench101 import OPERATIONS
from lanista.space import dag
from tests.hub.cases import parameters, table

# Rows of the tables below, kept here for those who cannot read parquet: matrix, operations, trainable parameters.
ROWS = [
    ("0110001000010000", "conv1x1-bn-relu,conv1x1-bn-relu", 3_831_434),
    ("0111000110000010000100000", "maxpool3x3,conv3x3-bn-relu,maxpool3x3", 3_644_554),
]


def of(matrix, operations):
    count = round(len(matrix) ** 0.5)
    rows = tuple(tuple(map(int, matrix[i * count : (i + 1) * count])) for i in range(count))
    return dag.architecture(*dag.pruned(rows, tuple(operations)), "cell")


def test_the_space_says_how_many_cells_are_distinct():
    assert CATALOG["NASBench101"].size == 423_624  # counted in tests/space/test_dag.py


@pytest.mark.parametrize(("matrix", "operations", "count"), ROWS)
def test_parameters_are_those_of_the_benchmark(matrix, operations, count):
    assert parameters(NASBench101(), of(matrix, operations.split(","))) == count


@pytest.mark.parametrize(("name", "unit"), [("nasbench101_500", 1e6), ("ecnas_nb101_small", 1)])
def test_parameters_are_those_of_the_tables(name, unit):
    path = table(f"{name}.parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(path, columns=["matrix", "ops", "params"]).to_pylist()
    space = NASBench101()
    for row in Random(0).sample(rows, 60):
        count = parameters(space, of(row["matrix"], row["ops"].split(",")[1:-1]))
        assert abs(count - row["params"] * unit) < 2, row  # millions are in single precision


def test_drawn_cells_build_and_keep_the_limit():
    space = NASBench101(width=8, num_stacks=2, num_cells=1, num_classes=3)
    random = Random(0)
    for _ in range(5):
        architecture = space.decisions.validate(dag.architecture(*dag.sample(random, tuple(OPERATIONS)), "cell"))
        assert not space.decisions.violations(architecture)
        assert space.build(architecture).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
