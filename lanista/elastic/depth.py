"""Finds where modules can be left out: blocks that pass their input on, at the end of a container."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import nn
from torch.fx import Node

from lanista.elastic.operations import MIXING
from lanista.elastic.plan import Stage
from lanista.elastic.trace import Traced, operation, place, shape


def stages(traced: Traced, model: nn.Module, keep: Collection[str]) -> list[Stage]:
    """Containers whose last modules are residual blocks: output and input have one shape, and a path joins them
    that no matrix is on. At least one module stays, and all that hold a layer in `keep`.
    """
    found: list[Stage] = []
    containers = [(p, m) for p, m in model.named_modules() if isinstance(m, nn.Sequential | nn.ModuleList)]
    for path, container in sorted(containers, key=lambda item: -item[0].count(".") - bool(item[0])):
        prefix = f"{path}." if path else ""
        names = [name for name, _ in container.named_children()]
        least = len(names)
        while least > 1 and _can_go(traced, container[least - 1], f"{prefix}{names[least - 1]}", keep, found):
            least -= 1
        if least < len(names):
            label = f"{path}/depth" if path else "depth"
            found.append(Stage(label, path, tuple(range(len(names), least - 1, -1)), tuple(names)))
    order = {path: number for number, (path, _) in enumerate(containers)}
    return sorted(found, key=lambda stage: order[stage.path])


def _can_go(traced: Traced, block: nn.Module, path: str, keep: Collection[str], found: Collection[Stage]) -> bool:
    if not any(True for _ in block.parameters()) or any(_within(layer, path) for layer in keep):
        return False
    return not any(_within(stage.path, path) for stage in found) and _residual(traced, path)


def _within(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")


def _residual(traced: Traced, path: str) -> bool:
    """Whether the module at this path passes its only input on to its only output."""
    inside = {node for node in traced.operations() if _within(place(node), path)}
    outputs = [node for node in inside if any(user not in inside for user in node.users)]
    outputs = [node for node in outputs if shape(node) is not None]
    if len(outputs) != 1 or not any(operation(node).rpartition(".")[2] in MIXING for node in inside):
        return False
    [output] = outputs
    return any(shape(source) == shape(output) and source not in traced.weights for source in _sources(output, inside))


def _sources(output: Node, inside: Collection[Node]) -> Iterator[Node]:
    """The nodes outside of a module that its output can be reached from without a matrix on the way."""
    waiting, seen = [output], {output}
    while waiting:
        node = waiting.pop()
        if node not in inside:
            yield node
        elif operation(node).rpartition(".")[2] not in MIXING:
            waiting.extend(source for source in node.all_input_nodes if source not in seen)
            seen.update(node.all_input_nodes)
