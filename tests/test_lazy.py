"""Names are loaded when they are first used, and are the ones that the stub files list."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import lanista

ROOT = Path(lanista.__file__).parent
STUBS = sorted(path.parent.relative_to(ROOT.parent) for path in ROOT.rglob("__init__.pyi"))


@pytest.mark.parametrize("folder", STUBS, ids=str)
def test_a_stub_lists_what_the_package_has(folder):
    package = import_module(".".join(folder.parts))
    tree = ast.parse((ROOT.parent / folder / "__init__.pyi").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    listed = {alias.asname: (node.module, alias.name) for node in imports for alias in node.names}
    assert set(package.__all__) <= listed.keys()
    for name, (module, original) in listed.items():
        value = getattr(package, name)
        assert name in dir(package)
        if name in package.__all__:
            assert value is getattr(import_module(module), original)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"module 'lanista.strategy' has no attribute 'Randm'; it has .*Random"):
        lanista.strategy.Randm  # noqa: B018


def test_nothing_is_loaded_before_it_is_used():
    code = "import sys, lanista.strategy; print('lanista.strategy.random' in sys.modules); lanista.strategy.Random; "
    code += "print('lanista.strategy.random' in sys.modules, 'Random' in vars(lanista.strategy))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout.split() == ["False", "True", "True"]
