import json
import math
from collections import Counter
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lanista.errors import SpaceError
from lanista.space import Categorical, Integer, Real, Subset
from lanista.space.domain import from_json, key, options_of, plain
from lanista.testing.spaces import domains, values

laws = settings(deadline=None, derandomize=True, max_examples=200)
seeds = st.integers(0, 2**32).map(Random)


@laws
@given(values(), values())
def test_keys_are_hashable_and_equal_exactly_for_equal_values(first, second):
    assert (key(first) == key(second)) == (first == second)
    assert hash(key(first)) == hash(key(json.loads(json.dumps(first))))


@laws
@given(domains(), seeds)
def test_every_value_is_canonical_and_read_back(domain, random):
    for value in [domain.default(), domain.draw(random), *domain.grid(4)]:
        assert repr(domain.parse(value)) == repr(value)
        assert repr(domain.parse(json.loads(json.dumps(value)))) == repr(value)


@laws
@given(domains(continuous=False), seeds)
def test_a_finite_domain_draws_and_picks_from_its_grid_without_repeats(domain, random):
    grid = [key(value) for value in domain.grid()]
    assert len(set(grid)) == len(grid) == domain.size
    assert {key(domain.default()), key(domain.draw(random)), key(domain.pick(random))} <= set(grid)


@laws
@given(domains(), seeds)
def test_mutations_and_neighbours_are_other_values(domain, random):
    value = domain.draw(random)
    near = domain.neighbours(value)
    assert len({key(other) for other in near} | {key(value)}) == len(near) + 1
    if domain.size > 1:
        near.append(domain.mutate(value, random))
    assert all(key(domain.parse(other)) == key(other) != key(value) for other in near)


@laws
@given(domains(continuous=False))
def test_neighbours_are_mutual_and_connect_the_domain(domain):
    grid = {key(value): value for value in domain.grid()}
    near = {name: {key(other) for other in domain.neighbours(value)} for name, value in grid.items()}
    assert all(name in near[other] for name, others in near.items() for other in others)
    reached, waiting = set(), [key(domain.default())]
    while waiting:
        reached.add(name := waiting.pop())
        waiting += near[name] - reached
    assert reached == grid.keys()


@laws
@given(domains(continuous=False))
def test_codes_are_numbers_from_0_to_1_and_differ(domain):
    codes = [tuple(domain.encode(value)) for value in domain.grid()]
    assert len(set(codes)) == domain.size
    assert all(len(code) == domain.width and all(0 <= x <= 1 for x in code) for code in codes)


@laws
@given(domains())
def test_json_gives_an_equal_domain_back(domain):
    again = from_json(json.loads(json.dumps(domain.to_json())))
    assert again == domain
    assert again.describe() == domain.describe()


@laws
@given(st.floats(-1e300, 1e300), st.floats(0, 1e300), st.booleans(), st.integers(2, 6))
def test_the_grid_of_a_real_range_has_both_ends_exactly(low, width, log, granularity):
    assume(low < low + width and (not log or (low > 0 and math.log(low) < math.log(low + width))))
    domain = Real(low, low + width, log)
    grid = domain.grid(granularity)
    assert (grid[0], grid[-1]) == (domain.low, domain.high)
    assert sorted(set(grid)) == grid
    assert all(domain.low <= near <= domain.high for near in domain.neighbours(domain.low))


def frequencies(domain, act, draws=4000):
    random = Random(0)
    return {name: n / draws for name, n in Counter(key(act(random)) for _ in range(draws)).items()}


@pytest.mark.parametrize("domain", [Categorical(["a", "b", "c"]), Integer(1, 6), Subset([1, 2, 3])])
def test_draws_are_uniform(domain):
    found = frequencies(domain, domain.draw)
    assert found.keys() == {key(value) for value in domain.grid()}
    assert all(f == pytest.approx(1 / domain.size, abs=0.03) for f in found.values())


@pytest.mark.parametrize("domain", [Categorical(["a", "b", "c", "d"]), Integer(10, 40, 10)])
def test_mutations_are_uniform_over_the_other_values(domain):
    found = frequencies(domain, lambda random: domain.mutate(domain.grid()[1], random))
    assert len(found) == 3
    assert all(f == pytest.approx(1 / 3, abs=0.03) for f in found.values())


@laws
@given(domains(), st.floats(0, 1))
def test_positions_of_a_range_lead_to_its_values_and_back(domain, unit):
    assume(isinstance(domain, Integer | Real))
    last = domain.grid(2)[-1]
    assert (domain.at(0), domain.at(1)) == (domain.grid(2)[0], last)
    value = domain.at(unit)
    assert domain.parse(value) == value
    # An integer is the nearest one to the position, on its scale or beside it.
    if isinstance(domain, Integer):
        assert domain.at(domain.encode(value)[0]) == value


def test_a_log_range_of_integers_is_drawn_on_the_log_scale():
    domain = Integer(1, 8, log=True)
    found = frequencies(domain, domain.draw)
    expected = {n: math.log((n + 0.5) / (n - 0.5)) / math.log(8.5 / 0.5) for n in range(1, 9)}
    assert found == pytest.approx(expected, abs=0.03)


