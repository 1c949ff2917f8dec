"""Where the tables of measured results are."""

from functools import cache
from pathlib import Path

import pytest

from lanista.benchmark import nasbench201


def folder():
    """The folder with the tables; skips the test where it is not beside the checkout."""
    for parent in Path(__file__).resolve().parents:
        path = parent / "shared" / "data" / "tables"
        if path.is_dir():
            return path
    return pytest.skip("there is no shared/data/tables beside the checkout")


@cache
def complete(dataset):
    """NAS-Bench-201 with all that was measured."""
    return nasbench201(dataset, folder())
