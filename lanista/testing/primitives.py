"""The laws that every primitive keeps: each takes a maker of a space that uses it, and raises AssertionError.

With pytest: `@pytest.mark.parametrize("law", PRIMITIVE_LAWS)`, and `law(make)` in the test, where `make()` returns a
`ModelSpace` with an example input of batch 2 or more, and with few enough decisions that building is quick. Its
models must use all their parameters. A failure names the architecture.
"""

from __future__ import annotations

import builtins
import copy
import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lanista.export import write_folder
from lanista.model import ModelSpace
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace

Factory = Callable[[], ModelSpace]
"""Makes the same space at each call, tracing anew."""

Law = Callable[[Factory], None]

SAMPLES = 8
"""How many architectures a law looks at, where it does not look at all."""

SMALL = 64
"""A space of at most so many architectures is looked at as a whole."""


def architectures(space: ModelSpace, count: int = SAMPLES) -> Iterator[Architecture]:
    """All architectures of a small space; else the default, the first of the grid, and random ones."""
    decisions = space.decisions
    if decisions.size <= SMALL:
        yield from decisions.grid()
        return
    yield decisions.default()
    yield from islice(decisions.grid(3), 2)
    yield from (decisions.sample(seed) for seed in range(count))


def build(space: ModelSpace, architecture: Architecture, seed: int = 0) -> nn.Module:
    """The model, with weights of this seed; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return space.build(architecture)


def outputs(model: nn.Module, space: ModelSpace) -> list[Tensor]:
    """What the model gives for the example input, in evaluation mode."""
    example = space.example_input
    assert example is not None, "the space has no example_input"
    with torch.no_grad():
        found = model.eval()(*copy.deepcopy(example if isinstance(example, tuple) else (example,)))
    return [leaf for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor)]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether two lists of outputs are equal to the bit."""
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def tracing_is_repeatable(make: Factory) -> None:
    """Tracing twice gives the same decisions, and leaves torch's generator as it was."""
    before = torch.get_rng_state()
    first, second = make(), make()
    assert first.decisions == second.decisions, "two traces differ"
    assert len(first.decisions), "there is no decision"
    assert torch.equal(before, torch.get_rng_state()), "tracing drew random numbers"


def the_default_is_what_the_callable_builds_by_itself(make: Factory) -> None:
    """Without anybody who answers, the model of the default architecture comes out."""
    space = make()
    default = build(space, space.decisions.default())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        alone = space.create()
    assert {n: v.shape for n, v in alone.state_dict().items()} == {n: v.shape for n, v in default.state_dict().items()}
    assert equal(outputs(alone, space), outputs(default, space)), "the outputs differ"


def every_architecture_builds(make: Factory) -> None:
    """Each builds twice alike, runs, and gives finite outputs."""
    space = make()
    for architecture in architectures(space):
        found = outputs(build(space, architecture), space)
        assert found, f"no output of {architecture}"
        assert all(tensor.isfinite().all() for tensor in found), f"an output of {architecture} is not finite"
        assert equal(found, outputs(build(space, architecture), space)), f"two builds of {architecture} differ"


def gradients_reach_every_parameter(make: Factory) -> None:
    """In training mode, a backward pass gives each parameter a finite gradient."""
    space = make()
    for architecture in architectures(space):
        lacking = without_gradient(build(space, architecture), space.example_input)
        assert not lacking, f"no gradient of {lacking[:3]} in {architecture}"


