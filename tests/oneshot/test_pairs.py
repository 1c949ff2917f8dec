"""A sum, not a product: every kind of choice runs with every method, and no class is there for a pair."""

import ast
import importlib
import inspect
import math
import pkgutil
from pathlib import Path

import pytest
import torch
from torch import nn

import lanista
from lanista import ModelSpace, oneshot
from lanista.nn import Cell, InputChoice, LayerChoice, NasBench201Cell, Repeat
from lanista.oneshot import Supernet
from lanista.oneshot.method import Method
from lanista.space import choice
from tests.oneshot.spaces import IMAGE


class Around(nn.Module):
    """A question between two layers; with several inputs, it is asked about those."""

    def __init__(self, ask, several=False):
        super().__init__()
        self.stem, self.more = nn.Conv2d(3, 8, 1), nn.ModuleList(conv() for _ in range(2))
        self.asked, self.several = ask(), several
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        x = self.stem(x)
        found = self.asked([x, *(layer(x) for layer in self.more)] if self.several else x)
        return self.head(found[0] if isinstance(found, list) else found).mean((2, 3))


def conv():
    return nn.Conv2d(8, 8, 3, padding=1)


def sizes():
    width, kernel = choice([4, 8], label="width"), choice([1, 3], label="kernel")
    return nn.Sequential(nn.Conv2d(8, width, kernel, padding="same"), nn.ReLU(), nn.Conv2d(width, 8, 1))


LAYERS = {"conv": conv, "skip": nn.Identity, "pool": lambda: nn.AvgPool2d(3, 1, 1)}

CHOICES = {
    "LayerChoice": lambda: Around(lambda: LayerChoice(LAYERS)),
    "InputChoice, one": lambda: Around(lambda: InputChoice(3), several=True),
    "InputChoice, two": lambda: Around(lambda: InputChoice(3, 2, "mean"), several=True),
    "InputChoice, any": lambda: Around(lambda: InputChoice(3, None), several=True),
    "InputChoice, list of one": lambda: Around(lambda: InputChoice(3, 1, "none"), several=True),
    "Repeat": lambda: Around(lambda: Repeat(conv, (1, 3))),
    "Cell": lambda: Around(lambda: Cell(LAYERS, 1, 2)),
    "NasBench201Cell": lambda: Around(
        lambda: NasBench201Cell({name: lambda i, o, build=build: build() for name, build in LAYERS.items()}, 8, 8, 3)
    ),
    "sizes": lambda: Around(sizes),
}
"""A model for each kind of choice that can be mixed."""


def classes():
    """The names of the bases of every class in lanista's source, by its name and its module."""
    root = Path(lanista.__file__).parent
    return {
        (node.name, path.relative_to(root).as_posix()): [ast.unparse(base) for base in node.bases]
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


METHODS = [
    getattr(oneshot, name)
    for name in oneshot.__all__
    if inspect.isclass(getattr(oneshot, name)) and issubclass(getattr(oneshot, name), Method)
]
MIXING = [method for method in METHODS if method.mixes and not inspect.isabstract(method)]


def outcome(model, batch):
    return model(batch).square().mean()


@pytest.mark.parametrize("method", MIXING, ids=lambda method: method.__name__)
@pytest.mark.parametrize("kind", CHOICES)
def test_every_kind_of_choice_runs_with_every_method(kind, method):
    torch.manual_seed(0)
    space = ModelSpace(CHOICES[kind], example_input=IMAGE)
    net = Supernet(space)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    search = method()
    search.start(net, steps=2)
    for _ in range(2):
        value = search.step(space.example_input, space.example_input, loss=outcome, optimizer=optimizer)
        assert math.isfinite(value)
    assert any(not torch.equal(one, other) for one, other in zip(net.parameters(), before, strict=True))
    (best,) = search.best()
    assert space.decisions.validate(best) == best


def test_no_class_is_there_for_a_pair():
    found = classes()
    mixed = {name for (name, path), bases in found.items() if "Mixed" in bases and path.startswith("nn/")}
    assert mixed == {"MixedCell", "MixedInput", "MixedLayer", "MixedRepeat"}
    assert {name for (name, _), bases in found.items() if "Mixed" in bases} == mixed
    assert not [name for (name, _), bases in found.items() if mixed & set(bases)]  # none is made of another
    stems = ["Cell", "Input", "Layer", "Repeat", "Mask", "Relaxation"]
    for method in METHODS:
        assert not [name for name, _ in found if method.__name__ in name and any(stem in name for stem in stems)]
    assert len(METHODS) > len(MIXING) > 1


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_no_method_knows_a_choice(method):
    tree = ast.parse(inspect.getsource(inspect.getmodule(method)))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    sources = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not (names | imported) & {
        "Collection",
        "Mixed",
        "MixedCell",
        "MixedInput",
        "MixedLayer",
        "MixedRepeat",
        "Whole",
    }
    assert not {source for source in sources if source.startswith("lanista.nn") and source != "lanista.nn.mixture"}


@pytest.mark.parametrize("name", [info.name for info in pkgutil.iter_modules(lanista.nn.__path__)])
def test_no_choice_knows_a_method(name):
    tree = ast.parse(inspect.getsource(importlib.import_module(f"lanista.nn.{name}")))
    assert not [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and "oneshot" in n.module]
