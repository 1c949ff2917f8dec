"""The rules of `docs/design.md` about modules and imports, read from the source."""

import ast
import builtins
import os
import re
import subprocess
import sys
import tokenize
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lanista

ROOT = Path(lanista.__file__).parent
TESTS = Path(__file__).parent


def table():
    """What each part of the package (a module or package directly under lanista) may import beside itself."""
    rows = re.findall(
        r"^\| (L\d) \| (\w+) \| ([\w, ]*)\|$", (TESTS.parent / "docs/design.md").read_text(), re.MULTILINE
    )
    assert rows
    layers = {}
    for layer, name, _ in rows:
        layers.setdefault(layer, set()).add(name)
    return {
        name: set().union(*(layers.get(word, {word}) for word in re.findall(r"\w+", allowed)))
        for _, name, allowed in rows
    }


TABLE = table()

# The only imports inside functions: the command line starts fast, and so does a storage without a migration.
LAZY = {("cli", None), ("storage", "lanista.storage.migration")}
BROAD = {"executor.base", "executor.worker"}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
}
SOURCES = [pytest.param(name, tree, id=name) for name, tree in MODULES.items()]
each_module = pytest.mark.parametrize(("name", "tree"), SOURCES)


def imports(tree):
    """(imported module, names, node) for each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, [], node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield node.module, [alias.name for alias in node.names], node


def own_imports(tree):
    """The modules of ours that are imported, as keys of MODULES or parts of TABLE, with their nodes."""
    for module, names, node in imports(tree):
        top, _, rest = module.partition(".")
        if top != "lanista":
            continue
        for name in names or [""]:
            inner = f"{rest}.{name}".strip(".")
            if inner in MODULES or f"{inner}.__init__" in MODULES:
                yield inner, node
            elif rest:
                yield rest, node
            elif name not in ("", "__version__"):
                yield re_exported(name), node


def re_exported(name):
    """The module that a name of `lanista` itself comes from."""
    value = getattr(lanista, name)
    home = getattr(value, "__module__", "lanista.errors")
    return home.removeprefix("lanista").strip(".") or "errors"


def inside_functions(tree):
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from (node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))


def part(name):
    return name.partition(".")[0]


def test_the_source_is_found():
    assert {"space.search", "nn.__init__", "model", "errors"} <= MODULES.keys()
    assert any(inner == "space.context" for inner, _ in own_imports(MODULES["model"]))


@each_module
def test_imports_point_down(name, tree):
    if name == "__init__":
        return
    assert part(name) in TABLE, f"{part(name)} is not in the table: put it into its layer"
    wrong = {inner for inner, _ in own_imports(tree) if part(inner) not in {part(name), *TABLE[part(name)]}}
    assert not wrong, f"{name} may import {sorted(TABLE[part(name)])}"


def test_the_table_itself_has_no_cycle():
    assert set().union(*TABLE.values()) <= TABLE.keys()
    tuple(TopologicalSorter(TABLE).static_order())


def test_modules_import_each_other_in_no_circle():
    graph = {name: set() for name in MODULES}
    for name, tree in MODULES.items():
        lazy = set(map(id, inside_functions(tree)))
        for inner, node in own_imports(tree):
            target = inner if inner in MODULES else f"{inner}.__init__"
            if id(node) not in lazy and target != name:
                graph[name].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@each_module
def test_no_import_hides(name, tree):
    for node in inside_functions(tree):
        allowed = (part(name), None) in LAZY or any(
            (part(name), f"lanista.{inner}") in LAZY for inner, found in own_imports(tree) if found is node
        )
        assert allowed, f"{name}, line {node.lineno}: an import inside of a function"
    for node in ast.walk(tree):
        hidden = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        assert not hidden, f"{name}, line {node.lineno}: imports under TYPE_CHECKING"
    assert not [line for _, names, node in imports(tree) if "*" in names for line in [node.lineno]], "a star import"


@each_module
def test_broad_excepts_stand_at_the_workers_boundary_alone(name, tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and name not in BROAD:
            caught = ast.dump(node.type) if node.type else "BaseException"
            broad = "'Exception'" in caught or "BaseException" in caught
            assert not broad, f"{name}, line {node.lineno}: name the exceptions"


def closure(start, *without):
    """All modules that importing this part, some of its modules aside, leads to; `lanista/__init__` aside."""
    reached, waiting = set(), [name for name in MODULES if part(name) == start and name not in without]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        reached |= {module.partition(".")[0] for module, _, _ in imports(MODULES[name])}
        waiting += [m for inner, _ in own_imports(MODULES[name]) for m in (inner, f"{inner}.__init__") if m in MODULES]
    return reached


def test_the_space_and_what_sees_it_alone_import_only_the_standard_library():
    for start in ("errors", "space", "trial"):
        outside = {name for name in closure(start) if name not in MODULES} - {"lanista"}
        assert outside <= set(sys.stdlib_module_names), start


@pytest.mark.parametrize(
    "start", [name for name in ("strategy", "scheduler", "storage", "dashboard") if f"{name}.__init__" in MODULES]
)
def test_what_reads_records_and_spaces_never_imports_torch(start):
    assert "torch" not in closure(start, "strategy.policy_gradient", "strategy.policy")


def test_importing_lanista_imports_no_optional_or_slow_library():
    slow = ["sqlalchemy", "alembic", "rich", "typer", "matplotlib", "hypothesis", "lightning", "ray", "optuna", "scipy"]
    code = "import sys, lanista; lanista.ModelSpace; lanista.strategy; lanista.evaluator; "
    code += f"print([n for n in {slow} if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def is_public(name):
    return not name.startswith("_")


def undocumented(tree):
    """Public functions, classes and methods without a docstring; an override keeps the one of its base."""
    if ast.get_docstring(tree) is None:
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and is_public(node.name) and not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef) and is_public(node.name) and not any(map(is_foreign, node.bases)):
            yield from (f"{node.name}.{m.name}" for m in methods(node) if is_new(m.name, node))


def methods(node):
    return [m for m in node.body if isinstance(m, ast.FunctionDef) and is_public(m.name) and not ast.get_docstring(m)]


CLASSES = {node.name: node for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def base_name(base):
    return base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")


def is_foreign(base):
    """Whether a base class is another library's, whose methods are documented there."""
    name = base_name(base)
    return name not in CLASSES and name not in ("ABC", "Protocol", "Generic") and not hasattr(builtins, name)


