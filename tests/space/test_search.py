import json
import pickle
from itertools import islice
from math import inf
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lanista.errors import ArchitectureError, SpaceError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, Subset
from lanista.space.domain import key
from lanista.space.limit import Limit, Sum, Term
from lanista.space.search import format_size
from lanista.testing.spaces import architectures, search_spaces

laws = settings(deadline=None, derandomize=True, max_examples=100)
seeds = st.integers(0, 2**32).map(Random)
spaces = search_spaces()


def shared_changes(before, after):
    return [label for label in before.keys() & after.keys() if key(before[label]) != key(after[label])]


def assert_canonical(space, architecture):
    """It is the canonical form of itself, key by key and type by type."""
    assert repr(space.validate(architecture)) == repr(architecture)
    assert repr(space.validate(json.loads(json.dumps(architecture)))) == repr(architecture)


@laws
@given(spaces, st.sampled_from(["decisions", "architectures"]), seeds)
def test_samples_and_the_default_are_canonical(space, uniform, random):
    assert_canonical(space, space.default())
    if space.size < inf or uniform == "decisions":
        assert_canonical(space, space.sample(random, uniform=uniform))
    shuffled = list(space.sample(7).items())
    random.shuffle(shuffled)
    assert list(space.validate(dict(shuffled)).items()) == list(space.sample(7).items())


@laws
@given(search_spaces(continuous=False))
def test_the_grid_has_each_architecture_once(space):
    found = list(space.grid())
    assert len({space.key(architecture) for architecture in found}) == len(found) == space.size
    for architecture in found[:50]:
        assert_canonical(space, architecture)


@laws
@given(spaces, st.integers(1, 4))
def test_the_grid_with_granularity_is_the_grid_of_the_sampled_ranges(space, granularity):
    def coarse(domain):
        return Categorical(domain.grid(granularity)) if isinstance(domain, Real) else domain

    def kept(clause):
        known = {label: {key(v) for v in coarse(space[label]).grid()} for label in clause}
        return {label: [v for v in values if key(v) in known[label]] for label, values in clause.items()}

    finite = SearchSpace(Decision(d.label, coarse(d.domain), [kept(c) for c in d.when]) for d in space)
    assert list(islice(space.grid(granularity), 500)) == list(islice(finite.grid(), 500))


@laws
@given(spaces, spaces)
def test_equal_spaces_are_those_with_equal_fingerprints(space, other):
    again = SearchSpace.from_json(json.loads(json.dumps(space.to_json())))
    copies = [again, pickle.loads(pickle.dumps(space)), SearchSpace(list(space))]
    assert all(same == space and hash(same) == hash(space) for same in copies)
    assert {same.fingerprint for same in copies} == {space.fingerprint}
    assert (space == other) == (space.fingerprint == other.fingerprint) == (list(space) == list(other))
    assert all(same.labels == space.labels and same.sample(3) == space.sample(3) for same in copies)


@laws
@given(spaces, st.data())
def test_a_mutation_differs_in_a_shared_decision(space, data):
    architecture, random = data.draw(architectures(space)), data.draw(seeds)
    assume(any(space[label].size > 1 for label in architecture))
    before = repr(architecture)
    alone = space.mutate(architecture, random)
    assert_canonical(space, alone)
    assert len(shared_changes(architecture, alone)) == 1
    for probability in (0, 0.3, 1):
        mutated = space.mutate(architecture, random, probability=probability)
        assert_canonical(space, mutated)
        assert shared_changes(architecture, mutated)
    assert repr(architecture) == before


def test_a_mutation_with_probability_1_changes_all():
    space = SearchSpace({label: Integer(0, 5) for label in "abcdef"})
    architecture = space.default()
    assert len(shared_changes(architecture, space.mutate(architecture, Random(0), probability=1))) == 6


@laws
@given(spaces, st.data())
def test_a_child_has_what_its_parents_have(space, data):
    mother, father = data.draw(architectures(space)), data.draw(architectures(space))
    child = space.crossover(mother, father, data.draw(seeds))
    assert_canonical(space, child)
    for label, value in child.items():
        inherited = [parent[label] for parent in (mother, father) if label in parent]
        assert not inherited or value in inherited
    assert space.crossover(mother, mother, Random(0)) == mother


@laws
@given(spaces, st.data())
def test_neighbours_differ_in_one_shared_decision(space, data):
    architecture = data.draw(architectures(space))
    near = list(space.neighbours(architecture))
    assert len({space.key(other) for other in near}) == len(near)
    assert len(near) >= sum(space[label].size > 1 for label in architecture)
    for other in near:
        assert_canonical(space, other)
        assert len(shared_changes(architecture, other)) == 1


