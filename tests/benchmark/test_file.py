from pathlib import Path

import pytest

from lanista.benchmark import file
from lanista.errors import BenchmarkError


def test_a_given_folder_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv(file.VARIABLE, "/from/environment")
    assert file.folder("/given") == Path("/given")
    assert file.folder(None) == Path("/from/environment")
    monkeypatch.setenv(file.VARIABLE, "")
    assert file.folder(None) is None


def test_without_a_folder_the_error_says_how_to_name_one(monkeypatch):
    monkeypatch.delenv(file.VARIABLE, raising=False)
    with pytest.raises(BenchmarkError, match=r"nobody says where x.parquet is: .*folder=\.\.\., or set LANISTA_BENCH"):
        file.located("x.parquet", None)


def test_a_missing_library_is_named_with_its_cure():
    with pytest.raises(BenchmarkError, match=r"tables need it \(No module named 'no_such.*\): pip install 'lan"):
        file.library("no_such_library", "tables need it")
