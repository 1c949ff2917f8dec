import decimal
import functools
import importlib.util
import pickle
import subprocess
import sys
import threading
import types

import cloudpickle
import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import LanistaError
from lanista.serialize import dumps

READ = "import pickle, sys; print(repr(pickle.loads(sys.stdin.buffer.read())()))"


def read_elsewhere(data, cwd):
    """What the pickled callable returns in a fresh interpreter, which has another working directory."""
    paths = [path for path in sys.path if path and not path.startswith(str(cwd))]
    code = f"import sys; sys.path[:] = {paths!r}; {READ}"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads source as a module from a file that is then gone; its folder was never on `sys.path`."""

    def load(name, source):
        path = tmp_path / "somewhere.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        path.unlink()
        return module

    return load


MODULE = """
from torch import nn
from lanista import ModelSpace, choice
FACTOR = 3
class Net(nn.Linear):
    def __init__(self, width):
        super().__init__(1, FACTOR * choice([1, 2], label="w") * width)
def work(): return space.build({"w": 2}).out_features
space = ModelSpace(Net, 5)
"""


@pytest.mark.parametrize("name", ["loaded_by_path", "absent_package.loaded"])
def test_a_file_loaded_by_path_travels_by_value(name, load, tmp_path):
    module, before = load(name, MODULE), cloudpickle.list_registry_pickle_by_value()
    assert read_elsewhere(dumps(module.work), tmp_path) == "30"
    data = pickle.dumps(module.space)
    assert read_elsewhere(dumps(lambda: pickle.loads(data).decisions.size), tmp_path) == "2"
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_a_module_that_is_shadowed_travels_by_value(load, tmp_path):
    # `import colorsys` elsewhere finds the standard library's: its name would refer to something else.
    module = load("colorsys", "def work(): return 'mine'")
    assert read_elsewhere(dumps(module.work), tmp_path) == "'mine'"


def test_a_module_without_a_file_travels_by_value(monkeypatch, tmp_path):
    module = types.ModuleType("typed_into_a_console")
    exec("def work(): return 'typed'", module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert read_elsewhere(dumps(module.work), tmp_path) == "'typed'"


def test_lambdas_and_closures_travel_by_value(tmp_path):
    factor = 4
    assert read_elsewhere(dumps(lambda: factor * 2), tmp_path) == "8"


IMPORTABLE = [nn.Linear, decimal.Decimal, ModelSpace, torch.relu, dict, threading.Thread]


@pytest.mark.parametrize("thing", IMPORTABLE)
def test_what_is_importable_travels_by_name(thing):
    assert len(dumps(thing)) < 200
    assert pickle.loads(dumps(thing)) is thing


def test_values_come_back():
    things = [decimal.Decimal("1.5"), {"a": (1, None)}, torch.ones(2)]
    number, mapping, tensor = pickle.loads(dumps(things))
    assert (number, mapping, tensor.tolist()) == (decimal.Decimal("1.5"), {"a": (1, None)}, [1, 1])


@pytest.mark.parametrize("thing", [threading.Lock(), (n for n in [1]), [sys.stdout.buffer]])
def test_what_cannot_be_pickled_says_what_to_do(thing):
    with pytest.raises(LanistaError) as caught:
        dumps({"work": thing})
    words = [
        "'work'",
        "cannot be sent to another process: an object of type",
        "cannot be pickled (TypeError: cannot pickle",
        "inside of the function",
    ]
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_space_that_cannot_be_pickled_says_so_from_within():
    lock = threading.Lock()

    def net():
        assert lock
        return nn.ReLU()

    before = cloudpickle.list_registry_pickle_by_value()
    with pytest.raises(LanistaError, match=r"cannot pickle '_thread\.lock' object"):
        dumps([ModelSpace(net)])
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_what_the_user_registered_stays_registered():
    cloudpickle.register_pickle_by_value(decimal)
    try:
        dumps(nn.ReLU)
        assert "decimal" in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(decimal)


CALLS = []


@functools.cache
def remembered(x):
    CALLS.append(x)
    return 2 * x


def test_memoised_functions_of_unimportable_code_travel_and_remember(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import functools, subprocess, sys\n"
        "from lanista.serialize import dumps\n"
        "@functools.lru_cache(maxsize=7)\n"
        "def data():\n    print('loaded'); return 5\n"
        "def work():\n    return data() + data(), data.cache_info().maxsize\n"
        "code = 'import pickle, sys; print(*pickle.load(sys.stdin.buffer)())'\n"
        "subprocess.run([sys.executable, '-c', code], input=dumps(work), check=True)\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["loaded", "10", "7"]


def test_memoised_functions_of_importable_modules_travel_by_name():
    assert pickle.loads(dumps(remembered)) is remembered
