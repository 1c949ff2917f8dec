"""The command line as a user meets it: arguments in, text and exit code out."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lanista import Experiment, FunctionalEvaluator, ModelSpace, cli
from lanista.storage import Storage

SEARCH = """
from torch import nn
from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
from lanista.strategy import Random
from beside import score

def network():
    return nn.Linear(choice([1, 2, 3, 4], label="inputs"), choice([1, 2, 3, 4], label="outputs"))

experiment = Experiment(
    ModelSpace(network), FunctionalEvaluator(score, keep_weights=True), Random(), objectives={"size": "maximize"},
    name="sizes",
)
"""
BESIDE = """
def score(model, trial):
    if trial.number == 2:
        raise RuntimeError("trial two never works [red]")
    for epoch in range(3):
        trial.report({"size": epoch}, step=epoch)
    return {"size": sum(p.numel() for p in model.parameters()), "number": trial.number}
"""
GUARDED = "\nif __name__ == '__main__':\n    experiment.run(max_trials=5)\n"
UNGUARDED = "\nexperiment.run(max_trials=5)\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with a search in it; what loading it leaves in the interpreter is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    (tmp_path / "search.py").write_text(SEARCH + GUARDED)
    (tmp_path / "beside.py").write_text(BESIDE)
    yield tmp_path
    sys.modules.pop("beside", None)


@pytest.fixture
def lanista(monkeypatch, capsys):
    """Call the command line; returns exit code, standard output and standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["lanista", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code or 0
        return (code, *capsys.readouterr())

    return call


def test_run_then_look_then_export(lanista, folder):
    code, out, _ = lanista("run", "search.py")
    assert code == 0
    assert "size" in out and "inputs=" in out

    code, out, _ = lanista("list")
    assert code == 0
    assert "sizes" in out and "stopped" in out and "Random" in out

    code, out, _ = lanista("show", "sizes")
    assert code == 0
    for part in (
        "4 completed, 1 failed",
        "maximize size",
        "16 architectures",
        "one of 1, 2, 3, 4",
        "search.py",
    ):
        assert part in out

    code, out, _ = lanista("top", "sizes", "-k", "3")
    assert code == 0
    rows = [line for line in out.splitlines() if line.strip()[:1].isdigit()]
    assert len(rows) == 3
    sizes = [float(row.split()[1]) for row in rows]
    assert sizes == sorted(sizes, reverse=True)

    code, out, _ = lanista("export", "sizes", "model")
    assert code == 0
    assert {"model.py", "weights.safetensors", "card.json", "architecture.json"} <= {
        path.name for path in Path("model").iterdir()
    }
    assert "model.py" in out


def test_limits_are_shown_and_kept(lanista, folder):
    limited = "ModelSpace(network).constrain(lambda a: a['inputs'] + a['outputs'] <= 3)"
    (folder / "search.py").write_text(SEARCH.replace("ModelSpace(network)", limited) + UNGUARDED)
    assert lanista("run", "search.py")[0] == 0
    assert "the rule <lambda> holds" in lanista("show", "sizes")[1]
    rows = [json.loads(line) for line in lanista("trials", "sizes", "--json")[1].splitlines()]
    assert len(rows) == 3
    assert all(sum(row["architecture"].values()) <= 3 for row in rows)


def test_an_export_has_other_forms_on_request(lanista, folder):
    lanista("run", "search.py")
    code, _, err = lanista("export", "sizes", "model", "--pt2")
    assert code == 1
    assert "'pt2' needs an example input: ModelSpace(..., example_input=tensor)" in " ".join(err.split())
    width = json.loads(lanista("trials", "sizes", "--json")[1].splitlines()[3])["architecture"]["inputs"]
    (folder / "search.py").write_text(
        SEARCH.replace("ModelSpace(network)", f"ModelSpace(network, example_input=torch.zeros(2, {width}))").replace(
            "from torch import nn", "import torch\nfrom torch import nn"
        )
        + GUARDED
    )
    for formats in ({"pt2"}, {"onnx", "pt2"}):
        if "onnx" in formats:
            pytest.importorskip("onnxruntime")
        code, _, err = lanista("export", "sizes", "model", *(f"--{name}" for name in formats), "--trial", 3)
        assert code == 0, err
        assert {f"model.{name}" for name in formats} <= {path.name for path in Path("model").iterdir()}


def test_pictures_of_trials_and_of_spaces(lanista, folder):
    code, out, err = lanista("draw", "search.py", "--out", "first.svg")
    assert code == 0, err
    assert "Default architecture of sizes is in first.svg" in out
    lanista("run", "search.py")
    code, out, err = lanista("draw", "sizes")
    assert code == 0, err
    best = Path("sizes.svg").read_text()
    assert best.startswith("<svg") and "inputs" in best and f"rial {number_of(out)} " in out
    assert lanista("draw", "search.py:experiment", "--out", "-")[1] == best
    _, other, _ = lanista("draw", "sizes", "--trial", 1, "--out", "-")
    assert other.startswith("<svg") and other != best
    _, space, _ = lanista("draw", "sizes", "--space", "--out", "-")
    _, same, _ = lanista("draw", "search.py", "--space", "--out", "-")
    assert space == same and "16 architectures" in space and "filled: chosen" not in space
    assert "filled: chosen" in lanista("draw", "sizes", "--space", "--trial", 0, "--out", "-")[1]
    assert lanista("draw", "sizes", "--trial", 99)[0] == 1
    assert "cannot be written" in lanista("draw", "sizes", "--out", "nowhere/x.svg")[2]


SHARED = """
from pathlib import Path
import torch
from torch import nn
from lanista import Experiment, ModelSpace
from lanista.evaluator import Evaluator
from lanista.nn import LayerChoice
from lanista.oneshot import DARTS, SPOS

def network():
    layer = LayerChoice({"linear": lambda: nn.Linear(2, 2), "skip": nn.Identity}, label="layer")
    return nn.Sequential(nn.Linear(2, 2), layer)

class Few(Evaluator):
    def evaluate(self, model, trial):
        return float(model(torch.ones(1, 2)).sum())

    def share(self, begin, weights, trial):
        method, batch, optimizer = begin(3), torch.ones(4, 2), torch.optim.SGD(weights.parameters(), 0.1)
        trial.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            method.step(batch, batch, loss=lambda m, x: m(x).square().mean(), optimizer=optimizer)
            method.log()
        if Path("stop").exists():
            raise KeyboardInterrupt
        return method

experiment = Experiment(ModelSpace(network), Few(), DARTS(), objectives="maximize", name="shared")

if __name__ == "__main__":
    experiment.run(max_trials=2)
"""


def test_pictures_of_one_shot_searches(lanista, folder):
    (folder / "shared.py").write_text(SHARED)
    (folder / "stop").touch()
    assert lanista("run", "shared.py")[0] == 130
    code, _, err = lanista("draw", "shared", "--strengths", "over.svg")
    assert code == 1 and "is not trained yet" in " ".join(err.split())
    (folder / "stop").unlink()
    code, _, err = lanista("run", "shared.py")
    assert code == 0, err
    code, out, err = lanista("draw", "shared", "--strengths", "over.svg")
    assert code == 0, err
    assert "Development of option strengths of shared is in over.svg" in out
    picture = Path("over.svg").read_text()
    assert picture.startswith("<svg") and "layer: " in picture and ">skip</text>" in picture
    for name in ("shared", "shared.py", "shared.py:experiment"):
        assert lanista("draw", name, "--strengths", "-")[1] == picture
    assert "cannot be written" in lanista("draw", "shared", "--strengths", "nowhere/x.svg")[2]


def test_what_has_no_strengths_says_why(lanista, folder):
    lanista("run", "search.py")
    code, _, err = lanista("draw", "sizes", "--strengths", "-")
    assert code == 1 and "it has trained no supernet" in " ".join(err.split())
    for other in (["--trial", 1], ["--space"], ["--out", "x.svg"]):
        assert lanista("draw", "sizes", "--strengths", "-", *other)[0] == 2
    (folder / "shared.py").write_text(SHARED.replace("DARTS()", "SPOS()"))
    lanista("run", "shared.py")
    code, _, err = lanista("draw", "shared", "--strengths", "-")
    assert code == 1 and "random paths find no option stronger" in " ".join(err.split())


def number_of(out):
    return int(out.partition("rial ")[2].split()[0])


def test_running_tells_of_lanista_and_of_no_library(folder):
    run = subprocess.run(
        [sys.executable, "-m", "lanista.cli", "run", "search.py"], capture_output=True, text=True, check=True
    )
    assert "4 completed, 1 failed" in run.stderr
    assert "alembic" not in run.stderr


def test_a_trial_shows_its_curve_and_a_failed_one_its_error(lanista):
    lanista("run", "search.py")
    code, out, _ = lanista("show", "sizes", "1")
    assert code == 0
    assert "Step" in out and "completed" in out
    code, out, _ = lanista("show", "sizes", "2")
    assert code == 0
    assert "trial two never works [red]" in out and "Traceback" in out
    _, out, _ = lanista("trials", "sizes", "--state", "failed")
    assert "RuntimeError: trial two never works [red]" in out


@pytest.mark.parametrize("target", ["search.py", "search.py:experiment", "search.py:make"])
@pytest.mark.parametrize("ending", [GUARDED, UNGUARDED, ""])
def test_an_experiment_is_found_however_the_file_is_written(lanista, folder, target, ending):
    if target == "search.py:make" or (ending == UNGUARDED and ":" in target):
        ending = "\ndef make():\n    return experiment\n"
    (folder / "search.py").write_text(SEARCH + ending)
    code, _, err = lanista("run", target, "--max-trials", 4)
    assert code == 0, err
    with Storage("lanista.db") as storage:
        assert len(storage.trials(storage.find("sizes"))) == 4


def test_the_limits_of_a_script_hold_unless_others_are_given(lanista):
    lanista("run", "search.py")
    with Storage("lanista.db") as storage:
        assert len(storage.trials(storage.find("sizes"))) == 5
    code, _, _ = lanista("resume", "sizes", "--max-trials", 7)
    assert code == 0
    with Storage("lanista.db") as storage:
        assert len(storage.trials(storage.find("sizes"))) == 7


def test_resume_finds_the_experiment_inside_of_a_main_function(lanista, folder):
    body = textwrap.indent(SEARCH[SEARCH.index("experiment =") :], "    ")
    (folder / "search.py").write_text(
        SEARCH[: SEARCH.index("experiment =")] + "def main():\n" + body + "    experiment.run(max_trials=3)\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    subprocess.run([sys.executable, "search.py"], check=True, capture_output=True)
    code, _, err = lanista("resume", "sizes", "--max-trials", 6)
    assert code == 0, err
    assert lanista("export", "sizes", "model", "--trial", 0)[0] == 0


def test_a_script_with_arguments_of_its_own_gets_their_defaults(lanista, folder):
    arguments = (
        "\nimport argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--x')\nparser.parse_args()\n"
    )
    (folder / "search.py").write_text(arguments + SEARCH + GUARDED)
    assert lanista("run", "search.py", "--max-trials", 2)[0] == 0


def test_trials_for_other_programs(lanista):
    lanista("run", "search.py")
    _, out, _ = lanista("trials", "sizes", "--json")
    trials = [json.loads(line) for line in out.splitlines()]
    assert [trial["number"] for trial in trials] == list(range(5))
    assert trials[2]["state"] == "failed"
    assert set(trials[0]["architecture"]) == {"inputs", "outputs"}
    _, out, _ = lanista("trials", "sizes", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["number"] for row in rows] == list("01234")
    assert [row["decision:inputs"] for row in rows] == [str(t["architecture"]["inputs"]) for t in trials]
    assert float(rows[0]["metric:size"]) == trials[0]["metrics"]["size"]
    assert lanista("trials", "sizes", "--csv", "--json")[0] == 2


def test_a_table_of_many_trials_shows_the_last_ones(lanista):
    lanista("run", "search.py")
    _, out, _ = lanista("trials", "sizes", "--last", 2)
    assert "The last 2 of 5 trials" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["list"], 1, ["lanista.db"]),
        (["run", "nothing.py"], 1, ["no file 'nothing.py'"]),
        (["run"], 2, ["Missing argument"]),
        (["run", "search.py:nothing"], 1, ["'nothing'", "its experiments are: experiment"]),
        (["bogus"], 2, ["No such command"]),
        (["top", "sizes", "-k", "0"], 2, ["greater than or equal to 1"]),
    ],
)
def test_what_cannot_be_done_is_explained(lanista, arguments, code, words):
    got, out, err = lanista(*arguments)
    assert got == code
    assert all(word in " ".join((out + err).split()) for word in words), out + err


