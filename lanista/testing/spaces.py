"""Random search spaces, as Hypothesis strategies: conditions, several parents, every kind of domain.

Needs Hypothesis (`pip install hypothesis`); nothing else in lanista does.

    @given(search_spaces(continuous=False))
    def test_my_strategy_finds_all(space): ...
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lanista.space.decision import Clause, Decision
from lanista.space.domain import Architecture, Categorical, Domain, Integer, Real, Subset, Value, key
from lanista.space.search import SearchSpace

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.5, -0.25]),
    st.text("ab[1]", max_size=3),
)


def values() -> SearchStrategy[Value]:
    """JSON values such as candidates are: mostly scalars, some lists and mappings."""
    return st.recursive(
        _scalars,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
        max_leaves=3,
    )


def domains(*, continuous: bool = True, size: int = 4) -> SearchStrategy[Domain]:
    """Domains of every kind, with up to `size` candidates or integers; `continuous` allows `Real`."""
    kinds: list[SearchStrategy[Domain]] = [_categories(size), _subsets(size), _integers(size)]
    return st.one_of(*kinds, _reals()) if continuous else st.one_of(*kinds)


def search_spaces(*, continuous: bool = True, size: int = 4, decisions: int = 4) -> SearchStrategy[SearchSpace]:
    """Spaces of up to `decisions` decisions with `domains` of up to `size` values each (subsets have more).

    Half of the decisions have a condition: up to three clauses, each over up to three other decisions. They
    are given in any order.
    """
    return _search_spaces(continuous, size, decisions)


def architectures(space: SearchSpace) -> SearchStrategy[Architecture]:
    """Canonical architectures of a space."""
    return st.integers(0, 2**32).map(space.sample)


def _priors(n: int) -> SearchStrategy[list[float] | None]:
    return st.none() | st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=n, max_size=n)


@st.composite
def _categories(draw: DrawFn, size: int) -> Domain:
    options = draw(st.lists(values(), min_size=1, max_size=size, unique_by=key))
    return Categorical(options, draw(_priors(len(options))))


@st.composite
def _subsets(draw: DrawFn, size: int) -> Domain:
    options = draw(st.lists(values(), min_size=1, max_size=min(size, 3), unique_by=key))
    n = st.integers(0, len(options))
    n_chosen = st.none() | n | st.tuples(n, n).map(lambda pair: tuple(sorted(pair)))
    return Subset(options, draw(n_chosen), draw(_priors(len(options))))


@st.composite
def _integers(draw: DrawFn, size: int) -> Domain:
    log = draw(st.booleans())
    low, step = draw(st.integers(1 if log else -5, 5)), draw(st.integers(1, 3))
    high = low + step * draw(st.integers(0, size - 1)) + draw(st.integers(0, step - 1))
    return Integer(low, high, step, log)


@st.composite
def _reals(draw: DrawFn) -> Domain:
    log = draw(st.booleans())
    low = draw(st.floats(1e-6 if log else -1e6, 1e6))
    return Real(low, low + draw(st.floats(1e-3, 1e6)), log)


@st.composite
def _search_spaces(draw: DrawFn, continuous: bool, size: int, decisions: int) -> SearchSpace:
    made: list[Decision] = []
    for label in draw(st.lists(st.sampled_from("abcdefgh"), max_size=decisions, unique=True)):
        clauses: list[Clause] = []
        if len(made) > 0 and draw(st.booleans()):
            clauses = draw(st.lists(_clauses(made), min_size=1, max_size=3))
        made.append(Decision(label, draw(domains(continuous=continuous, size=size)), clauses))
    return SearchSpace(draw(st.permutations(made)))


@st.composite
def _clauses(draw: DrawFn, parents: list[Decision]) -> Clause:
    chosen = draw(st.lists(st.sampled_from(parents), min_size=1, max_size=3, unique_by=lambda parent: parent.label))
    return {
        parent.label: draw(st.lists(st.sampled_from(parent.domain.grid(3)), min_size=1, max_size=3, unique_by=key))
        for parent in chosen
    }