def test_a_log_range_of_reals_is_drawn_on_the_log_scale():
    domain = Real(1e-4, 1, log=True)
    found = frequencies(domain, lambda random: math.floor(math.log10(domain.draw(random))))
    assert found == pytest.approx(dict.fromkeys([-4, -3, -2, -1], 0.25), abs=0.03)
    assert domain.default() == pytest.approx(1e-2)
    assert domain.encode(1e-3) == pytest.approx([0.25])


NAMES = Categorical(["conv", "pool", "skip"])


@pytest.mark.parametrize(
    ("domain", "given", "canonical"),
    [
        (NAMES, "pool", "pool"),
        (NAMES, 1, "pool"),
        (NAMES, ["pool"], "pool"),
        (NAMES, [1], "pool"),
        (NAMES, [False, True, False], "pool"),
        (Categorical([16, 32]), 32, 32),
        (Categorical([16, 32]), 32.0, 32),
        (Categorical([[1, 1], [3, 3]]), (3, 3), [3, 3]),
        (Categorical([None, "relu"]), None, None),
        (Categorical([[True, False], [False, True]]), [False, True], [False, True]),
        (Subset(["a", "b", "c"]), ["c", "a"], ["a", "c"]),
        (Subset(["a", "b", "c"]), [2, 0], ["a", "c"]),
        (Subset(["a", "b", "c"]), [True, False, True], ["a", "c"]),
        (Subset(["a", "b", "c"]), [], []),
        (Subset(["a", "b", "c"], 1), "b", ["b"]),
        (Subset(["a", "b", "c"], 1), 1, ["b"]),
        (Subset([True, False]), [True, False], [True, False]),
        (Integer(0, 8, 2), 4.0, 4),
        (Real(0, 1), 1, 1.0),
    ],
)
def test_every_form_of_a_value_is_read(domain, given, canonical):
    assert repr(domain.parse(given)) == repr(canonical)


