"""All shared tensors that may learn, each in a module like those that it belongs to.

For code that looks at a model's modules and parameters, such as one that gives biases no weight decay.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from lanista.oneshot.identity import Key, Path, Slot, slots


def catalogue(models: Iterable[tuple[nn.Module, Path]], shared: Callable[[Slot], Tensor | None]) -> nn.Module:
    """The first model, beside whose modules stand those that only others have; it is not to be run.

    Each tensor is there as a whole, and only once, in a module and under a name as in a model that has it. There are no
    buffers.

    Args:
        models: at least one, and the contexts that answered while they were built.
        shared: the tensor that is shared in a place; None: each model has its own.
    """
    whole: nn.Module | None = None
    seen: set[Key] = set()
    for model, context in models:
        fresh: dict[nn.Module, dict[str, Tensor]] = {}
        first: dict[int, tuple[Tensor, Slot]] = {}  # with the tensors, so that no other gets the id of one
        for slot in slots(model, context):
            if slot.buffer:
                slot.table[slot.name] = None
                continue
            _, origin = first.setdefault(id(slot.tensor), (slot.tensor, slot))
            tensor = shared(origin)
            if tensor is not None:
                slot.table[slot.name] = tensor
                if origin.key not in seen:
                    fresh.setdefault(slot.module, {})[slot.name] = tensor
        seen.update(origin.key for _, origin in first.values())
        if whole is None:
            whole = model
            continue
        paths = {module: path for path, module in model.named_modules()}
        for module, tensors in fresh.items():
            _graft(whole, paths[module], _bare(module, tensors))
    assert whole is not None
    return whole


def _bare(module: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """A module like this, without modules, and with no other parameters."""
    alone = copy.copy(module)
    vars(alone)["_modules"] = {}
    vars(alone)["_parameters"] = {name: tensors.get(name) for name in module._parameters}
    return alone


def _graft(whole: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module into the one that it would stand in, as far as there is that."""
    parent, rest = whole, path.split(".")
    while rest and isinstance(child := parent._modules.get(rest[0]), nn.Module):
        parent, rest = child, rest[1:]
    name = "/".join([*rest, type(module).__name__])
    parent.add_module(f"{name}/{len(parent._modules)}", module)
