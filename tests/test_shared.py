"""Experiments with one-shot methods: a supernet is trained, and then searched."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, ProcessExecutor, choice
from lanista.errors import EvaluatorError, ExperimentError, OneShotError
from lanista.evaluator import Classification
from lanista.nn import LayerChoice, Repeat
from lanista.oneshot import DARTS, SPOS
from lanista.scheduler import ASHA
from lanista.strategy import GridSearch, Random
from tests.oneshot.tiny import loader, sgd, space

ROOT = Path(__file__).parents[1]
METHODS = [partial(DARTS, learning_rate=0.05), SPOS]


def train(epochs=4):
    return Classification(partial(loader, shuffle=True), partial(loader, seed=1), optimizer=sgd, max_epochs=epochs)


def make(storage, method, evaluator=None, **options):
    return Experiment(
        options.pop("space", space()),
        evaluator or train(),
        method,
        **{"objectives": {"val_accuracy": "maximize"}, "name": "test", "storage": storage} | options,
    )


def told(experiment):
    return [(t.number, t.architecture, t.state, t.metrics) for t in experiment.trials]


@pytest.mark.parametrize("method", METHODS)
def test_a_supernet_is_trained_and_searched(method, tmp_path, capsys):
    experiment = make(tmp_path / "test.db", method())
    experiment.run(max_trials=6)
    assert len(experiment.trials) == 6
    best = experiment.top(1)[0]
    assert best.metrics["val_accuracy"] > 0.5
    said = capsys.readouterr().out
    assert "6 architectures scored with the shared weights" in said
    assert "NOT MEASURED" in said and "reference=" in said
    assert "experiment.trust()" in said
    model = experiment.build(best).eval()
    inputs, targets = loader(seed=1).dataset.tensors
    assert (model(inputs).argmax(1) == targets).float().mean().item() == pytest.approx(best.metrics["val_accuracy"])
    folder = experiment.export(best, tmp_path / "out")
    assert "import lanista" not in (folder / "model.py").read_text()


def test_what_the_method_finds_comes_first(tmp_path):
    method = DARTS(learning_rate=0.05)
    experiment = make(tmp_path / "test.db", method)
    experiment.run(max_trials=6)
    assert [trial.architecture for trial in experiment.trials[:5]] == method.best(5)


@pytest.mark.parametrize("method", METHODS)
def test_run_again_it_does_not_train_again(method, tmp_path):
    make(tmp_path / "test.db", method()).run(max_trials=3)
    weights = next((tmp_path).rglob("supernet.safetensors"))
    before = weights.stat().st_mtime_ns
    experiment = make(tmp_path / "test.db", method())
    experiment.run(max_trials=6)
    assert weights.stat().st_mtime_ns == before
    whole = make(tmp_path / "other.db", method())
    whole.run(max_trials=6)
    assert told(experiment) == told(whole)


def test_a_search_on_a_gpu_is_read_without_one(tmp_path, monkeypatch):
    with monkeypatch.context() as there:
        there.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        make(tmp_path / "test.db", DARTS(learning_rate=0.05)).run(max_trials=2)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(next(tmp_path.rglob("method.pt")), weights_only=True)
    again = make(tmp_path / "test.db", DARTS(learning_rate=0.05))
    assert "2 architectures" in again.report()
    again.run(max_trials=4)


def test_workers_score_as_this_process_does(tmp_path):
    made = []
    for name, executor in (("a", None), ("b", ProcessExecutor(2))):
        experiment = make(tmp_path / f"{name}.db", SPOS(), searcher=GridSearch(), executor=executor)
        experiment.run()
        made.append({experiment.decisions.key(trial.architecture): trial.metrics for trial in experiment.trials})
    assert made[0].keys() == made[1].keys()
    for name, metrics in made[0].items():
        assert metrics == pytest.approx(made[1][name], abs=0.02)  # other trials draw other batches to recalibrate by


def test_the_searcher_may_be_any_strategy(tmp_path):
    experiment = make(tmp_path / "test.db", SPOS(), searcher=GridSearch())
    experiment.run()
    assert [trial.architecture for trial in experiment.trials] == list(space().decisions.grid())


def test_ask_and_tell_work_on_the_trained_supernet(tmp_path):
    with make(tmp_path / "test.db", SPOS()) as experiment:
        trial = experiment.ask()
        experiment.tell(trial, {"val_accuracy": 0.5})
    assert len(experiment.trials) == 1
    assert experiment.shared.method.count == 4 * 16


def test_limits_are_kept_in_both_phases(tmp_path):
    small = space().constrain(lambda architecture: architecture["body"] == "skip")
    experiment = make(tmp_path / "test.db", DARTS(learning_rate=0.05), space=small)
    experiment.run(max_trials=3)
    assert {trial.architecture["body"] for trial in experiment.trials} == {"skip"}


def wide():
    """Twelve architectures."""
    layers = [LayerChoice({"relu": nn.ReLU(), "tanh": nn.Tanh()}, label="act"), nn.Linear(8, 8)]
    body = Repeat(lambda: nn.Linear(8, 8), (0, 5), label="depth")
    return nn.Sequential(nn.Linear(4, 8), *layers, body, nn.Linear(8, 2))


def test_trust_is_by_real_trainings(tmp_path):
    def experiment():
        made = ModelSpace(wide, example_input=torch.zeros(2, 4))
        return make(tmp_path / "test.db", SPOS(), space=made, searcher=GridSearch(), reference=train(2))

    assert "0 architectures" in experiment().report()
    experiment().run()
    again = experiment()
    assert "Trust: NOT MEASURED" in again.report()
    text = str(again.trust())
    assert "Inherited(Classification" in text
    assert "val_accuracy" in text
    assert again.report().endswith(text) and "NOT MEASURED" not in again.report()


def test_another_search_of_this_name_has_its_own_weights(tmp_path):
    """As in a notebook: the storage is deleted, and the same is run again in the same process."""
    weights = []
    for seed in (0, 1):
        made = space()
        experiment = make(tmp_path / "test.db", SPOS(), space=made, searcher=GridSearch(), seed=seed)
        experiment.run()
        weights.append(experiment.build(0).stem[0].weight)
        file = load_file(next(tmp_path.rglob("supernet.safetensors")))
        assert torch.equal(weights[-1], file["/stem/0/weight"])
        shutil.rmtree(tmp_path / "test.artifacts")
        (tmp_path / "test.db").unlink()
    assert not torch.equal(*weights)


KILLED = """
    import logging, sys
    from functools import partial
    sys.path.insert(0, {root!r})
    from tests.test_shared import make, train
    from lanista.oneshot import DARTS
    logging.basicConfig(level=logging.INFO)
    make({file!r}, DARTS(learning_rate=0.05), train(16)).run(max_trials=3)
