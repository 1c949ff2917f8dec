"""From a search to a verdict, through the front door."""

import random

import pytest
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice, integer, real
from lanista.errors import ArchitectureError, ExperimentError
from lanista.space import Categorical, SearchSpace
from lanista.strategy import Random as RandomSearch
from lanista.strategy import RegularizedEvolution
from lanista.trial import State, Trial
from lanista.trust import Verdict
from lanista.trust.plan import plan

SPACE = SearchSpace({f"x{i}": Categorical(range(6)) for i in range(4)})


def network():
    return nn.Linear(integer(1, 60, label="inputs"), integer(1, 60, label="outputs"))


def truth(model):
    """What full training would give: it wants few inputs and many outputs, so size says little."""
    return model.out_features - model.in_features + random.gauss(0, 2)


def good(model):
    return model.out_features - model.in_features + random.gauss(0, 4)


def blind(model):
    return random.random()


def size(model):
    return model.weight.numel()


def make(proxy, *, storage=":memory:", reference=truth, strategy=None, **options):
    reference = None if reference is None else FunctionalEvaluator(reference)
    settings = {"objectives": "maximize", "name": "test", "reference": reference, "storage": storage}
    evaluator = FunctionalEvaluator(proxy)
    return Experiment(ModelSpace(network), evaluator, strategy or RandomSearch(), **settings | options)


def test_a_good_proxy_is_informative_and_a_blind_one_is_not():
    verdicts = {}
    for proxy in (good, blind):
        experiment = make(proxy)
        experiment.run(max_trials=200)
        trust = experiment.trust(0.5)
        verdicts[proxy] = trust.verdict
        assert len(trust.real) == 100
        assert trust.noise is not None
        assert trust.search is not None
        assert "100 architectures" in str(trust) or "50 architectures" in str(trust)
    assert verdicts == {good: Verdict.INFORMATIVE, blind: Verdict.UNINFORMATIVE}


def test_the_noise_between_seeds_is_found():
    experiment = make(good)
    experiment.run(max_trials=200)
    deviation = experiment.trust(1.0).noise.deviation
    assert deviation.low < 2 < deviation.high


def test_minimised_scores_are_turned_like_all_others():
    experiment = make(lambda model: -good(model), reference=lambda model: -truth(model), objectives="minimize")
    experiment.run(max_trials=100)
    assert experiment.trust(0.8).assessment.overall.proxy.low > 0.5


def test_half_is_from_the_search_and_half_is_new():
    experiment = make(good, strategy=RegularizedEvolution(population_size=10, sample_size=5))
    experiment.run(max_trials=150)
    trust = experiment.trust(0.4)
    searched = [label for label in trust.labels if label.startswith("trial ")]
    assert (len(searched), len(trust.labels)) == (30, 60)
    assert "150" not in searched
    top = experiment.top(1)[0]
    assert f"number {top.number}," in trust.notes[0]


def test_interrupted_checks_go_on(tmp_path):
    calls = []

    def reference(model):
        calls.append(model)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return truth(model)

    make(good, storage=tmp_path / "test.db").run(max_trials=30)
    with pytest.raises(KeyboardInterrupt):
        make(good, storage=tmp_path / "test.db", reference=reference).trust()
    first = make(good, storage=tmp_path / "test.db", reference=reference).trust()
    assert len(calls) == 5 + 13 - 4  # 10 and the best one, 2 repeats: four were done
    again = make(good, storage=tmp_path / "test.db", reference=reference).trust()
    assert again.to_json() == first.to_json()
    assert len(calls) == 14


def test_failed_evaluations_are_left_out_and_counted():
    def fragile(model):
        if model.in_features % 7 == 0:
            raise RuntimeError("no convergence")
        return truth(model)

    experiment = make(good, reference=fragile)
    experiment.run(max_trials=100)
    trust = experiment.trust(0.6)
    assert len(trust.real) < 60
    assert "evaluations failed and are left out" in trust.notes[1]