@laws
@given(search_spaces(continuous=False, decisions=3))
def test_codes_tell_all_architectures_apart(space):
    codes = [tuple(space.encode(architecture)) for architecture in islice(space.grid(), 500)]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == space.width and all(0 <= x <= 1 for x in code) for code in codes)


@laws
@given(spaces)
def test_parents_come_before_children(space):
    placed = set()
    for decision in space:
        assert {parent for clause in decision.when for parent in clause} <= placed
        placed.add(decision.label)


SPACE = SearchSpace(
    [
        Decision("body", Categorical(["conv", "pool"])),
        Decision("kernel", Categorical([3, 5]), {"body": ["conv"]}),
        Decision("inputs", Subset(["a", "b", "c"], 2)),
    ]
)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ({"bodi": "pool"}, ["no decision 'bodi'", "'body', 'kernel', 'inputs'", "did you mean 'body'?"]),
        ({3: "pool"}, ["no decision 3", "'body'"]),
        ({"body": "pool"}, ["'inputs' has no value", "a list of 2 of 'a', 'b', 'c'"]),
        ({"body": "conv", "inputs": [0, 1]}, ["'kernel' has no value (it exists because body is 'conv')"]),
        ({"body": "poll", "inputs": [0, 1]}, ["'body' has the value 'poll'", "one of 'conv', 'pool'"]),
        (
            {"body": 2, "inputs": [0, 1]},
            ["'body' has the value 2", "index 2 is not in 0 to 1", "'conv', 'pool'"],
        ),
        (
            {"body": "pool", "inputs": ["a"]},
            ["'inputs' has the value ['a']", "1 candidates are chosen", "2 of 'a', 'b', 'c'"],
        ),
        (
            {"body": "pool", "kernel": 3, "inputs": [0, 1]},
            [
                "'kernel' has the value 3",
                "does not exist in this",
                "only when body is 'conv'",
                "leave it out",
            ],
        ),
    ],
)
def test_a_wrong_architecture_says_what_is_allowed(architecture, words):
    with pytest.raises(ArchitectureError) as caught:
        SPACE.validate(architecture)
    assert all(word in str(caught.value) for word in words), caught.value