"""


def test_killed_while_the_supernet_trains_it_goes_on(tmp_path):
    whole = make(tmp_path / "whole.db", DARTS(learning_rate=0.05), train(16))
    whole.run(max_trials=3)
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(KILLED.format(root=str(ROOT), file=str(tmp_path / "test.db"))))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stderr=subprocess.PIPE, text=True, env=environment) as run:
        for line in run.stderr:
            if "validation 3" in line:
                run.send_signal(signal.SIGKILL)
                break
    assert run.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("test.artifacts/test/supernet/training/last.ckpt"))
    experiment = make(tmp_path / "test.db", DARTS(learning_rate=0.05), train(16))
    experiment.run(max_trials=3)
    assert told(experiment) == told(whole)
    one, other = (
        load_file(next(tmp_path.glob(f"{name}.artifacts/*/supernet/*.safetensors"))) for name in ("whole", "test")
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not list(tmp_path.rglob("last.ckpt")), "the checkpoint is left"


def test_other_processes_are_kept_out_while_it_trains(tmp_path):
    class Nested(SPOS):
        def prepare(self):
            with pytest.raises(ExperimentError, match="is being run by process"):
                make(tmp_path / "test.db", SPOS()).run(max_trials=1)

    make(tmp_path / "test.db", Nested()).run(max_trials=1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"evaluator": train}, ExperimentError, "give an Evaluator instance"),
        ({"scheduler": ASHA()}, ExperimentError, "nothing that .* could stop early"),
        ({"strategy": Random(), "searcher": Random()}, ExperimentError, "no one-shot method"),
        ({"searcher": DARTS()}, ExperimentError, "give a Strategy instance"),
        ({"strategy": DARTS}, ExperimentError, "give a Strategy or Method instance"),
    ],
)
def test_arguments_that_do_not_fit(arguments, error, words, tmp_path):
    options = {"evaluator": train(), "strategy": SPOS(), **arguments}
    with pytest.raises(error, match=words):
        make(tmp_path / "test.db", options.pop("strategy"), options.pop("evaluator"), **options)


def test_evaluators_that_train_by_themselves_are_refused(tmp_path):
    with pytest.raises(EvaluatorError, match=r"method\.fit"):
        make(tmp_path / "test.db", SPOS(), FunctionalEvaluator(lambda model: 0.0)).run()


def dropped():
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(choice([0.1, 0.5], label="rate")), nn.Linear(8, 2))


def test_spaces_that_cannot_be_mixed_are_refused_before_anything_is_trained(tmp_path):
    refused = ModelSpace(dropped, example_input=torch.zeros(2, 4))
    with pytest.raises(OneShotError, match=r"(?s)'rate': .*SPOS"):
        make(tmp_path / "test.db", DARTS(), space=refused).run()
    make(tmp_path / "test.db", SPOS(), space=refused, name="paths").run(max_trials=2)


def test_a_report_needs_a_method(tmp_path):
    with pytest.raises(ExperimentError, match="no one-shot method"):
        make(tmp_path / "test.db", Random()).report()
