"""The loop as a whole, with the real storage, executors and strategies."""

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, ProcessExecutor, choice, integer, real
from lanista.errors import ExperimentError, MetricError, Pruned, StorageError
from lanista.experiment import Loaded, loading
from lanista.nn import LayerChoice
from lanista.session import KEPT_WEIGHTS, trial_seed
from lanista.storage import Storage
from lanista.strategy import Deduplicated, GridSearch, Random, RegularizedEvolution
from lanista.trial import State, Trial


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        width = integer(1, 16, label="width")
        self.layers = nn.Sequential(
            nn.Linear(4, width),
            LayerChoice(
                {
                    "relu": nn.ReLU,
                    "linear": lambda: nn.Linear(width, width, bias=choice([True, False], label="bias")),
                },
                label="kind",
            ),
        )

    def forward(self, x):
        return self.layers(x)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def make(storage, function=parameters, strategy=None, **options):
    return Experiment(
        ModelSpace(Net, example_input=torch.zeros(1, 4)),
        function if not callable(function) else FunctionalEvaluator(function),
        strategy or RegularizedEvolution(population_size=5, sample_size=3),
        **{"objectives": "maximize", "name": "test", "storage": storage} | options,
    )


@pytest.fixture
def file(tmp_path):
    return tmp_path / "test.db"


def told(experiment):
    return [(t.number, t.architecture, t.state, t.metrics, t.seed) for t in experiment.trials]


def test_it_searches_and_remembers(file):
    experiment = make(file)
    experiment.run(max_trials=40)
    trials = experiment.trials
    assert [trial.number for trial in trials] == list(range(40))
    assert all(trial.state is State.COMPLETED for trial in trials)
    assert experiment.top(1)[0].metrics["score"] == max(trial.metrics["score"] for trial in trials)
    assert all(trial.duration >= 0 for trial in trials)
    assert told(make(file)) == told(experiment)


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_evolution_moves_in_the_direction_that_was_asked_for(direction, sign):
    def mean(strategy):
        experiment = make(":memory:", strategy=strategy, objectives=direction)
        experiment.run(max_trials=200)
        return sum(trial.metrics["score"] for trial in experiment.trials) / 200

    chance, evolved = mean(Random(dedup=False)), mean(RegularizedEvolution(population_size=5, sample_size=3))
    assert sign * (evolved - chance) > 0.2 * chance


def test_two_runs_of_one_seed_agree_and_other_seeds_differ():
    runs = []
    for seed in (1, 1, 2):
        experiment = make(":memory:", seed=seed)
        experiment.run(max_trials=15)
        runs.append(told(experiment))
    assert runs[0] == runs[1] != runs[2]


def test_max_trials_counts_those_of_earlier_runs(file):
    make(file).run(max_trials=7)
    make(file).run(max_trials=10)
    assert len(make(file).trials) == 10
    make(file).run(max_trials=10)
    assert len(make(file).trials) == 10


@pytest.mark.parametrize("cuts", [[1], [3, 4], [5, 6, 20]])
def test_a_run_in_pieces_is_the_run_in_one_piece(file, cuts):
    whole = make(":memory:")
    whole.run(max_trials=25)
    for cut in [*cuts, 25]:
        make(file).run(max_trials=cut)
    assert told(make(file)) == told(whole)


def test_max_duration_ends_a_search_without_end():
    experiment = make(":memory:", strategy=Random(dedup=False))
    experiment.run(max_duration=0.3)
    assert experiment.trials


def test_max_duration_holds_for_interrupted_trials_too(file):
    experiment = make(file)
    experiment.strategy.reset(experiment.decisions, 0)
    with experiment.storage.lock("test"):
        record = experiment._register()
        for number in range(2):  # as two workers leave it that are killed with the main process
            architecture = experiment.strategy.propose()
            experiment.storage.propose(record, Trial(number=number, architecture=architecture, seed=number))

    def slow(model):
        time.sleep(0.2)
        return 1.0

    again = make(file, slow)
    again.run(max_duration=0.1)
    assert [trial.state for trial in again.trials] == [State.COMPLETED, State.RUNNING]
    again.run(max_trials=2)
    assert [trial.state for trial in again.trials] == [State.COMPLETED] * 2