@pytest.mark.parametrize("command", ["show", "top", "trials", "resume", "export", "draw"])
def test_an_unknown_name_is_answered_with_those_there_are(lanista, command):
    lanista("run", "search.py")
    code, _, err = lanista(command, "sizzes", *(["x"] if command == "export" else []))
    assert code == 1
    assert "no experiment 'sizzes'" in err and "there is sizes" in err


def test_resume_keeps_the_limits_of_the_last_run(lanista, folder):
    (folder / "search.py").write_text(SEARCH + "\nexperiment.run(max_trials=16 if __name__ != '__main__' else 6)\n")
    subprocess.run([sys.executable, "search.py"], check=True, capture_output=True)
    assert lanista("resume", "sizes")[0] == 0
    with Storage("lanista.db") as storage:
        assert len(storage.trials(storage.find("sizes"))) == 6


def test_a_metric_that_is_no_objective_needs_a_direction(lanista):
    lanista("run", "search.py")
    code, _, err = lanista("top", "sizes", "--metric", "number")
    assert code == 1
    assert "--minimize or --maximize" in err
    numbers = []
    for direction in ("--minimize", "--maximize"):
        _, out, _ = lanista("top", "sizes", "--metric", "number", direction)
        numbers.append([line.split()[0] for line in out.splitlines() if line.strip()[:1].isdigit()])
    assert numbers == [list("0134"), list("4310")]