ON = Categorical([0, 1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SearchSpace([Decision("", ON)]), ["''", "non-empty string"]),
        (lambda: SearchSpace([Decision("a", ON), Decision("a", ON)]), ["'a' is there twice"]),
        (lambda: SearchSpace({"a": [16, 32]}), ["domain of 'a' is [16, 32]", "Categorical([16, 32])"]),
        (lambda: SearchSpace([Decision("a", ON, {"b": [0]})]), ["'a'", "'b', which does not exist"]),
        (
            lambda: SearchSpace([Decision("a", ON), Decision("b", ON, {"a": [2]})]),
            ["condition of 'b'", "'a' is 2", "one of 0, 1"],
        ),
        (lambda: SearchSpace([Decision("a", ON), Decision("b", ON, {"a": [True]})]), ["'a' is True"]),
        (
            lambda: SearchSpace([Decision("a", ON, {"b": [0]}), Decision("b", ON, {"a": [0]}), Decision("c", ON)]),
            ["'a', 'b' depend on each other in a circle"],
        ),
        (lambda: SPACE["bodi"], ["did you mean 'body'?"]),
        (lambda: SPACE.sample(0, uniform="nothing"), ["'nothing'", "'decisions' or 'architectures'"]),
        (
            lambda: SearchSpace({"r": Real(0, 1)}).sample(0, uniform="architectures"),
            ["infinite", "'decisions'"],
        ),
        (lambda: list(SearchSpace({"r": Real(0, 1)}).grid()), ["granularity"]),
        (lambda: list(SPACE.grid(0)), ["granularity is 0"]),
        (lambda: SPACE.mutate(SPACE.default(), Random(0), probability=2), ["probability is 2", "0 to 1"]),
        (
            lambda: SearchSpace({"a": Categorical([1])}).mutate({"a": 1}, Random(0)),
            ["no decision of this architecture has a second value"],
        ),
        (lambda: SearchSpace.from_json({"format": 99, "decisions": []}), ["format is 99", "reads format 1"]),
        (lambda: SearchSpace.from_json([]), ["format is missing"]),
        (lambda: SearchSpace.from_json({"format": 1}), ["not a space", "decisions"]),
        (lambda: SearchSpace.from_json({"format": 1, "decisions": [3]}), ["not a space"]),
        (
            lambda: SearchSpace.from_json({"format": 1, "decisions": [{"type": "real", "low": 0, "high": 1}]}),
            ["label"],
        ),
        (
            lambda: SearchSpace.from_json(
                {
                    "format": 1,
                    "decisions": [{"label": "a", "type": "categorical", "options": [1], "when": [3]}],
                }
            ),
            ["not a space"],
        ),
    ],
)
def test_a_misuse_says_what_to_do(make, words):
    with pytest.raises(SpaceError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


@laws
@given(spaces, seeds)
def test_decisions_that_exist_are_asked_for_once_and_in_order(space, random):
    asked = []

    def answer(decision):
        asked.append(decision.label)
        return decision.domain.draw(random)

    architecture = space.decide(answer)
    assert_canonical(space, architecture)
    assert asked == list(architecture) == space.active(architecture)


@laws
@given(spaces, seeds)
def test_without_limits_nothing_is_repaired(space, random):
    architecture, before = space.sample(random), random.getstate()
    assert space.repair(architecture, random) is architecture
    assert random.getstate() == before


def sum_within(most, labels=tuple("abcdef")):
    """Six decisions from 0 to 4, whose sum is bounded by a rule."""
    space = SearchSpace({label: Categorical(range(5)) for label in labels})
    return space.constrain(lambda architecture: sum(architecture.values()) <= most)


def test_a_repair_gives_what_keeps_the_limits_back_and_leads_all_else_into_them():
    space = sum_within(6)
    for seed in range(50):
        random = Random(seed)
        inside = space.sample(random)
        before = random.getstate()
        assert space.repair(inside, random) == inside
        assert random.getstate() == before
        outside = {label: random.randrange(5) for label in space.labels}
        repaired = space.repair(outside, random)
        assert_canonical(space, repaired)
        assert not space.violations(repaired)


def test_a_repair_follows_from_its_generator():
    space, outside = sum_within(3), dict.fromkeys("abcdef", 4)
    assert space.repair(outside, Random(1)) == space.repair(outside, Random(1)) != space.repair(outside, Random(2))


def test_a_repair_stays_closer_than_a_draw():
    space = sum_within(12)
    outside = dict(zip("abcdef", [4, 4, 4, 1, 0, 0], strict=True))

    def kept(architectures):
        return sum(a[label] == outside[label] for a in architectures for label in outside)

    repaired = [space.repair(outside, Random(seed)) for seed in range(50)]
    assert kept(repaired) > 2 * kept([space.sample(seed) for seed in range(50)])


def test_where_mutations_do_not_lead_into_the_limits_a_repair_is_a_draw():
    everything = [(dict(zip("ab", (a, b), strict=True)), 0 if a == b == 0 else 1 + (a + b) % 2)
                  for a in range(3) for b in range(3)]  # fmt: skip
    # The sum is exact, so a draw finds the only architecture; no mutation of it or of others is looked for.
    space = SearchSpace({label: Categorical(range(3)) for label in "ab"}).constrain(
        Limit(Sum("cost", [Term(["a", "b"], everything)]), most=0)
    )
    assert space.repair({"a": 2, "b": 1}, Random(0)) == {"a": 0, "b": 0}


def test_a_clause_that_asks_for_nothing_is_no_condition():
    for when in ({}, [], [{}], [{"a": [1]}, {}]):
        space = SearchSpace([Decision("a", ON), Decision("b", ON, when)])
        assert space == SearchSpace({"a": ON, "b": ON})
        assert space.size == len(list(space.grid())) == 4


def test_spaces_whose_values_only_python_calls_equal_differ():
    spaces = [SearchSpace({"a": Categorical([option])}) for option in (1, 1.0, True)]
    assert len({space.fingerprint for space in spaces}) == len(set(spaces)) == 3


def test_a_space_is_a_container_of_decisions():
    assert len(SPACE) == 3
    assert "body" in SPACE
    assert "bodi" not in SPACE
    assert SPACE["kernel"] == Categorical([3, 5])
    assert repr(SPACE) == "SearchSpace(3 decisions, 9 architectures)"
    assert [decision.condition() for decision in SPACE] == ["", "body is 'conv'", ""]


def test_the_empty_space_has_one_architecture():
    space = SearchSpace()
    assert list(space.grid()) == [space.default()] == [space.sample(0)] == [{}]
    assert (space.size, space.width, space.encode({})) == (1, 0, [])


def test_sizes_for_people():
    assert format_size(15625) == "15,625"
    assert format_size(32 * 10**17) == "3.2e+18"
    assert format_size(10**5000) == "1.0e+5000"
    assert format_size(inf) == "infinitely many"
