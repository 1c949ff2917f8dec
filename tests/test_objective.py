import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.errors import MetricError
from lanista.objective import Objectives, best, dominates, pareto
from lanista.trial import State, Trial

SCORES = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: tuple(map(float, pair)))


def completed(scores):
    return [Trial(number=i, architecture={}, state=State.COMPLETED, scores=s) for i, s in enumerate(scores)]


@given(st.lists(SCORES, max_size=12))
def test_the_front_is_exactly_what_nobody_dominates(scores):
    trials = completed(scores)
    free = {t.number for t in trials if not any(dominates(o.scores, t.scores) for o in trials)}
    assert {trial.number for trial in pareto(trials)} == free


@given(st.lists(SCORES, max_size=12), st.integers(0, 15))
def test_best_is_sorted_by_the_first_objective_and_ignores_what_did_not_complete(scores, k):
    failed = Trial(number=99, architecture={}, state=State.FAILED)
    leaders = best([failed, *completed(scores)], k)
    assert len(leaders) == min(k, len(scores))
    assert [t.scores[0] for t in leaders] == sorted((s[0] for s in scores), reverse=True)[:k]


def test_at_a_tie_the_earlier_trial_is_better():
    assert [t.number for t in best(completed([(1.0,), (2.0,), (2.0,)]))] == [1, 2, 0]
    assert [t.number for t in best(completed([(2.0, 1.0), (2.0, 3.0)]))] == [0, 1]  # as the command line ranks


@given(SCORES, SCORES)
def test_two_never_dominate_each_other(one, other):
    assert not (dominates(one, other) and dominates(other, one))


def test_scores_turn_signs_so_that_greater_is_better():
    objectives = Objectives.read({"accuracy": "maximize", "latency": "minimize"})
    assert objectives.scores({"latency": 3.0, "loss": 9.0, "accuracy": 0.5}) == (0.5, -3.0)


def test_a_direction_alone_means_the_only_metric_whatever_its_name():
    assert Objectives.read("minimize").scores({"loss": 2.0}) == (-2.0,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("biggest", ["biggest", "'maximize' or 'minimize'"]),
        ({"accuracy": "up"}, ["accuracy", "up", "'maximize' or 'minimize'"]),
        ({}, ["empty", "name at least one"]),
        (["accuracy"], ["['accuracy']", "metric -> direction"]),
    ],
)
def test_bad_objectives_say_what_is_allowed(given, words):
    with pytest.raises(MetricError) as error:
        Objectives.read(given)
    assert all(word in str(error.value) for word in words)


def test_a_missing_metric_is_named_with_those_that_are_there():
    with pytest.raises(MetricError, match=r"'acc' is not among .* accuracy, loss"):
        Objectives.read({"acc": "maximize"}).scores({"accuracy": 1.0, "loss": 1.0})


def test_one_of_several_metrics_must_be_named():
    with pytest.raises(MetricError, match=r"2 metrics \(accuracy, loss\).*objectives=\{'accuracy': 'maximize'\}"):
        Objectives.read("maximize").scores({"accuracy": 1.0, "loss": 1.0})
