"""The order of nodes in a graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import fx

from lanista.errors import InvalidMutation


def ordered(nodes: Sequence[fx.Node], title: Callable[[fx.Node], str]) -> list[fx.Node] | None:
    """The nodes with each behind its arguments, else in the given order; None if they are so already.

    Args:
        nodes: all nodes of a graph.
        title: how messages name a node.

    Raises:
        InvalidMutation: a node depends on its own result.
    """
    position = {node: index for index, node in enumerate(nodes)}
    if all(position[source] < position[node] for node in nodes for source in node.all_input_nodes):
        return None
    done: dict[fx.Node, None] = {}
    for node in nodes:
        path = {node: iter(node.all_input_nodes)} if node not in done else {}
        while path:
            current, sources = next(reversed(path.items()))
            source = next((source for source in sources if source not in done), None)
            if source is None:
                done[current] = None
                del path[current]
            elif source in path:
                raise InvalidMutation(
                    f"node {title(current)!r} would depend on its own result, through {title(source)!r}; "
                    "take the input from an earlier node"
                )
            else:
                path[source] = iter(source.all_input_nodes)
    return list(done)


def relink(nodes: Sequence[fx.Node]) -> None:
    """Put the nodes of a graph in this order."""
    for before, after in itertools.pairwise(nodes):
        before.append(after)
