"""TransNAS-Bench-101: the same networks, trained on seven tasks of computer vision.

Duan, Chen, Xu, Chen, Liang, Zhang and Li, "TransNAS-Bench-101: Improving Transferability and Generalizability of
Cross-Task Neural Architecture Search", https://arxiv.org/abs/2105.11871.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from torch import nn

from lanista.benchmark import file
from lanista.benchmark.nasbench import Folder
from lanista.benchmark.table import Table
from lanista.errors import BenchmarkError
from lanista.model import ModelSpace
from lanista.nn import Repeat
from lanista.space.context import choice
from lanista.space.domain import Architecture
from lanista.space.limit import Limit, Sum, Term

EDGES = ("0_1", "0_2", "1_2", "0_3", "1_3", "2_3")
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
"""Of the micro space, in the order of the benchmark's digits 0 to 3."""

MODULES = ("keep", "widen", "reduce", "widen_reduce")
"""Of the macro space, in the order of the digits 1 to 4: what a module does to channels and resolution."""

TASKS = ("class_object", "class_scene", "jigsaw", "autoencoder", "normal", "room_layout", "segmentsemantic")


def transnasbench101(space: str = "micro", folder: Folder = None) -> Table:
    """TransNAS-Bench-101 (https://arxiv.org/abs/2105.11871): a cell, or a skeleton, for seven tasks.

    The micro space asks for one of four operations on six edges of a cell, `cell/0_1` to `cell/2_3`: 4,096 networks.
    The macro space asks for 4 to 6 `modules` and what each, `module0` to `module5`, does: "keep", "widen"
    (channels double), "reduce" (resolution halves) or "widen_reduce"; 1 to 4 reduce and 1 to 3 widen: 3,256 networks.

    Metrics: the validation metric of each task by the task's name, greater is better: `class_object`, `class_scene`,
    `jigsaw` (top-1 accuracy in percent), `autoencoder`, `normal` (structural similarity), `room_layout` (negative
    loss), `segmentsemantic` (accuracy in percent); and zero-cost scores as `{task}_{score}`, where they are known for
    all networks. Test metrics and seconds of training are not in the files.

    Args:
        space: "micro" or "macro".
        folder: has `transnasbench101_micro.parquet` and `transnasbench101_macro.parquet`; default: the environment
            variable LANISTA_BENCHMARKS.

    Raises:
        BenchmarkError: there is no such space, the file is not there, or it cannot be read.
    """
    if space not in ("micro", "macro"):
        raise BenchmarkError(f"space is {space!r}; TransNAS-Bench-101 has 'micro' and 'macro'")
    raw = file.parquet(f"transnasbench101_{space}.parquet", folder)
    columns = {task: raw[f"{task}_val"] for task in TASKS}
    columns |= {name: values for name, values in raw.items() if _is_score(name) and None not in values}
    models, read = (ModelSpace(_Micro), _micro) if space == "micro" else (_macro_models(), _macro)
    return Table(
        f"TransNAS-Bench-101 {space}",
        models,
        map(read, raw["arch_str"]),
        columns,
        missing="the file has validation metrics, and no test metrics or seconds",
    )


def _is_score(name: str) -> bool:
    return name != "arch_str" and not name.endswith("_val")


def _micro(text: str) -> Architecture:
    """From `64-41414-a_bc_def`, a digit for each edge."""
    digits = text.rpartition("-")[2].replace("_", "")
    return {f"cell/{edge}": OPERATIONS[int(digit)] for edge, digit in zip(EDGES, digits, strict=True)}


def _macro(text: str) -> Architecture:
    """From `64-342323-basic`, a digit for each module."""
    digits = text.split("-")[1]
    return {"modules": len(digits)} | {f"module{i}": MODULES[int(digit) - 1] for i, digit in enumerate(digits)}


class _Micro(nn.Identity):
    """Asks what the micro space asks: a table needs no more of a model."""

    def __init__(self) -> None:
        super().__init__()
        for edge in EDGES:
            choice(OPERATIONS, label=f"cell/{edge}")


class _Module(nn.Identity):
    """Asks what one module of the macro space does."""

    def __init__(self, index: int) -> None:
        super().__init__()
        choice(MODULES, label=f"module{index}")


def _macro_models() -> ModelSpace:
    models = ModelSpace(partial(Repeat, _Module, (4, 6), label="modules"))
    reduced = Sum("reductions", _counted("reduce"))
    widened = Sum("widenings", _counted("widen"))
    return models.constrain(Limit(reduced, least=1, most=4), Limit(widened, least=1, most=3))


def _counted(word: str) -> Iterator[Term]:
    """How many modules do what this word says."""
    for i in range(6):
        label = f"module{i}"
        table: list[tuple[Mapping[str, str], float]] = [({label: what}, float(word in what)) for what in MODULES]
        yield Term([label], [*table, ({}, 0.0)])
