import pytest

from lanista.benchmark import transnasbench101
from lanista.benchmark.transnasbench import TASKS
from lanista.errors import BenchmarkError
from tests.benchmark.cases import folder


@pytest.mark.parametrize(("space", "size"), [("micro", 4096), ("macro", 3256)])
def test_the_space_is_exactly_what_was_measured(space, size):
    table = transnasbench101(space, folder())
    assert len(table) == size
    assert {table.space.key(one) for one in table.space.grid()} == set(map(table.space.key, table.architectures))
    assert set(TASKS) < set(table.metrics)


def test_known_networks_have_their_values():
    """The first rows of the files, read by hand."""
    micro = dict(zip(["0_1", "0_2", "1_2", "0_3", "1_3", "2_3"], [2, 3, 2, 3, 2, 3], strict=True))
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
    cell = {f"cell/{edge}": names[code] for edge, code in micro.items()}
    assert transnasbench101("micro", folder()).query(cell)["class_scene"] == pytest.approx(53.836586)
    moves = ["reduce", "widen_reduce", "widen", "reduce", "widen", "reduce"]
    macro = {"modules": 6} | {f"module{i}": move for i, move in enumerate(moves)}
    assert transnasbench101("macro", folder()).query(macro)["jigsaw"] == pytest.approx(86.624207)


def test_an_unknown_space_is_an_error():
    with pytest.raises(BenchmarkError, match="space is 'huge'; TransNAS-Bench-101 has 'micro' and 'macro'"):
        transnasbench101("huge")