@pytest.mark.parametrize(
    ("domain", "given", "reason"),
    [
        (NAMES, "conv3", "it is not a candidate"),
        (NAMES, 3, "index 3 is not in 0 to 2"),
        (NAMES, -1, "index -1 is not in 0 to 2"),
        (NAMES, True, "it is not a candidate"),
        (NAMES, [True, True, False], "it is not a candidate"),
        (NAMES, {"conv"}, "it is not a candidate"),
        (NAMES, [{"conv"}], "it is not a candidate"),
        (Categorical([16, 32]), 0, "it is not a candidate"),
        (Categorical([0, 1]), True, "it is not a candidate"),
        (Categorical([True, False]), 0, "it is not a candidate"),  # index 0, or false? nobody knows
        (Subset(["a", "b"]), ["a", "a"], "a candidate is chosen twice"),
        (Subset(["a", "b"], 1), ["a", "b"], "2 candidates are chosen"),
        (Subset(["a", "b"], 1), [True, True], "2 candidates are chosen"),
        (Integer(0, 8, 2), 3, "it is not in the range"),
        (Integer(0, 8, 2), 2.5, "it is not an integer"),
        (Integer(0, 8, 2), True, "it is not an integer"),
        (Integer(0, 8, 2), "4", "it is not an integer"),
        (Real(0, 1), 1.5, "it is not in the range"),
        (Real(0, 1), math.nan, "it is not in the range"),
        (Real(0, 1), 10**400, "it is not in the range"),
        (Real(0, 1), True, "it is not a number"),
    ],
)
def test_a_value_that_does_not_fit_says_why(domain, given, reason):
    with pytest.raises(ValueError, match=f"^{reason}$"):
        domain.parse(given)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Categorical([]), ["no candidate"]),
        (lambda: Categorical([1, 2, 1.0]), ["1.0 is there twice", "must differ"]),
        (lambda: Categorical([[1], [True]]), ["[True] is there twice"]),
        (lambda: Categorical([object]), ["not a JSON value", "{'relu': nn.ReLU"]),
        (lambda: Categorical([math.inf]), ["inf (float) is not a JSON value"]),
        (lambda: Categorical({"a", "b"}), ["give a list", "the first is the default"]),
        (lambda: Categorical("ab"), ["'ab'", "give a list"]),
        (lambda: Subset([1, 2], 3), ["n_chosen is 3", "from 0 to 2"]),
        (lambda: Subset([1, 2], 1.5), ["n_chosen is 1.5", "integer"]),
        (lambda: Subset([1, 2], True), ["n_chosen is True", "integer"]),
        (lambda: Integer(3, 1), ["low is 3", "high is 1"]),
        (lambda: Integer(0, 1.5), ["high is 1.5"]),
        (lambda: Integer(0, 8, 0), ["step is 0"]),
        (lambda: Integer(0, 8, log=True), ["low is 0", "log scale"]),
        (lambda: Real(1, 1), ["low is 1.0", "less than high"]),
        (lambda: Real(-1.7e308, 1.7e308), ["1.7e+308", "cannot tell"]),
        (lambda: Real(281474955313543, 281474955313544, log=True), ["cannot tell"]),
        (lambda: Real(0, math.inf), ["high is inf"]),
        (lambda: Real(0, 1, log=True), ["low is 0.0", "log scale"]),
        (lambda: Real(0, 1).grid(), ["granularity"]),
        (lambda: from_json({"type": "gaussian"}), ["'gaussian'", "categorical, subset, integer, real"]),
        (lambda: from_json({"type": ["real"]}), ["is unknown"]),
        (lambda: from_json({"type": "real", "low": 0}), ["cannot be read"]),
    ],
)
def test_an_ill_formed_domain_says_why(make, words):
    with pytest.raises(SpaceError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


def test_values_are_the_domains_own_copy():
    option = [1, [2]]
    domain = Categorical([option, 3])
    domain.default()[1].append(9)
    domain.parse([1, [2]])[1].append(9)
    option[1].append(9)
    assert domain.default() == [1, [2]]


def test_plain_values_are_of_plain_types():
    class Width(int):
        pass

    assert type(plain(Width(3))) is int
    assert options_of(x for x in (1, (2, 3))) == (1, [2, 3])


def test_a_long_list_of_candidates_is_cut_in_messages():
    assert Categorical(range(20)).describe().endswith("10, 11, ... (20 in all)")
    assert Subset(["a", "b"], 1).describe() == "a list of 1 of 'a', 'b'"
    assert Integer(0, 8, 2).describe() == "an integer from 0 to 8 in steps of 2"


WEIGHTED = [
    Categorical(["a", "b", "c"], prior=[1, 2, 5]),
    Subset(["a", "b", "c"], prior=[1, 0.5, 3]),
    Subset(range(4), 2, prior=[1, 2, 3, 4]),
    Subset(range(4), (1, 3), prior=[4, 1, 0.25, 2]),
    Subset(range(4), (1, 3)),
    Subset(range(3)),
    Categorical([[1], [2]]),
    Integer(1, 20, 3, log=True),
    Integer(0, 4),
]


@pytest.mark.parametrize("domain", WEIGHTED, ids=repr)
def test_draws_follow_the_prior(domain):
    chances = {key(value): domain.probability(value) for value in domain.grid()}
    assert sum(chances.values()) == pytest.approx(1)
    random = Random(1)
    counts = Counter(key(domain.draw(random)) for _ in range(10_000))
    assert counts.keys() <= chances.keys()
    chi2 = sum((counts[name] - 10_000 * chance) ** 2 / (10_000 * chance) for name, chance in chances.items())
    assert chi2 < len(chances) + 5 * (2 * len(chances)) ** 0.5


@pytest.mark.parametrize("domain", WEIGHTED, ids=repr)
def test_a_pick_is_uniform_whatever_the_prior(domain):
    random = Random(2)
    counts = Counter(key(domain.pick(random)) for _ in range(10_000))
    assert len(counts) == domain.size
    expected = 10_000 / domain.size
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi2 < len(counts) + 5 * (2 * len(counts)) ** 0.5


@pytest.mark.parametrize("domain", WEIGHTED, ids=repr)
def test_priors_and_ranges_survive_json(domain):
    read = from_json(json.loads(json.dumps(domain.to_json())))
    assert read == domain
    assert read.draw(Random(3)) == domain.draw(Random(3))


def test_the_product_of_odds_is_the_chance_of_each_candidate():
    domain = Subset(["a", "b"], prior=[3, 1])
    assert domain.probability(["a", "b"]) + domain.probability(["a"]) == pytest.approx(3 / 4)


def test_a_range_of_sizes():
    domain = Subset(["abcd", "x", "y", "z"], (1, 2))
    assert domain.size == 4 + 6
    assert domain.default() == ["abcd"]
    assert domain.describe() == "a list of 1 to 2 of 'abcd', 'x', 'y', 'z'"
    assert Subset(range(3), (2, 2)) == Subset(range(3), 2)
    assert Subset(range(3), (0, 3)) == Subset(range(3))
    for value in domain.grid():
        assert all(len(near) in (1, 2) for near in domain.neighbours(value))
        assert domain.mutate(value, Random(0)) != value
    with pytest.raises(ValueError, match="3 candidates are chosen"):
        domain.parse(["x", "y", "z"])


@pytest.mark.parametrize("n_chosen", [(2, 1), (0, 4), (1, 2, 3), [True, 2], (1.0, 2)])
def test_a_range_of_sizes_must_fit(n_chosen):
    with pytest.raises(SpaceError, match="n_chosen"):
        Subset(range(3), n_chosen)


@pytest.mark.parametrize("prior", [[1], [1, 0], [1, -1], [1, float("inf")], [1, True], ["a", "b"]])
def test_a_prior_is_a_positive_number_for_each_candidate(prior):
    for kind in (Categorical, Subset):
        with pytest.raises(SpaceError, match="one positive number for each"):
            kind(["a", "b"], prior=prior)
