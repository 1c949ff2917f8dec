"""Literals: values and functions of a traced graph, written as Python source."""

from __future__ import annotations

import ast
import builtins
import json
import math
import operator
import textwrap
from collections.abc import Callable, Hashable

import torch
from torch import fx
from torch.nn import functional

from lanista.errors import ExportError

WIDTH = 100
"""Columns that generated lines keep to, where an expression can be broken."""

_SHORT = 8
"""Items of up to so many columns share lines."""

_NAMESPACES = (
    ("F.", functional),
    ("torch.", torch),
    ("torch.linalg.", torch.linalg),
    ("torch.special.", torch.special),
    ("torch.fft.", torch.fft),
    ("torch.Tensor.", torch.Tensor),
    ("math.", math),
    ("operator.", operator),
    ("", builtins),
)

# By equality, not identity: the tracer meets torch's C functions as fresh bound methods.
_FUNCTIONS: dict[Hashable, str] = {}
for _prefix, _namespace in _NAMESPACES:
    for _name, _value in vars(_namespace).items():
        if callable(_value) and not _name.startswith("__") and isinstance(_value, Hashable):
            _FUNCTIONS.setdefault(_value, _prefix + _name)


class Code(str):
    """Source text of an expression, taken as it stands."""

    __slots__ = ()


def function(value: Callable[..., object]) -> str:
    """Name a function of torch, math, operator or builtins, as in `F.relu`.

    Raises:
        ExportError: it comes from elsewhere; the message starts with its qualified name.
    """
    if isinstance(value, torch._ops.OpOverload):
        return f"torch.ops.{value}"
    name = _FUNCTIONS.get(value) if isinstance(value, Hashable) else None
    if name is None:
        qualified = f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', repr(value))}"
        raise ExportError(f"{qualified} is not a function of torch, math, operator or builtins")
    return name


def literal(value: object, name: Callable[[fx.Node], str] | None = None) -> str:
    """Write a constant, or a structure of constants and graph nodes, as an expression.

    Args:
        value: numbers, strings, None, dtypes, devices, functions, `Code`, and tuples, lists,
            dicts and slices of those.
        name: gives the expression of a node; None where no nodes may occur.

    Raises:
        ExportError: a value has no source form; the message starts with its type.
    """

    def write(part: object) -> str:
        return literal(part, name)

    if isinstance(value, Code):
        return str(value)
    if isinstance(value, fx.Node) and name is not None:
        return name(value)
    if value is None or value is ... or type(value) in (bool, int, complex):
        return "..." if value is ... else repr(value)
    if type(value) is str:
        return json.dumps(value, ensure_ascii=False)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return str(value)
    if isinstance(value, slice):
        return f"slice({write(value.start)}, {write(value.stop)}, {write(value.step)})"
    if isinstance(value, range):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(write, value))}]"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"({', '.join(map(write, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{write(key)}: {write(item)}' for key, item in value.items())}}}"
    if callable(value):
        return function(value)
    raise ExportError(f"a value of type {type(value).__qualname__} ({value!r:.60}) has no plain source form")


def layout(prefix: str, expression: str, indent: int) -> list[str]:
    """Break `prefix + expression` into lines at its arguments, where it is too long; indented by `indent`."""
    tree = ast.parse(expression, mode="eval").body
    text = _broken(tree, expression.encode(), indent, len(prefix))
    return (" " * indent + prefix + text).split("\n")


def _broken(tree: ast.expr, source: bytes, indent: int, before: int) -> str:
    """Write an expression that starts `before` columns after `indent`, over several lines if need be."""

    def segment(part: ast.expr | None) -> str:
        # ast.get_source_segment splits the source at each call; this is one line, in UTF-8 columns.
        return source[part.col_offset : part.end_col_offset].decode() if part else ""

    text = segment(tree)
    if indent + before + len(text) <= WIDTH:
        return text
    parts: list[tuple[str, ast.expr]]
    match tree:
        case ast.Call(func=ast.Attribute(value=ast.Call() as receiver)) if (
            len(segment(receiver)) > WIDTH // 2
        ):
            return _broken(receiver, source, indent, before) + text[len(segment(receiver)) :]
        case ast.Call(func=func, args=args, keywords=keywords) if args or keywords:
            head, tail = segment(func) + "(", ")"
            parts = [("", argument) for argument in args]
            parts += [(f"{keyword.arg}=" if keyword.arg else "**", keyword.value) for keyword in keywords]
        case ast.List(elts=elements) if elements:
            head, parts, tail = "[", [("", element) for element in elements], "]"
        case ast.Tuple(elts=elements) if elements:
            head, parts, tail = "(", [("", element) for element in elements], ")"
        case ast.Dict(keys=keys, values=values) if values:
            labels = [f"{segment(key)}: " for key in keys]
            head, parts, tail = "{", list(zip(labels, values, strict=True)), "}"
        case _:
            return text
    label, first = parts[0]
    if len(parts) == 1 and isinstance(tree, ast.Call) and isinstance(first, ast.List | ast.Dict):
        # A lone list or dictionary hugs its brackets.
        return head + label + _broken(first, source, indent, before + len(head + label)) + tail
    items = [label + _broken(part, source, indent + 4, len(label) + 1) for label, part in parts]
    pad = " " * (indent + 4)
    if len(items) > 1 and all(len(item) <= _SHORT for item in items):
        filled = textwrap.fill(", ".join(items), WIDTH - len(pad) - 1, break_on_hyphens=False)
        return f"{head}\n{textwrap.indent(filled, pad)},\n{' ' * indent}{tail}"
    return head + "\n" + "".join(f"{pad}{item},\n" for item in items) + " " * indent + tail
