"""Packages whose names are loaded when they are first used, so that importing one loads no slow library.

A stub file beside the package's `__init__.py` lists the same names for type checkers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module


def exports(
    package: str, homes: Mapping[str, str], packages: Collection[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package.

    Args:
        package: its name, `__name__`.
        homes: name -> the module that has it.
        packages: subpackages that are attributes, too.
    """

    def load(name: str) -> object:
        if name in homes:
            value = getattr(import_module(homes[name]), name)
        elif name in packages:
            value = import_module(f"{package}.{name}")
        else:
            known = ", ".join([*homes, *packages])
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {known}")
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *packages})

    return load, listed