def is_new(method, node):
    bases = [CLASSES[base_name(base)] for base in node.bases if base_name(base) in CLASSES]
    return all(method not in {m.name for m in base.body if isinstance(m, ast.FunctionDef)} for base in bases) and all(
        is_new(method, base) for base in bases
    )


@each_module
def test_public_names_are_documented(name, tree):
    assert not list(undocumented(tree))


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.rglob("*.py")), *sorted(TESTS.rglob("*.py"))], ids=lambda path: path.stem
)
def test_nothing_is_left_to_do(path):
    with tokenize.open(path) as source:
        comments = [t.string for t in tokenize.generate_tokens(source.readline) if t.type == tokenize.COMMENT]
    marks = ("TO" + "DO", "FIX" + "ME", "XXX")
    assert not [comment for comment in comments for mark in marks if mark in comment]


def has_code(tree):
    """Whether a module does anything: not only errors, records and contracts."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return any(not isinstance(statement, ast.Expr) for function in functions for statement in function.body)


def test_nine_of_ten_modules_have_a_mirrored_test():
    mirrored = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    paths = [
        (ROOT / name.replace(".", "/")).relative_to(ROOT)
        for name, tree in MODULES.items()
        if has_code(tree) and not name.endswith("__init__") and "migrations" not in name
    ]
    missing = [str(path) for path in paths if str(path.parent / f"test_{path.name}.py") not in mirrored]
    assert len(missing) <= len(paths) / 10, missing
