"""The export folder: a model as source code, weights and records, which runs without lanista."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from platform import python_version
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from lanista import __version__
from lanista.errors import ExportError
from lanista.export.compare import agree, outputs_distance
from lanista.export.onnx import write_onnx
from lanista.export.pt2 import write_pt2
from lanista.export.source import Source, source
from lanista.export.trace import FAULTS, untouched

FORMAT = 1
"""Version of the folder's layout, in `card.json`."""

TRAINED, INITIAL, CONSTANTS = "weights.safetensors", "initial.safetensors", "constants.safetensors"
FORMATS = {"onnx": write_onnx, "pt2": write_pt2}
"""Further forms of the model that a folder can hold, as `model.<name>`."""

_FILES = {
    "model.py", TRAINED, INITIAL, CONSTANTS, "architecture.json", "card.json", "__pycache__",
    *(f"model.{name}" for name in FORMATS),
}  # fmt: skip
_TOLERANCE = 1e-6


def write_folder(
    model: nn.Module,
    folder: Path,
    *,
    card: Mapping[str, object],
    architecture: Mapping[str, object],
    weights: Mapping[str, Tensor] | None = None,
    example_input: Tensor | tuple[object, ...] | None = None,
    formats: Collection[str] = (),
) -> None:
    """Write `model` as a folder of plain PyTorch that runs without lanista; the model is left as it was.

    The folder holds `model.py` (a class `Model`, and `load()`), `weights.safetensors` with the trained
    weights or `initial.safetensors` with those that the model has now, `constants.safetensors` where the code
    needs tensors that are in no state dict, `architecture.json` and `card.json`. It appears as a whole or not
    at all, and replaces an earlier export. Before it appears, its code is run, and its tensors are compared
    with the model's.

    Args:
        model: layers of torch.nn, in modules whose forward torch.fx can trace, on any device.
        folder: where to write; parents are made.
        card: JSON content of `card.json`; the key "export" is added, with versions, the name of the weights
            file, what was left out as unused, and the arguments of forward that are fixed at their defaults.
        architecture: JSON content of `architecture.json`.
        weights: a trained state dict of `model`. Entries of unused parts are left out; of tied tensors, one
            name is enough.
        example_input: an input of the model, or a tuple of its positional inputs. With it, the outputs of the
            folder and of the model in evaluation mode are compared, and must agree to 1e-6 of the largest
            output. They agree to the bit, but where torch computes otherwise for another memory layout of the
            same weights.
        formats: names of further files to write, by `write_onnx` and `write_pt2`: "onnx", "pt2". They need an
            example input.

    Raises:
        ExportError: the model has a part that plain code cannot express (the message names module and
            reason), weights do not fit, card or architecture are not JSON, the folder holds other things or
            cannot be written, or the outputs differ. The folder is then as it was before.
    """
    target = _checked_target(Path(folder))
    if "export" in card:
        raise ExportError("the card has a key 'export', which write_folder fills; give it another name")
    _json(dict(card), "the card")
    _check_formats(formats, example_input)
    records = {"architecture.json": _json(dict(architecture), "the architecture")}
    example = example_input if isinstance(example_input, tuple) or example_input is None else (example_input,)
    code = source(model, example, origin=f"lanista {__version__}")
    state = _state(model, code, weights)
    record: dict[str, object] = {
        "format": FORMAT,
        "weights": INITIAL if weights is None else TRAINED,
        "trained": weights is not None,
        "rebuild": "in this folder, with torch and safetensors: from model import load; model = load()",
        "lanista": __version__,
        "torch": torch.__version__,
        "python": python_version(),
        "unused": code.unused,
        "fixed_inputs": {name: repr(value) for name, value in code.fixed.items()},
    }
    partial = target.with_name(f".{target.name}.{uuid4().hex}.partial")
    try:
        partial.mkdir(parents=True)
        (partial / "model.py").write_text(code.text, encoding="utf-8")
        save_file(_single(code, state), partial / str(record["weights"]))
        if code.constants:
            save_file({path: _plain(value) for path, value in code.constants.items()}, partial / CONSTANTS)
        rebuilt = _load(partial)
        _compare_state(rebuilt, code, state)
        if example is not None:
            record["largest_output_difference"] = _compare_outputs(model, rebuilt, example, state)
            record |= {
                f"largest_{name}_difference": FORMATS[name](rebuilt, partial / f"model.{name}", example)
                for name in formats
            }
        records["card.json"] = _json({**card, "export": record}, "the card")
        for name, text in records.items():
            (partial / name).write_text(text, encoding="utf-8")
        for file in partial.iterdir():
            file.chmod((partial / "model.py").stat().st_mode)  # safetensors makes files that others cannot read
        _put(partial, target)
    except (OSError, SafetensorError) as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _checked_target(folder: Path) -> Path:
    target = folder.resolve()
    if target.exists() and not target.is_dir():
        raise ExportError(f"{target} is a file; give the path of a folder")
    present = {item.name for item in target.iterdir()} if target.exists() else set()
    strange = sorted(present - _FILES)
    if strange:
        raise ExportError(f"{target} holds {strange[:3]}, which no export writes; give a new or empty folder")
    return target


