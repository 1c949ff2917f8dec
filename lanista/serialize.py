"""Turns objects that hold the user's code into bytes that another process can read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import PickleError
from reprlib import repr as short
from types import ModuleType

import cloudpickle

from lanista.errors import LanistaError


def dumps(thing: object) -> bytes:
    """`thing` as a pickle, by `cloudpickle`: lambdas, closures and what `__main__` defines travel by value.

    So does what is defined in a module that another process could not import by name (a file loaded by path,
    a module made in a console); other modules travel by name. `pickle.loads` reads the result.

    Raises:
        LanistaError: something in it cannot be pickled; the message has the reason.
    """
    with _by_value(_unimportable()):
        try:
            return bytes(cloudpickle.dumps(thing))
        except (PickleError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise LanistaError(
                f"{short(thing)} cannot be sent to another process: {type(error).__name__}: {error}. "
                "Create what cannot be pickled (open files, locks, CUDA tensors, database connections) "
                "inside of the function that uses it"
            ) from error


def _unimportable() -> list[ModuleType]:
    """Loaded modules that a fresh interpreter with the same `sys.path` would not find under their names."""
    return [
        module
        for name, module in list(sys.modules.items())
        # Some C modules lie about their name (`_decimal`), and some entries are no modules.
        if isinstance(module, ModuleType) and module.__name__ == name != "__main__"
        # Submodules are found if their package is; cloudpickle asks for the package's registration too.
        if "." not in name or name.partition(".")[0] not in sys.modules
        if not _found(name, getattr(module, "__file__", None))
    ]


def _found(name: str, file: str | None) -> bool:
    """Whether `import name` would load this file (or what has no file: a builtin, a namespace package)."""
    # The usual finder is the last; hooks of editable installations and the like come before it.
    specs = (finder.find_spec(name, None) for finder in reversed(sys.meta_path))
    return any(spec is not None and (file is None or spec.origin == file) for spec in specs)


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    earlier = cloudpickle.list_registry_pickle_by_value()
    registered = [module for module in modules if module.__name__ not in earlier]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
