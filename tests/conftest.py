import os

import pytest

# Workers of pytest-xdist share the processors: torch's threads, set up when it is imported, would only wait.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Contract suites assert too; their failures should be as readable as those of test files.
pytest.register_assert_rewrite("lanista.testing")
