from __future__ import annotations

import pytest

from lanista.testing import strategies


@pytest.fixture
def one_seed(monkeypatch):
    """The laws with one seed in place of two, for strategies of which a proposal costs milliseconds."""
    monkeypatch.setattr(strategies, "SEEDS", strategies.SEEDS[:1])
