"""What the documentation shows runs; what it says of the code is generated from the code; its links lead somewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lanista

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def run(arguments, folder):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_readme_runs(tmp_path):
    code = "".join(blocks(ROOT / "README.md", "python"))
    (tmp_path / "search.py").write_text(code)
    assert "score" in run(["search.py"], tmp_path)
    assert {"model.py", "weights.safetensors"} <= {path.name for path in (tmp_path / "best_model").iterdir()}
    for command in blocks(ROOT / "README.md", "console")[1].splitlines():
        words = command.partition("#")[0].split()[1:]
        run(["-m", "lanista.cli", *words[1:]], tmp_path)


def test_the_guide_runs(tmp_path):
    (tmp_path / "guide.py").write_text("".join(blocks(ROOT / "docs" / "guide.md", "python")))
    run(["guide.py"], tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "benchmarks.md", "hub.md", "architecture.svg", "space.svg"])
def test_generated_pages_are_current(name, generate):
    assert (ROOT / "docs" / name).read_text() == generate.PAGES[name](), "run `make docs`"


def test_the_pages_of_the_proof_cards_are_current(generate):
    names = {name for name in generate.PAGES if name.startswith("proof/")}
    for name in names:
        assert (ROOT / "docs" / name).read_text() == generate.PAGES[name](), f"{name}: run `make docs`"
    folder = ROOT / "docs"
    written = {
        path.relative_to(folder).as_posix() for path in (folder / "proof").rglob("*.*") if path.suffix != ".json"
    }
    assert written == names, "each page has a card, and each card its pages"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_examples_run(example, tmp_path):
    words = {
        "quickstart": "'score': 0.",
        "training_loop": "exported to training_loop_model",
        "joint": "'lr'",
        "classification": "trained for 8 epochs: 0.9",
        "constraint": "parameters",
        "resume": "30 trials, all completed",
        "oneshot": "retrained: 0.",
        "mutators": "stage3 (Block): stage3/width=",
        "demo": "The best of 3 trials by evolution",
    }
    out = run([example, *(["3"] if example.stem == "demo" else [])], tmp_path)
    assert words[example.stem] in out


def test_every_public_name_is_documented():
    assert {*lanista.__all__, *lanista._PACKAGES} == {
        line.rpartition(" as ")[2]
        for line in (ROOT / "lanista" / "__init__.pyi").read_text().splitlines()
        if " as " in line
    }
    for name in lanista.__all__:
        assert getattr(lanista, name).__doc__, name
