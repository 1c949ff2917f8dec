"""What is listed is proposed, in its order."""

import pytest

from lanista.errors import ArchitectureError
from lanista.space import Categorical, SearchSpace
from lanista.strategy import Listed
from lanista.testing.strategies import drive, hashed

SPACE = SearchSpace({"op": Categorical(["conv", "pool"]), "kernel": Categorical([3, 5])})


def test_architectures_are_proposed_in_order_as_often_as_they_are_listed():
    listed = [{"op": 1, "kernel": 3}, {"kernel": 5, "op": "conv"}, {"op": 1, "kernel": 3}]
    strategy = Listed(iter(listed))
    for _ in range(2):
        assert [trial.architecture for trial in drive(strategy, SPACE, hashed, 10)] == [
            {"op": "pool", "kernel": 3},
            {"op": "conv", "kernel": 5},
            {"op": "pool", "kernel": 3},
        ]
    with pytest.raises(StopIteration, match="all 3 architectures were proposed"):
        strategy.propose()


def test_what_does_not_fit_the_space_is_refused_at_once():
    with pytest.raises(ArchitectureError, match="'kernel' has the value 4"):
        Listed([{"op": "conv", "kernel": 4}]).reset(SPACE, 0)


def test_it_says_how_many():
    assert repr(Listed([{}, {}])) == "Listed(2 architectures)"
