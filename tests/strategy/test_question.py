from __future__ import annotations

import random
from collections import Counter
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from lanista.space import Categorical, Integer, Real, Subset
from lanista.space.domain import key
from lanista.strategy.question import question
from lanista.testing.spaces import domains


@given(domains(size=30), st.integers(1, 12), st.integers(0, 10**6))
def test_each_value_has_choices_and_they_were_allowed(domain, bins, seed):
    asked = question(domain, bins)
    value = domain.draw(random.Random(seed))
    taken = asked.taken(value)
    assert len(taken) == len(asked.weights)
    for i, choice in enumerate(taken):
        allowed = asked.allowed(taken[:i])
        assert allowed[choice]
        assert len(allowed) == len(asked.weights[i])


@given(domains(size=30), st.integers(1, 12), st.integers(0, 10**6))
def test_allowed_choices_lead_to_canonical_values(domain, bins, seed):
    rng = random.Random(seed)
    asked = question(domain, bins)
    taken: list[int] = []
    for _ in asked.weights:
        allowed = asked.allowed(taken)
        taken.append(rng.choice([choice for choice, fits in enumerate(allowed) if fits]))
    value = asked.value(taken, rng)
    assert key(domain.parse(value)) == key(value)
    assert asked.taken(value) == taken


def test_a_bounded_subset_has_as_many_ways_as_values():
    domain = Subset(["a", "b", "c", "d"], (1, 2))
    asked = question(domain, 5)
    ways = [
        taken
        for taken in product([0, 1], repeat=4)
        if all(asked.allowed(taken[:i])[choice] for i, choice in enumerate(taken))
    ]
    assert len(ways) == domain.size


def test_ranges_are_cut_on_their_scale():
    rng = random.Random(0)
    rate = question(Real(1e-4, 1.0, log=True), 4)
    assert all(1e-3 <= rate.value([1], rng) <= 1e-2 for _ in range(100))
    assert [rate.taken(value) for value in (1e-4, 2e-3, 0.05, 1.0)] == [[0], [1], [2], [3]]
    depth = question(Integer(0, 100), 5)
    assert question(Integer(1, 100, log=True), 20).allowed([])[:5] == [True, False, False, True, True]  # 1, 2 and 3
    counts = Counter(depth.value([2], rng) for _ in range(2000))
    assert min(counts) >= 40
    assert max(counts) <= 60
    assert len(counts) >= 19


def test_small_ranges_are_categories_and_priors_are_weights():
    assert question(Integer(2, 8, 2), 4).weights == [[1.0] * 4]
    assert question(Categorical(["a", "b"], [1, 3]), 2).weights == [[1.0, 3.0]]
    assert question(Subset(["a", "b"], prior=[0.5, 3]), 2).weights == [[1.0, 0.5], [1.0, 3.0]]
