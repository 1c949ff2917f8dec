"""Turns objects that hold the user's code into bytes that another process can read."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pickle import PickleError
from reprlib import repr as short
from types import ModuleType
from typing import Any

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
            return _pickled(thing, _Pickler)
        except UNPICKLABLE as error:
            raise LanistaError(
                f"{short(thing)} cannot be sent to another process: {_culprit(thing)} cannot be pickled "
                f"({type(error).__name__}: {error}). Make such things (open files, locks, CUDA tensors, database "
                "connections) inside of the function that uses them, or leave them out in `__getstate__`"
            ) from error


UNPICKLABLE = (PickleError, AttributeError, OSError, RuntimeError, TypeError, ValueError)
"""What `__reduce__` and `__getstate__` of foreign objects raise in practice."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Sends memoised functions by value where the function itself goes by value; cloudpickle 3 sends them by name."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, functools._lru_cache_wrapper) and not _has_home(obj):
            return _memoised, (obj.__wrapped__, obj.cache_parameters())
        return super().reducer_override(obj)


class _Tracer(_Pickler):
    """Remembers the last two objects that pickling came to: where it fails, the culprit and often its name."""

    last: tuple[object, object] = (None, None)

    def persistent_id(self, item: object) -> None:
        self.last = (self.last[1], item)


def _pickled(thing: object, kind: type[_Pickler]) -> bytes:
    file = io.BytesIO()
    kind(file).dump(thing)
    return file.getvalue()


def _culprit(thing: object) -> str:
    """What in `thing` cannot be pickled, in words."""
    tracer = _Tracer(io.BytesIO())
    with suppress(*UNPICKLABLE):
        tracer.dump(thing)
    name, culprit = tracer.last
    return f"an object of type {type(culprit).__qualname__}" + (f", held as {name!r}," if isinstance(name, str) else "")


def _memoised(function: Callable[..., Any], parameters: dict[str, Any]) -> Callable[..., Any]:
    memoise: Callable[..., Callable[..., Any]] = functools.lru_cache(**parameters)
    return memoise(function)


def _has_home(function: Any) -> bool:
    """Whether another process can import the module of `function`, and finds it there."""
    home = function.__module__
    if home == "__main__" or home in cloudpickle.list_registry_pickle_by_value():
        return False
    return getattr(sys.modules.get(home), function.__qualname__, None) is function


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
