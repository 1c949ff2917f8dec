from __future__ import annotations

from collections import Counter
from random import Random

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lanista.space import Categorical, Integer, Real, SearchSpace, Subset
from lanista.strategy.parameter import COMBINATIONS, parameters
from lanista.testing.spaces import architectures, search_spaces

laws = settings(deadline=None, derandomize=True, max_examples=60)


@pytest.fixture(autouse=True)
def silent():
    """No line for each study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def distributions(domain):
    return parameters(SearchSpace({"x": domain}))["x"].distributions


@laws
@given(search_spaces(), st.data())
def test_what_is_written_is_read_again_and_is_in_the_distributions(space, data):
    architecture = data.draw(architectures(space))
    every = parameters(space)
    written = {name: v for label, value in architecture.items() for name, v in every[label].write(value).items()}
    known = {name: every[label].distributions[name] for label in architecture for name in every[label].distributions}
    added = optuna.trial.create_trial(params=written, distributions=known, value=0.0)  # raises where it does not fit
    read = {label: every[label].read(added.params, Random(0)) for label in architecture}
    assert repr(read) == repr(architecture)


@laws
@given(search_spaces())
def test_what_is_asked_for_is_canonical_and_written_back_as_it_was(space):
    asking, every = study(), parameters(space)
    for _ in range(3):
        trial = asking.ask()
        architecture = space.decide(lambda decision: every[decision.label].ask(trial, Random(0)))  # noqa: B023
        assert repr(space.validate(architecture)) == repr(architecture)
        written = {n: v for label, value in architecture.items() for n, v in every[label].write(value).items()}
        assert written.keys() == trial.params.keys()
        read = {label: every[label].read(written, Random(1)) for label in architecture}
        assert repr(read) == repr(architecture)


@pytest.mark.parametrize(
    ("domain", "distribution"),
    [
        (Categorical(["conv", "pool"]), CategoricalDistribution((0, 1))),
        (Categorical([[1, 3], None, True]), CategoricalDistribution((0, 1, 2))),
        (Integer(2, 9), IntDistribution(2, 9)),
        (Integer(2, 10, 3), IntDistribution(2, 8, step=3)),
        (Integer(1, 9, log=True), IntDistribution(1, 9, log=True)),
        (Integer(8, 60, 8, log=True), FloatDistribution(4.0, 60.0, log=True)),
        (Real(0.5, 2), FloatDistribution(0.5, 2.0)),
        (Real(0.5, 2, log=True), FloatDistribution(0.5, 2.0, log=True)),
        (Subset(range(5), 2), CategoricalDistribution(range(10))),
    ],
    ids=str,
)
def test_a_decision_is_one_parameter_of_its_own_name(domain, distribution):
    assert distributions(domain) == {"x": distribution}


@pytest.mark.parametrize("domain", [Subset(["a", "b", "c"]), Subset(range(4), (1, 3)), Subset(range(20), 5)])
def test_a_subset_of_any_number_or_of_many_combinations_is_a_flag_for_each_candidate(domain):
    flags = distributions(domain)
    assert list(flags) == [f"x[{i}]" for i in range(len(domain.options))]
    assert set(flags.values()) == {CategoricalDistribution((False, True))}


def test_few_combinations_are_one_category_and_more_are_flags():
    assert len(distributions(Subset(range(COMBINATIONS), 1))) == 1
    assert len(distributions(Subset(range(COMBINATIONS + 1), 1))) == COMBINATIONS + 1


def test_flags_that_are_too_many_or_too_few_change_at_random():
    flags = parameters(SearchSpace({"x": Subset(range(4), (2, 3))}))["x"]

    def counted(flagged):
        params = {f"x[{i}]": i in flagged for i in range(4)}
        return Counter(tuple(flags.read(params, Random(seed))) for seed in range(600))

    assert counted({1, 3}) == {(1, 3): 600}
    assert counted({0, 1, 2}) == {(0, 1, 2): 600}
    few, many = counted({2}), counted({0, 1, 2, 3})
    assert few.keys() == {(0, 2), (1, 2), (2, 3)}
    assert many.keys() == {(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)}
    assert min(few.values()) > 150
    assert min(many.values()) > 100


def test_a_flag_does_not_take_the_name_of_a_decision():
    space = SearchSpace({"x": Subset(["a", "b"]), "x[0]": Categorical([1, 2]), "x[1]'": Subset(["a"])})
    every = parameters(space)
    names = [name for label in space.labels for name in every[label].distributions]
    assert len(names) == len(set(names)) == 4
    assert list(every["x[0]"].distributions) == ["x[0]"]


def test_logarithmic_steps_are_drawn_as_the_domain_draws_them():
    domain = Integer(8, 64, 8, log=True)
    asking, every, n = study(), parameters(SearchSpace({"x": domain})), 4000
    drawn = Counter(every["x"].ask(asking.ask(), Random(0)) for _ in range(n))
    expected = {value: n * domain.probability(value) for value in domain.grid()}
    assert drawn.keys() == expected.keys()
    assert sum((drawn[v] - e) ** 2 / e for v, e in expected.items()) < 29.9  # chi-square, 7 degrees, p = 1e-4
