"""Turns objects that hold the user's code into bytes that another process can read."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pickle import PickleError
from types import ModuleType
from typing import Any

import cloudpickle

from lanista.errors import LanistaError


def dumps(thing: object) -> bytes:
    """`thing` as a pickle, by `cloudpickle`: lambdas, closures and what is defined in `__main__` travel by value.

    So does what is defined in a module that another process could not import by name (a file loaded by path, code
    typed into a console); other modules travel by name. `pickle.loads` reads the result.

    Raises:
        LanistaError: something in it cannot be pickled; the message has the reason.
    """
    with _by_value([module for module in list(sys.modules.values()) if not _importable(module)]):
        try:
            file = io.BytesIO()
            _Pickler(file).dump(thing)
            return file.getvalue()
        except (PickleError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise LanistaError(
                f"{thing!r} cannot be sent to another process: {type(error).__name__}: {error}. Create what cannot be "
                "pickled (open files, locks, CUDA tensors, database connections) inside of the function that uses it"
            ) from error


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Sends memoised functions by value where the function itself goes by value; cloudpickle 3 sends them by name."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, functools._lru_cache_wrapper) and not _has_home(obj):
            return _memoised, (obj.__wrapped__, obj.cache_parameters())
        return super().reducer_override(obj)


def _memoised(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    return functools.lru_cache(**parameters)(function)


def _has_home(function: Any) -> bool:
    """Whether another process can import the module of `function`, and finds it there."""
    module = sys.modules.get(function.__module__)
    if module is None or module.__name__ == "__main__" or module.__name__ in cloudpickle.list_registry_pickle_by_value():
        return False
    return getattr(module, function.__qualname__, None) is function


def _importable(module: ModuleType) -> bool:
    """Whether a fresh interpreter with the same `sys.path` finds this module under its name."""
    name, file = getattr(module, "__name__", "__main__"), getattr(module, "__file__", None)
    # Submodules are found if their package is; cloudpickle asks for the package's registration too.
    if file is None or "." in name or name == "__main__" or name in sys.builtin_module_names:
        return True
    spec = PathFinder.find_spec(name)
    return spec is not None and spec.origin == file


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
