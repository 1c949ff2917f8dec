"""Where the files of measured results are, and how they are read. Nothing is ever downloaded."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from lanista.errors import BenchmarkError

VARIABLE = "LANISTA_BENCHMARKS"
"""The environment variable that names the folder with the files."""


def folder(given: str | Path | None) -> Path | None:
    """The folder with the files: the given one, else that of the environment variable, else None."""
    named = given if given is not None else os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else None


def located(name: str, given: str | Path | None) -> Path:
    """The path of a file.

    Raises:
        BenchmarkError: no folder is named, or the file is not in it.
    """
    where = folder(given)
    if where is None:
        raise BenchmarkError(f"nobody says where {name} is: give its folder, folder=..., or set {VARIABLE} to it")
    if not (where / name).is_file():
        raise BenchmarkError(f"there is no {name} in {where}; give the folder that has it, folder=... or {VARIABLE}")
    return where / name


def parquet(name: str, given: str | Path | None) -> dict[str, list[Any]]:
    """The columns of a Parquet file, as Python values; None where there is none.

    Raises:
        BenchmarkError: the file is not there or cannot be read, or pyarrow is not installed.
    """
    path = located(name, given)
    reader = library("pyarrow.parquet", "Parquet files need pyarrow")
    try:
        columns: dict[str, list[Any]] = reader.read_table(path).to_pydict()
    except (OSError, ValueError) as error:  # pyarrow's errors are either
        raise BenchmarkError(f"{path} cannot be read: {error}") from error
    return columns


def library(name: str, need: str) -> Any:
    """An optional library; raises BenchmarkError with `need` and what to install where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise BenchmarkError(f"{need} ({error}): pip install 'lanista[benchmark]'") from error
