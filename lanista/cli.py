"""The `lanista` command.

Commands that only read results start without torch. Those that need the user's code load the file it is in, and
import what that needs when they are called.
"""

from __future__ import annotations

import csv
import importlib
import json
import logging
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

import lanista
from lanista.errors import ExperimentError, LanistaError, MetricError
from lanista.objective import Direction, Objectives
from lanista.space.search import SearchSpace, format_size
from lanista.storage import Record, Storage, Summary
from lanista.trial import State, Trial

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 it could not be done, and the message says why; 2 wrong usage; 130 interrupted by Ctrl-C "
    "(run or resume again and it goes on)."
)

app = typer.Typer(
    name="lanista",
    help=(
        "Search neural network architectures. Write a file that makes an Experiment, then: lanista run FILE. "
        "Look at it while it runs, or later: lanista list, lanista top NAME. "
        "Take the result: lanista export NAME FOLDER."
    ),
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of stored experiments, for tab completion."""
    try:
        with Storage(context.params.get("storage") or DEFAULT_STORAGE, create=False) as storage:
            return [s.record.name for s in storage.experiments() if s.record.name.startswith(incomplete)]
    except LanistaError:
        return []


DEFAULT_STORAGE = os.environ.get("LANISTA_STORAGE", "lanista.db")

StorageOption = Annotated[
    str,
    typer.Option("--storage", "-s", envvar="LANISTA_STORAGE", help="SQLite file or SQLAlchemy URL.", show_default=True),
]
Name = Annotated[str, typer.Argument(help="Name of the experiment.", autocompletion=_names)]
MaxTrials = Annotated[
    int | None,
    typer.Option(help="Trials of the whole experiment, earlier runs counted. Default: no limit.", min=1),
]
MaxDuration = Annotated[
    float | None,
    typer.Option(help="Seconds after which this run starts no more trials. Default: no limit.", min=0.001),
]
File = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE[:OBJECT]",
        help="Where the experiment is written. Default: the file it was started from.",
    ),
]


# --- commands that run the user's code --------------------------------------------------------------------


@app.command()
def run(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:OBJECT]",
            help="Python file, and the variable in it that is the Experiment (or a function that returns one). "
            "Without OBJECT the file runs as a script, up to its experiment.run().",
        ),
    ],
    max_trials: MaxTrials = None,
    max_duration: MaxDuration = None,
) -> None:
    """Run the experiment that a file makes, or continue it.

    The same command again goes on where it stopped. The limits default to those of the file's own experiment.run(),
    where OBJECT is not given.

    Example: lanista run search.py --max-trials 100
    """
    _run(*_load(file), max_trials, max_duration)


@app.command()
def resume(
    name: Name,
    max_trials: MaxTrials = None,
    max_duration: MaxDuration = None,
    file: File = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Continue an experiment from the file that it was started from.

    The limits default to those of its last run.

    Example: lanista resume digits --max-trials 200
    """
    with _opened(storage) as opened:
        record = _record(opened, name)
        last = next((e for e in reversed(opened.events(record)) if e.kind == "run"), None)
        limits = json.loads(last.detail) if last is not None and last.detail else {}
        _run(_of_record(record, opened, file), limits, max_trials, max_duration)


@app.command()
def export(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Folder to write; made if it is not there.")],
    trial: Annotated[
        int | None, typer.Option("--trial", "-t", help="Number of the trial. Default: the best one.", min=0)
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx, too.")] = False,
    pt2: Annotated[bool, typer.Option("--pt2", help="Write model.pt2, too, for torch.export.load.")] = False,
    file: File = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Write a trial's model as a folder of plain PyTorch code and weights that runs without lanista.

    Example: lanista export digits best_model
    """
    with _opened(storage) as opened:
        record = _record(opened, name)
        number = _best(opened, record).number if trial is None else trial
        formats = [name for name, wanted in (("onnx", onnx), ("pt2", pt2)) if wanted]
        _of_record(record, opened, file).export(number, folder, formats=formats)
        names = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_file()))
        out.print(f"Trial {number} of [bold]{escape(name)}[/bold] is in {escape(str(folder))}: {names}")


@app.command()
def trust(
    name: Name,
    fraction: Annotated[
        float, typer.Option(help="How many real evaluations, as a share of the completed trials; at least 10.")
    ] = 0.05,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page, too.")] = None,
    file: File = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Find out how far an experiment's scores can be believed, by real evaluations of some architectures.

    The experiment says what the real thing is: Experiment(..., reference=...).

    Example: lanista trust digits --fraction 0.1 --html trust.html
    """
    with _opened(storage) as opened:
        report = _of_record(_record(opened, name), opened, file).trust(fraction)
        out.print(str(report), markup=False, highlight=False)
        if html is not None:
            out.print(f"The page: {escape(str(report.write_html(html)))}")


@app.command()
def draw(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE[:OBJECT]", help="Name of the experiment, or the file it is in.", autocompletion=_names
        ),
    ],
    trial: Annotated[
        int | None, typer.Option("--trial", "-t", help="Number of the trial. Default: the best one.", min=0)
    ] = None,
    space: Annotated[
        bool, typer.Option("--space", help="Draw the search space; with --trial, what the trial chose in it.")
    ] = False,
    strengths: Annotated[
        Path | None,
        typer.Option(
            metavar="SVG",
            help="Draw how the strengths of options developed while a one-shot method trained, to this file; - for the "
            "terminal.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", "-o", help="SVG file to write; - for the terminal. Default: NAME.svg.")
    ] = None,
    file: File = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Draw the architecture of a trial, the search space, or a one-shot search, as an SVG picture for any browser.

    Before there is a trial, a file's experiment is drawn with its default architecture.

    Example: lanista draw digits --out best.svg
    """
    if strengths is not None:
        if space or trial is not None or to is not None:
            raise typer.BadParameter("--strengths SVG goes with none of --trial, --space and --out")
        _draw_strengths(name, strengths, storage)
        return
    pictures = importlib.import_module("lanista.draw")
    if Path(name.partition(":")[0]).is_file():
        experiment, _ = _load(name)
        found = None if space and trial is None else _drawn(experiment.storage, experiment.name, trial)
    else:
        with _opened(storage) as opened:
            record = _record(opened, name)
            found = (None if space else _best(opened, record)) if trial is None else _trial(opened, record, trial)
            experiment = None if space else _of_record(record, opened, file)
        decisions = SearchSpace.from_json(record.space)
    if experiment is not None:
        name, decisions = experiment.name, experiment.decisions
    what = "default architecture" if found is None else f"trial {found.number}"
    if space:
        picture = pictures.space(decisions, None if found is None else found.architecture)
        what = "search space" if found is None else f"{what} in the search space"
    else:
        model = experiment.space
        answers = model.decisions.default() if found is None else found.architecture
        # The evaluator's decisions are no part of the model.
        own = {label: value for label, value in answers.items() if label in model.decisions}
        picture = pictures.architecture(model, own)
    _write_picture(picture, to, name, what)


# --- commands that read the storage -----------------------------------------------------------------------


@app.command("list")
def list_(storage: StorageOption = DEFAULT_STORAGE) -> None:
    """List the experiments: how far they are and how good."""
    with _opened(storage) as opened:
        summaries = opened.experiments()
        if not summaries:
            out.print(f"No experiments in {escape(opened.name)} yet. Start one: lanista run FILE")
            return
        table = _table("Experiment", "State", "Trials>", "Failed>", "Best>", "Strategy", "Last event>")
        for summary in summaries:
            record, counts = summary.record, summary.counts
            leader = _top(opened, record, 1)
            failed = counts[State.FAILED]
            table.add_row(
                f"[bold]{escape(record.name)}[/bold]",
                _state(summary),
                f"{sum(counts.values()):,}",
                f"[red]{failed:,}[/red]" if failed else "0",
                _metrics(record, leader[0]) if leader else "-",
                escape(_brief(record.strategy)),
                "-" if summary.updated is None else _ago(summary.updated),
            )
        out.print(table)


@app.command()
def show(
    name: Name,
    trial: Annotated[int | None, typer.Argument(help="Number of a trial, to see it alone.", min=0)] = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Show an experiment, or one of its trials: what was searched, how, and what came of it."""
    with _opened(storage) as opened:
        record = _record(opened, name)
        if trial is None:
            _show_experiment(opened, record)
        else:
            _show_trial(opened, record, _trial(opened, record, trial))


@app.command()
def top(
    name: Name,
    k: Annotated[int, typer.Option("-k", help="How many.", min=1)] = 10,
    metric: Annotated[str | None, typer.Option(help="Rank by this metric. Default: the first objective.")] = None,
    ascending: Annotated[
        bool | None,
        typer.Option("--minimize/--maximize", help="Which end of --metric is best. Default: as the objectives say."),
    ] = None,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """Show the best trials and what their architectures have in common."""
    with _opened(storage) as opened:
        record = _record(opened, name)
        trials = _top(opened, record, k, metric, ascending)
        if not trials:
            out.print(f"No completed trial in {escape(name)} yet.")
            return
        shared = {
            label: value
            for label, value in trials[0].architecture.items()
            if len(trials) > 1
            and all(label in trial.architecture and trial.architecture[label] == value for trial in trials)
        }
        out.print(_trial_table(trials, without=shared))
        if shared:
            out.print(f"[dim]All {len(trials)} have:[/dim] {_architecture(shared)}")


@app.command()
def trials(
    name: Name,
    as_csv: Annotated[bool, typer.Option("--csv", help="As comma-separated values.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, one trial a line.")] = False,
    state: Annotated[State | None, typer.Option(help="Only trials in this state.")] = None,
    last: Annotated[int, typer.Option(help="How many of the last ones a table shows.", min=1)] = 50,
    storage: StorageOption = DEFAULT_STORAGE,
) -> None:
    """List the trials, as a table or for other programs.

    Example: lanista trials digits --csv > trials.csv
    """
    if as_csv and as_json:
        raise typer.BadParameter("give one of --csv and --json")
    with _opened(storage) as opened:
        record = _record(opened, name)
        found = opened.trials(record, state=state, last=None if as_json or as_csv else last)
        counts = opened.counts(record)
    if as_json:
        for trial in found:
            sys.stdout.write(json.dumps(_plain(trial)) + "\n")
    elif as_csv:
        _write_csv(found)
    else:
        there = sum(counts.values()) if state is None else counts[state]
        if there > last:
            out.print(f"The last {last} of {there:,} trials (more: --last N, --csv, --json):")
        out.print(_trial_table(found))


@app.command()
def doctor(storage: StorageOption = DEFAULT_STORAGE) -> None:
    """Check the installation: versions, devices, and whether the storage can be reached."""
    table = _table("What", "Found")
    table.add_row("lanista", lanista.__version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in ("torch", "numpy", "SQLAlchemy", "alembic", "safetensors", "cloudpickle", "rich", "typer"):
        table.add_row(package, _version(package))
    torch = importlib.import_module("torch")
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    table.add_row("GPUs", ", ".join(devices) or "none")
    table.add_row("CPUs", f"{_cpus()} usable")
    problem = None
    try:
        with Storage(storage, create=False) as opened:
            count = len(opened.experiments())
            table.add_row("Storage", f"{escape(opened.name)}: {count} experiments, {escape(opened.engine)}")
    except LanistaError as error:
        missing = "://" not in storage and not Path(storage).exists()
        problem = None if missing else error
        table.add_row(
            "Storage",
            f"{escape(storage)}: " + ("not made yet" if missing else f"[red]{escape(str(error))}[/red]"),
        )
    out.print(table)
    if problem is not None:
        raise typer.Exit(1)


# --- loading ----------------------------------------------------------------------------------------------


def _load(target: str) -> tuple[Any, dict[str, Any] | None]:
    """The Experiment of FILE[:OBJECT], and the limits with which the file itself would run it.

    None for the limits: the file has a loop of its own, with `ask` and `tell`.
    """
    path, _, name = target.partition(":") if not Path(target).exists() else (target, "", "")
    file = Path(path).resolve()
    if not file.is_file():
        raise ExperimentError(f"there is no file {path!r}; give a Python file, or FILE:OBJECT")
    experiments = importlib.import_module("lanista.experiment")
    limits: dict[str, Any] | None = {}
    with experiments.loading():
        try:
            found = _execute(file, "__main__" if not name else f"lanista_file_{file.stem}")
            experiment = _pick(found, name, file, experiments.Experiment)
        except experiments.Loaded as loaded:
            experiment, limits = loaded.experiment, loaded.limits
    experiment.source = f"{file}:{name}" if name else str(file)
    return experiment, limits


def _execute(file: Path, name: str) -> ModuleType:
    """Execute a file as the module `name`."""
    module = ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    sys.argv = [str(file)]  # a script that reads its arguments finds none, rather than ours
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    exec(compile(file.read_text(), str(file), "exec"), vars(module))
    return module


def _pick(module: ModuleType, name: str, file: Path, kind: type[Any]) -> Any:
    there = [key for key, value in vars(module).items() if isinstance(value, kind)]
    if not name:
        if len(there) == 1:
            return getattr(module, there[0])
        raise ExperimentError(
            f"{file} has {len(there)} experiments in variables ({', '.join(there) or 'none'}) and runs none; "
            "say which: FILE:OBJECT"
        )
    found = getattr(module, name, None)
    made = found() if callable(found) and not isinstance(found, kind) else found
    if not isinstance(made, kind):
        raise ExperimentError(
            f"{name!r} in {file} is {made!r}, not an Experiment or a function that returns one; "
            f"its experiments are: {', '.join(there) or 'none'}"
        )
    return made


def _of_record(record: Record, storage: Storage, file: str | None) -> Any:
    """The Experiment that made a record, attached to the storage it was found in."""
    source = file or record.source
    if source is None:
        raise ExperimentError(
            f"experiment {record.name!r} was started from a console or notebook; run it there again, or write it to a "
            "file and give --file FILE:OBJECT"
        )
    experiment, _ = _load(source)
    if experiment.name != record.name:
        raise ExperimentError(
            f"{source} makes the experiment {experiment.name!r}, not {record.name!r}; give --file FILE:OBJECT"
        )
    experiment.attach(storage)
    return experiment


def _run(experiment: Any, limits: dict[str, Any] | None, max_trials: int | None, max_duration: float | None) -> None:
    if limits is None:
        raise ExperimentError(
            f"the file of experiment {experiment.name!r} has a loop of its own, with ask and tell: run it with python"
        )
    given = {"max_trials": max_trials, "max_duration": max_duration}
    asked = {name: value for name, value in given.items() if value is not None}
    try:
        experiment.run(**(asked or limits))
        leaders = _top(experiment.storage, experiment.storage.find(experiment.name), 5)
    finally:
        experiment.storage.close()
    if not leaders:
        raise ExperimentError(
            f"no trial of {experiment.name!r} has completed; see: lanista trials {experiment.name} --state failed"
        )
    out.print(_trial_table(leaders))


# --- reading ----------------------------------------------------------------------------------------------


@contextmanager
def _opened(storage: str) -> Iterator[Storage]:
    with Storage(storage, create=False) as opened:
        yield opened


def _record(storage: Storage, name: str) -> Record:
    record = storage.find(name)
    if record is None:
        names = [summary.record.name for summary in storage.experiments()]
        raise ExperimentError(
            f"there is no experiment {name!r} in {storage.name}; there is {', '.join(names) or 'none yet'}"
        )
    return record


def _trial(storage: Storage, record: Record, number: int) -> Trial:
    trial = storage.trial(record, number)
    if trial is None:
        count = sum(storage.counts(record).values())
        raise ExperimentError(f"there is no trial {number} in {record.name!r}; it has {count}, counted from 0")
    return trial


def _top(
    storage: Storage, record: Record, k: int, metric: str | None = None, ascending: bool | None = None
) -> list[Trial]:
    names = storage.metrics(record)
    if not names:
        return []
    objectives = Objectives(record.objectives)
    directions: dict[str, Direction] = dict(zip(objectives.names(names), record.objectives.values(), strict=True))
    ranked = metric or next(iter(directions))
    if ranked not in names:
        raise MetricError(f"there is no metric {ranked!r} in {record.name!r}; there is {', '.join(names)}")
    if ascending is not None:
        directions[ranked] = "minimize" if ascending else "maximize"
    if ranked not in directions:
        raise MetricError(f"{ranked!r} is not an objective of {record.name!r}: say --minimize or --maximize")
    return storage.top(record, ranked, directions[ranked], k)


def _best(storage: Storage, record: Record) -> Trial:
    leaders = _top(storage, record, 1)
    if not leaders:
        raise ExperimentError(f"no trial of {record.name!r} has completed yet; give --trial NUMBER")
    return leaders[0]


def _drawn(storage: Storage, name: str, number: int | None) -> Trial | None:
    """A trial by its number, or the best one, if there is one yet."""
    record = storage.find(name)
    if number is not None:
        return _trial(storage, _record(storage, name), number)
    leaders = [] if record is None else _top(storage, record, 1)
    return leaders[0] if leaders else None


def _draw_strengths(name: str, to: Path, storage: str) -> None:
    """Draw what the one-shot method of an experiment took note of; `name` may be its file."""
    if Path(name.partition(":")[0]).is_file():
        experiment, _ = _load(name)
        name, folder = experiment.name, experiment.storage.folder(experiment.name)
    else:
        with _opened(storage) as opened:
            folder = opened.folder(_record(opened, name).name)
    file = folder / "supernet" / "history.json"
    if not file.is_file():
        why = (
            "its supernet is not trained yet; run it on, until that has ended"
            if file.parent.is_dir()
            else "it has trained no supernet, which is what the run of an experiment with a one-shot method begins with"
        )
        raise ExperimentError(f"there are no strengths of options of {name!r} to draw: {why}")
    told = json.loads(file.read_text(encoding="utf-8"))
    picture = importlib.import_module("lanista.draw").strengths(told["history"], told["options"])
    _write_picture(picture, to, name, "development of option strengths")


# --- showing ----------------------------------------------------------------------------------------------

PIPED_WIDTH = 200
"""Columns of a table that goes to a file or another program."""

out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True)


def _write_picture(text: str, to: Path | None, name: str, what: str) -> None:
    """Write an SVG picture of an experiment to a file, or to the terminal."""
    if to == Path("-"):
        sys.stdout.write(text)
        return
    target = to or Path(re.sub(r"[^\w.-]+", "_", name) + ".svg")
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExperimentError(f"{target} cannot be written: {error}; give --out FILE") from error
    out.print(f"{what[0].upper()}{what[1:]} of [bold]{escape(name)}[/bold] is in {escape(str(target))}")


def _table(*columns: str) -> Table:
    """A plain table; a column whose name ends in `>` is aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
    return table


def _trial_table(trials: Sequence[Trial], *, without: Mapping[str, Any] = MappingProxyType({})) -> Table:
    """Trials as rows; decisions in `without` are not shown."""
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    plain = all(trial.state is State.COMPLETED for trial in trials)
    table = _table(
        "Trial>",
        *([] if plain else ["State"]),
        *(f"{escape(name)}>" for name in metrics),
        "Time>",
        "Architecture",
    )
    for trial in trials:
        table.add_row(
            str(trial.number),
            *([] if plain else [COLORED[trial.state]]),
            *(f"{trial.metrics[name]:.5g}" if name in trial.metrics else "" for name in metrics),
            "" if trial.duration is None else _span(trial.duration),
            f"[red]{escape(trial.reason)}[/red]"
            if trial.reason
            else _architecture({label: v for label, v in trial.architecture.items() if label not in without}),
        )
    return table


COLORED = {
    State.RUNNING: "[cyan]running[/cyan]",
    State.COMPLETED: "[green]completed[/green]",
    State.PRUNED: "[yellow]pruned[/yellow]",
    State.FAILED: "[red]failed[/red]",
}


def _show_experiment(storage: Storage, record: Record) -> None:
    summary = next(s for s in storage.experiments() if s.record.id == record.id)
    space = SearchSpace.from_json(record.space)
    facts = Table(box=None, show_header=False, pad_edge=False)
    counts = ", ".join(f"{n:,} {state}" for state, n in summary.counts.items() if n)
    leaders = _top(storage, record, 1)
    for what, value in (
        ("Experiment", f"[bold]{escape(record.name)}[/bold] ({_state(summary)})"),
        ("Trials", counts or "none"),
        ("Best", f"{_metrics(record, leaders[0])} in trial {leaders[0].number}" if leaders else "-"),
        ("Objectives", escape(str(Objectives(record.objectives)))),
        ("Strategy", escape(record.strategy)),
        ("Seed", str(record.seed)),
        ("Space", f"{len(space)} decisions, {format_size(space.size)} architectures, {record.fingerprint}"),
        *(("Limit", escape(limit.describe())) for limit in space.limits),
        ("Source", escape(record.source or "a console or notebook")),
        ("Versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
        ("Started", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))),
        ("Files", escape(str(storage.folder(record.name)))),
    ):
        facts.add_row(f"[dim]{what}[/dim]", value)
    out.print(facts)
    table = _table("Decision", "Values", "Exists when")
    for decision in space:
        table.add_row(
            escape(decision.label),
            escape(decision.domain.describe()),
            escape(decision.condition()) or "[dim]always[/dim]",
        )
    out.print(table)


def _show_trial(storage: Storage, record: Record, trial: Trial) -> None:
    facts = Table(box=None, show_header=False, pad_edge=False)
    for what, value in (
        ("Trial", f"[bold]{trial.number}[/bold] of {escape(record.name)} ({COLORED[trial.state]})"),
        ("Metrics", " ".join(f"{escape(name)} {value:.6g}" for name, value in trial.metrics.items()) or "-"),
        ("Time", "-" if trial.duration is None else _span(trial.duration)),
        ("Attempts", str(trial.attempts)),
        ("Seed", str(trial.seed)),
        ("Output", escape(trial.log or "-")),
        ("Weights", escape(trial.weights or "not kept")),
    ):
        facts.add_row(f"[dim]{what}[/dim]", value)
    out.print(facts)
    table = _table("Decision", "Value")
    for label, value in trial.architecture.items():
        table.add_row(escape(label), escape(json.dumps(value)))
    out.print(table)
    curve = storage.reports(record, trial.number)
    if curve:
        names = list(dict.fromkeys(name for _, metrics in curve for name in metrics))
        table = _table("Step>", *(f"{escape(name)}>" for name in names))
        for step, metrics in curve:
            table.add_row(str(step), *(f"{metrics[name]:.6g}" if name in metrics else "" for name in names))
        out.print(table)
    if trial.error:
        out.print(f"[red]{escape(trial.error.rstrip())}[/red]")


def _state(summary: Summary) -> str:
    if summary.running:
        return "[cyan]running[/cyan]"
    return "[yellow]interrupted[/yellow]" if summary.counts[State.RUNNING] else "[green]stopped[/green]"


def _metrics(record: Record, trial: Trial) -> str:
    names = Objectives(record.objectives).names(trial.metrics)
    return " ".join(f"{escape(name)} {trial.metrics[name]:.5g}" for name in names)


def _architecture(architecture: dict[str, Any]) -> str:
    return escape("  ".join(f"{label}={json.dumps(value)}" for label, value in architecture.items())).replace('"', "")


def _brief(strategy: str) -> str:
    """A strategy's name without its settings."""
    return re.sub(r"(, )?\w+=[^,()]+", "", strategy).replace("()", "")


def _span(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _ago(then: float) -> str:
    seconds = max(time.time() - then, 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "metrics": trial.metrics,
        "architecture": trial.architecture,
        "seed": trial.seed,
        "attempts": trial.attempts,
        "started": trial.started,
        "finished": trial.finished,
        "log": trial.log,
        "weights": trial.weights,
        "error": trial.error,
    }


def _write_csv(trials: Sequence[Trial]) -> None:
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    labels = list(dict.fromkeys(label for trial in trials for label in trial.architecture))
    fixed = ("number", "state", "started", "finished", "error")
    writer = csv.writer(sys.stdout)
    writer.writerow([*fixed, *(f"metric:{name}" for name in metrics), *(f"decision:{label}" for label in labels)])
    for trial in trials:
        plain = _plain(trial)
        values = (trial.architecture.get(label, "") for label in labels)
        writer.writerow(
            [
                *(plain[name] for name in fixed),
                *(trial.metrics.get(name, "") for name in metrics),
                *(json.dumps(value) if isinstance(value, list | dict) else value for value in values),
            ]
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "[red]not installed[/red]"


def _cpus() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def main() -> None:
    """Run the command line; the entry point of the `lanista` script."""
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=err, show_path=False, show_time=False)],
    )
    logging.getLogger("lanista").setLevel(logging.INFO)  # not of all: alembic lists its plugins
    try:
        app(prog_name="lanista")
    except LanistaError as error:
        err.print(f"[red]Error:[/red] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        err.print("Interrupted; run or resume it again and it goes on.")
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