def _check_formats(formats: Collection[str], example: object) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ExportError(f"there is no format {unknown[0]!r}; there is {', '.join(map(repr, FORMATS))}")
    if formats and example is None:
        raise ExportError(
            f"the format {next(iter(formats))!r} needs an example input: ModelSpace(..., example_input=tensor)"
        )


def _put(partial: Path, target: Path) -> None:
    """Move the finished folder into place, over an earlier one."""
    if not target.exists():
        partial.rename(target)
        return
    old = partial.with_suffix(".old")
    target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _json(value: dict[str, object], what: str) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ExportError(f"{what} is not JSON: {error}; use strings, finite numbers, lists and mappings") from error


def _state(model: nn.Module, code: Source, weights: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Give the value of each tensor in the exported state dict, checked against the model's shapes."""
    if weights is None:
        given: Mapping[str, Tensor] = code.weights
    else:
        known = model.state_dict(keep_vars=True)
        strange = [name for name in weights if name not in known]
        if strange:
            raise ExportError(
                f"weights have {strange[:3]}, which the model has not; give the state dict of this very model"
            )
        given = weights
    state: dict[str, Tensor] = {}
    for path, own in code.weights.items():
        names = [name for name, other in code.weights.items() if other is own and name in given]
        if not names:
            raise ExportError(f"weights lack {path!r} {tuple(own.shape)}; give the model's whole state dict")
        value = given[path if path in names else names[0]]
        if value.shape != own.shape:
            shapes = f"of shape {tuple(value.shape)}; the model has {tuple(own.shape)}"
            raise ExportError(f"weights have {path!r} {shapes}; give the state dict of this very model")
        if value.is_meta:
            raise ExportError(f"{path!r} is on the meta device and has no values; give weights, or a real model")
        if not agree(value, given[names[0]]):
            raise ExportError(f"weights differ for {path!r} and {names[0]!r}, which are one tensor in the model")
        state[path] = value.detach().to(own.dtype)
    return state


def _single(code: Source, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give each tensor once, under its first name, as safetensors wants it."""
    first: dict[int, str] = {}
    for path, own in code.weights.items():
        first.setdefault(id(own), path)
    return {path: _plain(state[path]) for path in first.values()}


def _plain(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True).contiguous()


def _load(folder: Path) -> nn.Module:
    file = folder / "model.py"
    names = {"__name__": "model", "__file__": str(file)}
    try:
        # Not by import, which would leave compiled files and an entry in sys.modules.
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
        rebuilt = names["load"]()  # type: ignore[operator]
    except (*FAULTS, SyntaxError) as error:
        raise ExportError(
            f"the written code does not run ({type(error).__name__}: {error}); this is a fault of lanista, "
            "please report it with the model"
        ) from error
    if not isinstance(rebuilt, nn.Module):
        raise ExportError(f"the written code builds a {type(rebuilt).__name__}")
    return rebuilt


def _compare_state(rebuilt: nn.Module, code: Source, state: dict[str, Tensor]) -> None:
    """Check names, values, dtypes, freezing and ties of the tensors in the loaded model."""
    ours = rebuilt.state_dict(keep_vars=True)
    wrong = sorted(ours.keys() ^ state.keys())
    for path in ours.keys() & state.keys():
        one, other, own = ours[path], state[path], code.weights[path]
        same = one.dtype == other.dtype and agree(one, other)
        tied = all((code.weights[name] is own) == (value is one) for name, value in ours.items() if name in state)
        if not (same and tied and one.requires_grad == own.requires_grad):
            wrong.append(path)
    buffers = dict(rebuilt.named_buffers(remove_duplicate=False))
    wrong += [path for path, value in code.constants.items() if not agree(buffers[path], value)]
    if wrong:
        raise ExportError(
            f"the written code does not give back {wrong[:3]} as the model has it; this is a fault of "
            "lanista, please report it with the model"
        )


def _compare_outputs(
    model: nn.Module, rebuilt: nn.Module, example: tuple[object, ...], state: dict[str, Tensor]
) -> float:
    """Give the largest difference of the outputs, relative to the largest output where that exceeds 1."""
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    devices = {value.device for value in own.values()}
    rebuilt = rebuilt.to(devices.pop()) if len(devices) == 1 else rebuilt
    values = {name: state.get(name, value).detach().to(value.device, copy=True) for name, value in own.items()}
    with torch.random.fork_rng(), untouched(model), torch.no_grad():
        try:
            torch.manual_seed(0)
            model.eval()
            expected = functional_call(model, values, copy.deepcopy(example))
        except FAULTS as error:
            raise ExportError(f"the model fails on example_input: {type(error).__name__}: {error}") from error
        try:
            torch.manual_seed(0)
            actual = rebuilt(*copy.deepcopy(example))
        except FAULTS as error:
            raise ExportError(
                f"the written code fails on the example_input: {type(error).__name__}: {error}. "
                "Perhaps forward takes another path for other inputs"
            ) from error
    difference = outputs_distance(actual, expected, "the written code")
    if not difference <= _TOLERANCE:
        raise ExportError(
            f"the outputs of the written code differ from the model's by {difference:.3g}, more than "
            f"{_TOLERANCE}; perhaps forward reads what a graph does not see (a global, a counter)"
        )
    return difference
