from lanista.oneshot import SPOS, RandomSharing
from lanista.strategy import Random
from tests.oneshot.paths import SPACES, started, trained


def test_it_trains_what_spos_trains():
    space = SPACES["layers"]()
    pair = [started(kind(), space, seed=3)[0] for kind in (RandomSharing, SPOS)]
    for _ in range(10):
        first, second = (trained(method) for method in pair)
        assert first == second
        assert len(first) == 1


def test_the_search_is_random_and_meets_no_architecture_twice():
    strategy, space = RandomSharing().searcher(), SPACES["layers"]().decisions
    assert isinstance(strategy, Random)
    strategy.reset(space, 0)
    assert len({space.key(strategy.propose()) for _ in range(18)}) == 18
