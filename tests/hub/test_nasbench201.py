import itertools
from random import Random

import pytest
import torch

from lanista.errors import SpaceError
from lanista.hub import CATALOG, NASBench201
from lanista.hub.nasbench201 import CLASSES, OPERATIONS, architecture
from tests.hub.cases import parameters, table

NAMES = tuple(OPERATIONS)
EDGES = ["0_1", "0_2", "1_2", "0_3", "1_3", "2_3"]


def of(operations):
    return {f"cell/{edge}": name for edge, name in zip(EDGES, operations, strict=True)}


def test_there_are_as_many_architectures_as_in_the_benchmark():
    assert NASBench201(width=2, num_cells=1).decisions.size == 15_625 == CATALOG["NASBench201"].size


@pytest.mark.parametrize("dataset", CLASSES)
def test_every_count_of_parameters_is_that_of_the_table(dataset):
    """The count of a network without operations, plus what each operation adds: all of them, some by building."""
    np = pytest.importorskip("numpy")
    rows = np.load(table("nasbench201.npz"))
    space = NASBench201(dataset=dataset)
    least = parameters(space, of(["none"] * 6))
    adds = np.array([[_added(space, least, edge, name) for name in NAMES] for edge in range(6)])
    counts = least + adds[np.arange(6), rows["ops"]].sum(1)
    assert len(counts) == 15_625
    assert np.abs(counts / 1e6 - rows[f"{dataset}_params"]).max() < 1e-6
    for index in Random(0).sample(range(15_625), 5):
        assert parameters(space, of(NAMES[op] for op in rows["ops"][index])) == counts[index]


def _added(space, least, edge, name):
    operations = ["none"] * 6
    operations[edge] = name
    return parameters(space, of(operations)) - least


def test_the_text_of_the_benchmark_is_read():
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    assert architecture(text) == of(
        ["nor_conv_3x3", "none", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"]
    )


def test_only_the_chosen_operations_matter():
    space = NASBench201(width=2, num_cells=1, num_classes=4)
    images = torch.randn(2, 3, 32, 32)
    for operations in itertools.islice(itertools.product(NAMES, repeat=6), 0, None, 2500):
        assert space.build(of(operations)).eval()(images).shape == (2, 4)
    silent = space.build(of(["none"] * 6)).eval()
    assert torch.equal(*silent(images)), "without operations, a cell lets nothing through"


def test_the_dataset_gives_classes_and_resolution():
    space = NASBench201(width=2, num_cells=1, dataset="imagenet16")
    assert space.example_input.shape == (1, 3, 16, 16)
    assert space.build(space.sample(0)).eval()(space.example_input).shape == (1, 120)
    with pytest.raises(SpaceError, match="dataset is 'mnist'; it must be one of 'cifar10', 'cifar100', 'imagenet16'"):
        NASBench201(dataset="mnist")
