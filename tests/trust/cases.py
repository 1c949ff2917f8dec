"""What the tests of trust share: the measured tables, and made-up scores of known correlation."""

import numpy as np
import pytest

from tests.hub.cases import table


def measured(dataset, space="nasbench201"):
    """Columns of the zero-cost scores of a space on a data set; skips where the tables or pyarrow are absent."""
    parquet = pytest.importorskip("pyarrow.parquet")
    read = parquet.read_table(
        table("zerocost_scores.parquet"), filters=[("space", "=", space), ("dataset", "=", dataset)]
    )
    return {name: np.array(values) for name, values in read.to_pydict().items()}


def normal(seed, n, proxy, parameters):
    """(proxy, real, parameters) of n architectures, normal, with these correlations to the real score."""
    random = np.random.default_rng(seed)
    real = random.normal(size=n)
    return tuple(
        real if rho is None else rho * real + np.sqrt(1 - rho**2) * random.normal(size=n)
        for rho in (proxy, None, parameters)
    )
