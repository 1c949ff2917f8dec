import pytest

# Contract suites assert too; their failures should be as readable as those of test files.
pytest.register_assert_rewrite("lanista.testing")