def test_an_exhausted_strategy_ends_the_run_and_says_so(caplog):
    experiment = make(":memory:", strategy=GridSearch())
    experiment.run()  # a script that does not set up logging is told, too
    assert len(experiment.trials) == experiment.decisions.size == 48
    assert "nothing left to try after 48 trials" in caplog.text


@pytest.mark.parametrize("limit", [{"max_trials": 0}, {"max_duration": -1}, {"max_trials": 2.5}, {"max_trials": "5"}])
def test_limits_must_be_positive(limit):
    with pytest.raises(ExperimentError, match=r"must be (an integer )?above 0"):
        make(":memory:").run(**limit)


# --- trials that do not complete ------------------------------------------------------------------------------------


def test_failures_are_data(caplog):
    def fails_sometimes(model, trial):
        if trial.number % 3 == 0:
            raise ZeroDivisionError(f"no luck in {trial.number}")
        if trial.number % 3 == 1:
            trial.report(0.25)
            raise Pruned
        return parameters(model)

    experiment = make(":memory:", fails_sometimes)
    experiment.run(max_trials=12)
    states = [trial.state for trial in experiment.trials]
    assert states == [State.FAILED, State.PRUNED, State.COMPLETED] * 4
    assert "ZeroDivisionError: no luck in 3" in experiment.trials[3].error
    assert experiment.trials[1].metrics == {"score": 0.25}
    assert len(experiment.top(20)) == 4
    assert "trial 9 failed: ZeroDivisionError: no luck in 9" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), "good", None, {"a": float("inf")}])
def test_what_is_no_number_fails_the_trial_with_a_message(value):
    experiment = make(":memory:", lambda model: value)
    experiment.run(max_trials=2)
    assert {trial.state for trial in experiment.trials} == {State.FAILED}
    assert "MetricError" in experiment.trials[0].error
    assert "finite number" in experiment.trials[0].error


def test_when_all_fail_the_last_error_is_told(caplog):
    experiment = make(":memory:", lambda model: model.no_such_method())
    experiment.run(max_trials=3)
    assert "all 3 trials failed" in caplog.text
    assert "no_such_method" in caplog.text


def test_an_objective_that_no_metric_matches_stops_the_run_at_once(file):
    experiment = make(file, lambda model: {"acc": 1.0}, objectives={"accuracy": "maximize"})
    with pytest.raises(MetricError, match=r"'accuracy' is not among .* acc"):
        experiment.run(max_trials=10)
    assert [trial.state for trial in experiment.trials] == [State.FAILED]
    mended = make(file, lambda model: {"accuracy": 1.0}, objectives={"accuracy": "maximize"})
    mended.run(max_trials=4)
    assert [trial.state for trial in mended.trials] == [State.FAILED, *[State.COMPLETED] * 3]


def test_learning_curves_are_kept():
    def learn(model, trial):
        for epoch in range(3):
            trial.report({"accuracy": epoch / 10}, step=epoch)
        return 1.0

    experiment = make(":memory:", learn)
    experiment.run(max_trials=2)
    assert experiment.curve(1) == [(epoch, {"accuracy": epoch / 10}) for epoch in range(3)]


# --- several objectives, joint search, weights ----------------------------------------------------------------------


def test_several_objectives_have_a_front():
    experiment = make(
        ":memory:",
        lambda model: {"width": model.layers[0].out_features, "cost": parameters(model)},
        objectives={"width": "maximize", "cost": "minimize"},
        strategy=GridSearch(),
    )
    experiment.run()
    front = experiment.pareto()
    assert [trial.metrics["width"] for trial in front] == sorted({t.metrics["width"] for t in front}, reverse=True)
    assert {trial.architecture["kind"] for trial in front} == {"relu"}
    assert len(front) == 16


