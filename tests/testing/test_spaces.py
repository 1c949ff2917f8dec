import pytest
from hypothesis import Phase, find, settings

from lanista.space import Categorical, Integer, Real, Subset
from lanista.testing.spaces import search_spaces

search = settings(max_examples=2000, derandomize=True, database=None, phases=[Phase.generate])


def has_parents(most, space):
    return any(len({parent for clause in d.when for parent in clause}) >= most for d in space)


@pytest.mark.parametrize(
    "wanted",
    [
        lambda space: {type(d.domain) for d in space} == {Categorical, Subset, Integer, Real},
        lambda space: any(len(d.when) == 3 for d in space),
        lambda space: has_parents(3, space),
        lambda space: any(isinstance(space[parent], Real) for d in space for clause in d.when for parent in clause),
        lambda space: any(isinstance(v, list) for d in space for v in getattr(d.domain, "options", ())),
        lambda space: any(getattr(d.domain, "log", False) for d in space),
        lambda space: any(getattr(d.domain, "n_chosen", 1) is None for d in space),
        lambda space: len(space) == 0,
    ],
)
def test_every_kind_of_space_comes_up(wanted):
    assert wanted(find(search_spaces(), wanted, settings=search))
