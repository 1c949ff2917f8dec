import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from lanista.oneshot import SPOS
from lanista.oneshot.reduction import average, processes
from tests.oneshot.ranks import METHODS, SIZE, own_part, search

WHOLE = slice(None)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes found, by name."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.oneshot.ranks", str(folder), str(rank)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(SIZE)
    ]
    errors = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * SIZE, "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(SIZE)]


def differences(one, other, path=""):
    """The places where two nested states differ, by more than 1e-6 where they are numbers."""
    if isinstance(one, torch.Tensor):
        if one.shape != other.shape or not torch.allclose(one, other, 0, 1e-6, equal_nan=True):
            yield path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name in one:
            yield from differences(one[name], other[name], f"{path}/{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}/{index}")
    elif one != (pytest.approx(other, abs=1e-6) if isinstance(other, float) else other):
        yield path


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_do_what_one_does_on_the_joint_batch(name, ranks):
    alone = search(METHODS[name](), WHOLE)
    for rank in ranks:
        assert rank[name].keys() == alone.keys()
        assert list(differences(rank[name], alone)) == []


@pytest.mark.parametrize("name", [*METHODS, "norms"])
def test_all_processes_have_the_same_to_the_bit(name, ranks):
    first, second = (rank[name] for rank in ranks)
    assert first["trained"] == second["trained"]
    assert first["best"] == second["best"]
    for key, value in first["weights"].items():
        assert torch.equal(value, second["weights"][key]), key


def test_a_search_has_moved(ranks):
    start = search(SPOS(), WHOLE, steps=0)["weights"]
    for name in METHODS:
        assert list(differences(ranks[0][name]["weights"], start)), name


def test_running_statistics_are_the_average_of_those_of_all_processes(ranks):
    parts = [search(SPOS(), own_part(rank), nn.BatchNorm1d, 1)["weights"] for rank in range(SIZE)]
    keys = [key for key in parts[0] if "running" in key]
    assert len(keys) == 2
    for key in keys:
        assert not torch.allclose(parts[0][key], parts[1][key])
        expected = (parts[0][key] + parts[1][key]) / 2
        for rank in ranks:
            assert torch.allclose(rank["norms of a step"]["weights"][key], expected, 0, 1e-6)


def test_averages_keep_types_and_precision(ranks):
    for rank in ranks:
        double, single, half = rank["numbers"]
        assert [number.dtype for number in rank["numbers"]] == [torch.float64, torch.float32, torch.bfloat16]
        assert double.tolist() == [1.5 + 1e-12] * 2
        assert single.tolist() == half.tolist() == [1.5] * 2


def test_one_process_changes_nothing():
    number = torch.ones(2)
    average([number])
    assert number.tolist() == [1.0, 1.0]
    assert processes() == 1
