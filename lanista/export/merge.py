"""Merging two graphs of one model into one, where they differ only in what can be reconciled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from torch import fx

from lanista.export.literal import Code


class _Different(Exception):
    """Two graphs differ."""


def follows_mode(training: object, evaluation: object) -> object:
    """Reconcile a flag that is True in one mode and False in the other."""
    if isinstance(training, bool) and isinstance(evaluation, bool):
        return Code("self.training" if training else "not self.training")
    raise _Different


def is_default(default: object) -> Callable[[object, object], object]:
    """Reconcile an input of one graph with its default in the other."""

    def check(given: object, baked: object) -> object:
        if isinstance(given, fx.Node) and type(baked) is type(default) and baked == default:
            return given
        raise _Different

    return check


def merge(
    left: fx.Graph, right: fx.Graph, extra: str | None, differ: Callable[[object, object], object]
) -> dict[fx.Node, tuple[Any, Any]] | None:
    """Lay two graphs side by side; None if they differ by more than `differ` reconciles.

    Args:
        left, right: the graphs.
        extra: an input that only the left one has.
        differ: gives the argument for two that are not equal, or raises _Different.

    Returns:
        The arguments of each left node.
    """
    ours = [node for node in left.nodes if not (node.op == "placeholder" and node.target == extra)]
    theirs = list(right.nodes)
    if len(ours) != len(theirs):
        return None
    mates = dict(zip(ours, theirs, strict=True))

    def pair(a: Any, b: Any) -> Any:
        if isinstance(a, fx.Node) and isinstance(b, fx.Node) and mates.get(a) is b:
            return a
        if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
            items = [pair(x, y) for x, y in zip(a, b, strict=True)]
            return tuple(items) if isinstance(a, tuple) else items
        if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
            return {key: pair(a[key], b[key]) for key in a}
        if isinstance(a, slice) and isinstance(b, slice):
            return slice(pair(a.start, b.start), pair(a.stop, b.stop), pair(a.step, b.step))
        if type(a) is type(b) and not isinstance(a, fx.Node) and a == b:
            return a
        return differ(a, b)

    merged = {}
    for a, b in mates.items():
        if (a.op, a.target, a.meta["no_grad"]) != (b.op, b.target, b.meta["no_grad"]):
            return None
        try:
            args, kwargs = (pair(x, y) for x, y in zip(a.meta["call"], b.meta["call"], strict=True))
            merged[a] = (args, kwargs)
        except _Different:
            return None
    return merged


def nodes_in(value: object) -> Iterator[fx.Node]:
    """Yield the graph nodes in a structure of arguments, once for each time that they occur."""
    if isinstance(value, fx.Node):
        yield value
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(nodes_in, value))
    elif isinstance(value, dict):
        yield from nodes_in(list(value.values()))
    elif isinstance(value, slice):
        yield from nodes_in([value.start, value.stop, value.step])