def test_unknown_metric_and_trial(lanista):
    lanista("run", "search.py")
    assert "there is size, number" in lanista("top", "sizes", "--metric", "speed")[2]
    assert "no trial 99 in 'sizes'; it has 5" in " ".join(lanista("show", "sizes", 99)[2].split())


def test_an_experiment_from_a_console_needs_a_file(lanista, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    from torch import nn

    from lanista.strategy import Random

    Experiment(
        ModelSpace(nn.Identity),
        FunctionalEvaluator(lambda m: 1.0),
        Random(),
        objectives="maximize",
        name="typed",
    ).run(max_trials=1)
    code, _, err = lanista("export", "typed", "x")
    assert code == 1
    assert "started from a console" in err and "--file" in err


def test_doctor_says_what_is_there(lanista):
    code, out, _ = lanista("doctor")
    assert code == 0
    for part in ("torch", "SQLAlchemy", "usable", "not made yet"):
        assert part in out
    lanista("run", "search.py")
    assert "1 experiments" in lanista("doctor")[1]
    Path("lanista.db").write_bytes(b"not a database " * 1000)
    assert lanista("doctor")[0] == 1


def test_help_teaches():
    run = subprocess.run([sys.executable, "-m", "lanista.cli", "--help"], capture_output=True, text=True, check=True)
    for part in ("lanista run", "Exit codes", "--install-completion", "resume", "doctor"):
        assert part in run.stdout


def test_reading_results_does_not_import_torch():
    code = "import lanista.cli, sys; from lanista.draw import space, strengths; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_complete(lanista):
    lanista("run", "search.py")
    environment = os.environ | {
        "_LANISTA_COMPLETE": "complete_bash", "COMP_WORDS": "lanista show si", "COMP_CWORD": "2",
    }  # fmt: skip
    code = "import sys; sys.argv = ['lanista']; from lanista.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "sizes" in run.stdout.split()


def test_ctrl_c_ends_with_130_and_can_be_resumed(lanista, folder):
    slow = BESIDE.replace("    for epoch", "    import time; time.sleep(0.3)\n    for epoch")
    (folder / "beside.py").write_text(slow)
    run = subprocess.Popen(
        [sys.executable, "-m", "lanista.cli", "run", "search.py", "--max-trials", "400"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: Path("lanista.db").exists() and "completed" in lanista("trials", "sizes", "--json")[1])
        assert "running" in lanista("list")[1]
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130
    assert "goes on" in err
    assert "interrupted" in lanista("list")[1]
    (folder / "beside.py").write_text(BESIDE)
    assert lanista("resume", "sizes", "--max-trials", 6)[0] == 0


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_trust_prints_a_report_and_writes_a_page(lanista, folder):
    reference = SEARCH.replace('name="sizes",', 'name="sizes", reference=FunctionalEvaluator(score),')
    (folder / "search.py").write_text(reference)
    assert lanista("run", "search.py", "--max-trials", 16)[0] == 0
    code, text, _ = lanista("trust", "sizes", "--fraction", 1, "--html", "trust.html")
    assert code == 0
    assert "Trust in sizes: size by FunctionalEvaluator(score) as a proxy of size" in text
    assert "Verdict: " in text
    assert "<svg" in (folder / "trust.html").read_text()


def test_trust_without_a_reference_says_how_to_give_one(lanista):
    assert lanista("run", "search.py")[0] == 0
    code, _, error = lanista("trust", "sizes")
    assert code == 1
    assert "reference=evaluator" in error


def test_a_script_with_a_loop_of_its_own_is_found_and_not_run(lanista, folder):
    loop = """
    with experiment:
        for _ in range(2):
            trial = experiment.ask()
            print("evaluating", trial.number)
            experiment.tell(trial, {"size": trial.number})
    """
    (folder / "search.py").write_text(SEARCH + "def main():" + loop + "\nif __name__ == '__main__':\n    main()\n")
    subprocess.run(
        [sys.executable, "search.py"], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    code, text, _ = lanista("export", "sizes", "best")
    assert code == 0
    assert "evaluating" not in text
    code, text, error = lanista("run", "search.py")
    assert code == 1
    assert "has a loop of its own" in error
    assert "evaluating" not in text