def test_a_reference_that_always_fails_is_an_error_with_its_reason():
    def broken(model):
        raise RuntimeError("no data")

    experiment = make(good, reference=broken)
    experiment.run(max_trials=20)
    with pytest.raises(ExperimentError, match=r"only 0 of 11 architectures have a real score.*RuntimeError: no data"):
        experiment.trust()


def test_without_parameter_counts_the_proxy_is_compared_with_chance_alone():
    experiment = Experiment(
        ModelSpace(lambda: nn.LazyLinear(integer(1, 60, label="outputs"))),
        FunctionalEvaluator(lambda model: model.out_features),
        RandomSearch(dedup=False),
        objectives="maximize",
        storage=":memory:",
        reference=FunctionalEvaluator(lambda model: model.out_features + random.random()),
    )
    experiment.run(max_trials=60)
    trust = experiment.trust(1.0)
    assert trust.parameters is None
    assert trust.verdict is Verdict.INFORMATIVE
    assert "Parameter counts are not known: " in trust.notes[-1]


def test_what_is_missing_is_said():
    experiment = make(good, reference=None)
    experiment.run(max_trials=20)
    with pytest.raises(ExperimentError, match=r"none was given; .*reference=evaluator"):
        experiment.trust()
    with pytest.raises(ExperimentError, match="0 different architectures were completed; trust needs at least 10"):
        make(good).trust()
    with pytest.raises(ExperimentError, match=r"fraction is 5; give a number above 0 and at most 1"):
        make(good).trust(5)


def test_a_reference_that_asks_other_questions_is_refused():
    def build():
        rate = real(0.0, 1.0, label="rate")
        return FunctionalEvaluator(lambda model: rate)

    experiment = Experiment(
        ModelSpace(lambda: nn.Linear(1, choice(list(range(1, 20)), label="width"))),
        FunctionalEvaluator(size),
        RandomSearch(),
        objectives="maximize",
        storage=":memory:",
        reference=build,
    )
    experiment.run(max_trials=15)
    with pytest.raises((ExperimentError, ArchitectureError), match="rate"):
        experiment.trust()


@pytest.mark.parametrize(("count", "fraction", "expected"), [(40, 0.05, 10), (400, 0.05, 20), (400, 1.0, 400)])
def test_a_plan_is_as_large_as_asked_and_the_same_each_time(count, fraction, expected):
    trials = [
        Trial(number=number, architecture=SPACE.sample(number), state=State.COMPLETED, scores=(number,))
        for number in range(count)
    ]
    one, two = plan(trials, SPACE, fraction, 3), plan(trials, SPACE, fraction, 3)
    assert one == two != plan(trials, SPACE, fraction, 4)
    known = {SPACE.key(trial.architecture) for trial in trials}
    assert len(one.searched) == min(expected - expected // 2, len(known))
    assert len(one.drawn) == expected // 2
    assert one.chosen == trials[-1]
    assert len(one.real) == len(one.once) + max(2, round(expected / 10))
    assert one.once[one.repeated[0]] == one.chosen.architecture


def test_pruned_and_failed_trials_are_not_looked_at():
    states = [State.COMPLETED, State.PRUNED, State.FAILED]
    trials = [
        Trial(
            number=number,
            architecture=SPACE.sample(number),
            state=states[number % 3],
            scores=(number,) if number % 3 == 0 else (),
        )
        for number in range(60)
    ]
    assert {trial.state for trial in plan(trials, SPACE, 0.5, 0).searched} == {State.COMPLETED}


def test_new_architectures_are_new_and_a_small_space_has_fewer():
    small = SearchSpace({"x": Categorical(range(12))})
    trials = [
        Trial(number=number, architecture={"x": number}, state=State.COMPLETED, scores=(number,))
        for number in range(12)
    ]
    chosen = plan(trials, small, 1.0, 0)
    both = [small.key(architecture) for architecture in chosen.once[:-1]]
    assert len(set(both)) == len(both) == 12