def test_architecture_and_learning_rate_are_searched_together():
    def evaluator():
        lr = real(0.001, 1.0, log=True, label="lr")
        return FunctionalEvaluator(lambda model: lr * parameters(model))

    experiment = Experiment(
        ModelSpace(Net), evaluator, RegularizedEvolution(population_size=10, sample_size=5), objectives="maximize",
        name="joint", storage=":memory:",
    )  # fmt: skip
    experiment.run(max_trials=150)
    best = experiment.top(1)[0]
    assert set(best.architecture) >= {"width", "kind", "lr"}
    assert best.architecture["lr"] > 0.3
    assert best.metrics["score"] == best.architecture["lr"] * parameters(experiment.build(best))


def train(model):
    nn.init.constant_(model.layers[0].weight, 0.5)
    return parameters(model)


def test_weights_of_the_best_are_kept_and_others_deleted(file):
    strategy = GridSearch()
    experiment = make(file, FunctionalEvaluator(train, keep_weights=True), strategy)
    experiment.run()
    kept = [trial for trial in experiment.trials if trial.weights]
    assert {t.number for t in kept} == {t.number for t in experiment.top(KEPT_WEIGHTS)}
    files = {Path(trial.weights) for trial in kept}
    assert set(next(iter(files)).parent.iterdir()) == files
    best = experiment.top(1)[0]
    assert load_file(best.weights)["layers.0.weight"].unique().tolist() == [0.5]
    assert experiment.build(best).layers[0].weight.unique().tolist() == [0.5]


def test_weights_of_a_deleted_database_are_not_those_of_new_trials(file):
    make(file, FunctionalEvaluator(train, keep_weights=True)).run(max_trials=1)
    file.unlink()
    experiment = make(file)
    experiment.run(max_trials=1)
    assert experiment.trials[0].weights is None


def test_weights_that_are_gone_are_named(file):
    experiment = make(file, FunctionalEvaluator(train, keep_weights=True))
    experiment.run(max_trials=1)
    Path(experiment.trials[0].weights).unlink()
    with pytest.raises(ExperimentError, match=r"weights of trial 0 cannot be loaded from .*0\.safetensors"):
        experiment.build(0)


def test_without_kept_weights_build_gives_the_model_before_evaluation(file):
    weights = {}

    def remember(model, trial):
        weights[trial.number] = model.layers[0].weight.detach().clone()
        return train(model)

    experiment = make(file, remember)
    experiment.run(max_trials=3)
    for trial in experiment.trials:
        assert torch.equal(experiment.build(trial).layers[0].weight, weights[trial.number])


