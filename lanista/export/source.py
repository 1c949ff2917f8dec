"""The source of an exported model: the text of its model.py."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from lanista.errors import ExportError
from lanista.export.constructor import chain, layer
from lanista.export.forward import signature, statements
from lanista.export.structure import BLOCK, Structure
from lanista.export.trace import trace

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

_LOAD = '''
def load(folder=Path(__file__).parent, device="cpu"):
    """Build the model in evaluation mode, with the trained or initial weights in `folder`."""
    model = Model()
    trained = Path(folder, "weights.safetensors")
    load_model(model, trained if trained.exists() else Path(folder, "initial.safetensors"))
'''
_LOAD_CONSTANTS = """    for name, value in load_file(Path(folder, "constants.safetensors")).items():
        model.get_buffer(name).copy_(value)
"""
_MAIN = """    return model.eval().to(device)


if __name__ == "__main__":
    model = load()
    print(model)
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
"""


@dataclass(frozen=True)
class Source:
    """A model as text.

    Attributes:
        text: the content of model.py.
        weights: the tensors that its state dict names, as they are in the model: path -> value.
        constants: the other tensors that it needs: path -> value.
        ties: paths of tensors that are another path's tensor -> that path.
        unused: outermost paths of what the model holds and no output depends on; not in `text`.
        fixed: arguments of forward that are left out, at their defaults: name -> default.
    """

    text: str
    weights: dict[str, Tensor]
    constants: dict[str, Tensor]
    ties: dict[str, str]
    unused: list[str]
    fixed: dict[str, object]


def source(model: nn.Module, example: tuple[object, ...] | None = None, *, origin: str = "lanista") -> Source:
    """Write `model` as plain PyTorch code. The model is left as it was.

    Args:
        model: layers of torch.nn, and modules around them whose forward torch.fx can trace.
        example: positional inputs, which help to trace lists and arguments with defaults.
        origin: what made the file, for its first line.

    Raises:
        ExportError: a part of the model has no plain source form; the message names module and reason.
    """
    _check(model)
    whole = layer(model) is not None or chain(model)
    traced = None if whole else trace(model, example)
    structure = Structure(model, traced)
    methods = structure.train_lines()
    if traced is not None:
        head = f"({signature(traced.inputs)}):"
        if traced.training is None:
            methods += [
                *_gap(methods),
                f"    def forward{head}",
                *statements(traced.evaluation, structure),
            ]
        else:
            passed = ", ".join(
                f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else p.name for p in traced.inputs
            )
            methods += [*_gap(methods), f"    def forward{head}"]
            methods += ["        run = self._train_forward if self.training else self._eval_forward"]
            methods += [f"        return run({passed})", "", f"    def _train_forward{head}"]
            methods += statements(traced.training, structure)
            methods += ["", f"    def _eval_forward{head}", *statements(traced.evaluation, structure)]
    body = [f"class Model({structure.base}):", "    def __init__(self):", *structure.lines]
    body += [*_gap(methods), *methods]
    code = "\n".join(body) + "\n"
    fixed = dict(traced.fixed) if traced else {}
    return Source(
        text=_assemble(model, code, origin, fixed, bool(structure.constants)),
        weights=structure.weights,
        constants=structure.constants,
        ties=structure.ties,
        unused=structure.unused,
        fixed=fixed,
    )


def _gap(lines: list[str]) -> list[str]:
    return [""] if lines else []


def _assemble(model: nn.Module, code: str, origin: str, fixed: dict[str, object], constants: bool) -> str:
    title = type(model).__name__.removesuffix("Impl")
    head = f'"""{title} as plain PyTorch, written by {origin}.\n\nNeeds torch>=2.5 and safetensors:\n\n'
    head += "    from model import load\n    model = load()\n"
    if fixed:
        values = ", ".join(f"{name}={value!r}" for name, value in fixed.items())
        head += "\nBuilt into forward: " + values.replace("\\", "\\\\").replace('"', "'") + ".\n"
    if "Block(" in code:
        code = f"{BLOCK}\n\n{code}"
    standard = [f"import {name}" for name in ("math", "operator") if re.search(rf"\b{name}\.", code)]
    standard += ["from collections import OrderedDict"] if "OrderedDict(" in code else []
    standard += ["from pathlib import Path"]
    torch_lines = ["import torch"] if re.search(r"\btorch\.", code) else []
    functional = ["from torch.nn import functional as F"] if re.search(r"\bF\.", code) else []
    loads = "load_file, load_model" if constants else "load_model"
    imports = [f"from safetensors.torch import {loads}", "from torch import nn", *functional]
    parts = ["\n".join(standard), "\n".join([*torch_lines, *imports])]
    load = _LOAD + (_LOAD_CONSTANTS if constants else "") + _MAIN
    return head + '"""\n\n' + "\n\n".join(parts) + "\n\n\n" + code + "\n" + load


def _check(model: nn.Module) -> None:
    """Refuse what changes a module from outside, which no constructor and no graph would show."""
    if isinstance(model, _WRAPPERS):
        raise ExportError(
            f"the model is wrapped in {type(model).__name__}; give the model inside, `model.module`"
        )
    if hasattr(model, "_orig_mod"):  # without importing torch._dynamo, which takes a second
        raise ExportError("the model is compiled; give the original, `model._orig_mod`")
    if isinstance(model, torch.jit.ScriptModule):
        raise ExportError("the model is a TorchScript module; give the nn.Module that it was made of")
    for path, module in model.named_modules():
        who = f"module {path or '(the model)'!r} ({type(module).__qualname__})"
        if parametrize.is_parametrized(module):
            names = list(module.parametrizations)
            raise ExportError(
                f"{who} has parametrizations of {names}; make them permanent first: "
                f"torch.nn.utils.parametrize.remove_parametrizations(module, {names[0]!r})"
            )
        if isinstance(module, LazyModuleMixin):  # its hooks go once it knows its shape
            continue
        for kind in _HOOKS:
            hooks = [*getattr(module, kind).values()]
            if hooks:
                name = getattr(hooks[0], "__qualname__", type(hooks[0]).__qualname__)
                raise ExportError(
                    f"{who} has a hook ({name}), which plain code would not have; remove it "
                    "(`handle.remove()`, or "
                    "torch.nn.utils.remove_weight_norm and its like), or write what it does into forward"
                )