def without_gradient(model: nn.Module, example: Tensor | tuple[Any, ...] | None) -> list[str]:
    """The parameters to which a backward pass from all outputs, in training mode, brings no finite gradient."""
    found = model.train()(*copy.deepcopy(example if isinstance(example, tuple) else (example,)))
    leaves = [leaf for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if leaves:
        torch.autograd.backward(torch.stack([leaf.sum() for leaf in leaves]).sum())
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def moves_stay_in_the_space(make: Factory) -> None:
    """Mutants, children and neighbours are canonical, and mutants build."""
    space, random = make(), Random(0)
    decisions = space.decisions
    if decisions.size == 1:
        return
    current, other = decisions.default(), decisions.sample(1)
    for _ in range(SAMPLES):
        mutant = decisions.mutate(current, random)
        assert mutant != current, f"a mutant of {current} is equal to it"
        child = decisions.crossover(mutant, other, random)
        for moved in (mutant, child, *islice(decisions.neighbours(mutant), 5)):
            assert decisions.validate(moved) == moved, f"{moved} is not canonical"
        outputs(build(space, mutant), space)
        current, other = mutant, current


def json_gives_everything_back(make: Factory) -> None:
    """The space and its architectures go through JSON text; what comes back builds the same model."""
    space = make()
    text = json.dumps(space.decisions.to_json())
    assert SearchSpace.from_json(json.loads(text)) == space.decisions, "the space changed"
    for architecture in architectures(space, 2):
        back = space.decisions.validate(json.loads(json.dumps(architecture)))
        assert back == architecture, f"{architecture} came back as {back}"
        assert equal(outputs(build(space, back), space), outputs(build(space, architecture), space))


def models_are_plain(make: Factory) -> None:
    """No module, hook or pickle of a model knows lanista."""
    space = make()
    for architecture in architectures(space):
        model = build(space, architecture)
        own = [type(module) for module in model.modules() if type(module).__module__.partition(".")[0] == "lanista"]
        assert not own, f"{own} in {architecture}"
        hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks]
        assert not hooks, f"hooks in {architecture}"


def models_can_be_copied_and_pickled(make: Factory) -> None:
    """Copies and pickles of a model give its outputs, and the pickle does not name lanista."""
    space = make()
    for architecture in architectures(space):
        model = build(space, architecture)
        expected, data = outputs(model, space), pickle.dumps(model)
        assert b"lanista" not in data, f"the pickle of {architecture} needs lanista"
        assert equal(outputs(pickle.loads(data), space), expected), f"the pickle of {architecture} differs"
        assert equal(outputs(copy.deepcopy(model), space), expected), f"the copy of {architecture} differs"


def spaces_can_be_pickled(make: Factory) -> None:
    """A space that went through pickle, as to a worker, has the same decisions and models."""
    space = make()
    back = pickle.loads(pickle.dumps(space))
    assert back.decisions == space.decisions
    architecture = space.sample(0)
    assert equal(outputs(build(back, architecture), space), outputs(build(space, architecture), space))


def exports_run_without_lanista(make: Factory) -> None:
    """The export folder of a model gives its outputs where lanista cannot be imported."""
    space = make()
    for architecture in architectures(space, 3):
        exported(build(space, architecture), space, architecture)


def exported(model: nn.Module, space: ModelSpace, architecture: Architecture) -> nn.Module:
    """Export a model, import the folder where lanista cannot be, compare the outputs, and return what came back."""
    with TemporaryDirectory() as place, warnings.catch_warnings():
        folder = Path(place) / "model"
        write_folder(model, folder, card={}, architecture=architecture, example_input=space.example_input)
        file = folder / "model.py"
        names: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": _without_lanista}}
        names |= {"__name__": "model", "__file__": str(file)}
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
        rebuilt: nn.Module = names["load"]()
    pairs = zip(outputs(rebuilt, space), outputs(model, space), strict=True)
    assert all(torch.allclose(one, other, 1e-6, 1e-6) for one, other in pairs), f"the export of {architecture} differs"
    return rebuilt


def _without_lanista(name: str, *arguments: Any) -> object:
    assert name.partition(".")[0] != "lanista", "the exported code imports lanista"
    return builtins.__import__(name, *arguments)


PRIMITIVE_LAWS: tuple[Law, ...] = (
    tracing_is_repeatable,
    the_default_is_what_the_callable_builds_by_itself,
    every_architecture_builds,
    gradients_reach_every_parameter,
    moves_stay_in_the_space,
    json_gives_everything_back,
    models_are_plain,
    models_can_be_copied_and_pickled,
    spaces_can_be_pickled,
    exports_run_without_lanista,
)
"""All of them."""