# --- export ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_an_exported_folder_runs_where_lanista_cannot_be_imported(file, tmp_path, keep):
    experiment = make(file, FunctionalEvaluator(train, keep_weights=keep))
    experiment.run(max_trials=6)
    best = experiment.top(1)[0]
    folder = experiment.export(best, tmp_path / "model")
    expected = experiment.build(best)(torch.ones(2, 4))
    script = """
        import sys, json
        sys.modules["lanista"] = None
        sys.path.insert(0, sys.argv[1])
        import torch, model
        print(json.dumps(model.load()(torch.ones(2, 4)).tolist()))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert torch.allclose(torch.tensor(json.loads(run.stdout)), expected)
    assert json.loads((folder / "architecture.json").read_text()) == best.architecture
    card = json.loads((folder / "card.json").read_text())
    assert (card["trial"], card["metrics"], card["seed"]) == (best.number, best.metrics, best.seed)
    assert card["space"] == experiment.decisions.fingerprint
    assert (folder / "weights.safetensors").exists() == keep


def test_a_trial_that_is_not_there_is_named(file):
    experiment = make(file)
    experiment.run(max_trials=2)
    with pytest.raises(ExperimentError, match="no trial 7; experiment 'test' has 2"):
        experiment.export(7, "nowhere")


# --- names, clashes, storage ----------------------------------------------------------------------------------------


def other():
    return nn.Linear(choice([1, 2], label="other"), 1)


def test_a_name_taken_by_another_space_is_refused_with_both_fingerprints(file):
    first = make(file)
    first.run(max_trials=3)
    second = Experiment(
        ModelSpace(other),
        FunctionalEvaluator(parameters),
        Random(),
        objectives="maximize",
        name="test",
        storage=file,
    )
    with pytest.raises(ExperimentError) as error:
        second.run(max_trials=5)
    for part in (first.decisions.fingerprint, second.decisions.fingerprint, "'test'", "another name"):
        assert part in str(error.value)
    assert len(first.trials) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objectives": "minimize"}, "objectives maximize.*minimize"),
        ({"seed": 3}, "seed 0, and this one has 3"),
    ],
)
def test_other_objectives_or_seeds_need_another_name(file, options, words):
    make(file).run(max_trials=2)
    with pytest.raises(ExperimentError, match=words):
        make(file, **options).run(max_trials=4)


def test_another_strategy_is_found_out_by_replay(file):
    make(file).run(max_trials=8)
    with pytest.raises(ExperimentError, match=r"does not replay: for trial 0.*RegularizedEvolution.*GridSearch"):
        make(file, strategy=GridSearch()).run(max_trials=12)
    assert len(make(file).trials) == 8


def test_the_default_name_is_that_of_the_callable(file):
    experiment = Experiment(
        ModelSpace(Net), FunctionalEvaluator(parameters), Random(), objectives="maximize", storage=file
    )
    assert experiment.name == "Net"
    assert experiment.trials == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((Net, FunctionalEvaluator(len), Random()), "space is .*ModelSpace"),
        ((ModelSpace(Net), len, Random()), "needs the arguments obj"),
        ((ModelSpace(Net), FunctionalEvaluator(len), Random), "strategy is .*give a Strategy or Method instance"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(arguments, words):
    with pytest.raises(ExperimentError, match=words):
        Experiment(*arguments, objectives="maximize")


@pytest.mark.parametrize("seed", ["a", -1, 1.5, True])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(ExperimentError, match=r"seed is .*integer from 0"):
        make(":memory:", seed=seed)


def test_a_storage_that_fails_ends_the_run_and_loses_nothing(file):
    storage = Storage(file)
    experiment = make(storage)
    experiment.run(max_trials=5)

    def fill(model, trial):
        if trial.number == 8:
            Path(file).with_suffix(".artifacts").mkdir(exist_ok=True)
            storage.close()
            Path(file).rename(file.with_suffix(".away"))
            file.write_bytes(b"this is no database, and never was one" * 100)
        return parameters(model)

    with pytest.raises(StorageError):
        make(storage, fill).run(max_trials=20)
    storage.close()
    file.with_suffix(".away").replace(file)
    make(file).run(max_trials=20)
    assert [trial.number for trial in make(file).trials] == list(range(20))


def test_two_runs_of_one_experiment_at_once_are_refused(file):
    def nested(model):
        with pytest.raises(ExperimentError, match="'test'"):
            make(file).run(max_trials=5)
        return parameters(model)

    experiment = make(file, nested)
    experiment.run(max_trials=1)
    assert experiment.trials[0].state is State.COMPLETED, experiment.trials[0].error


# --- interruption ---------------------------------------------------------------------------------------------------


def test_ctrl_c_leaves_a_resumable_experiment(file):
    def interrupt(model, trial):
        if trial.number == 6 and not (file.parent / "again").exists():
            (file.parent / "again").touch()
            raise KeyboardInterrupt
        return parameters(model)

    with pytest.raises(KeyboardInterrupt):
        make(file, interrupt).run(max_trials=20)
    assert [t.state for t in make(file).trials] == [*[State.COMPLETED] * 6, State.RUNNING]
    make(file, interrupt).run(max_trials=20)
    whole = make(":memory:")
    whole.run(max_trials=20)
    assert told(make(file)) == told(whole)


def test_processes_find_what_one_process_finds(file):
    alone = make(":memory:", strategy=GridSearch())
    alone.run()
    experiment = make(file, strategy=GridSearch(), executor=ProcessExecutor(2))
    experiment.run()
    assert told(experiment) == told(alone)


def test_a_trial_s_seed_depends_on_experiment_and_number_only():
    seeds = {trial_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_while_a_script_is_loaded_its_experiment_is_caught_instead_of_run():
    experiment = make(":memory:", strategy=Deduplicated(Random(dedup=False)))
    with loading(), pytest.raises(Loaded) as caught:
        experiment.run(max_trials=3)
    assert caught.value.experiment is experiment
    assert caught.value.limits == {"max_trials": 3, "max_duration": None}
