"""`Repeat`: a block, a variable number of times."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import nn

from lanista.errors import SpaceError
from lanista.nn.layer import make
from lanista.space.context import current
from lanista.space.domain import Categorical, Domain, Integer

Block: TypeAlias = nn.Module | Callable[..., nn.Module]
Depth: TypeAlias = int | tuple[int, int] | list[int] | Domain


def Repeat(blocks: Block | Sequence[Block], depth: Depth, *, label: str | None = None) -> nn.Sequential:
    """Ask for a depth and return that many blocks, one after another, as a plain `nn.Sequential`.

    Args:
        blocks: a callable that builds a block, with the index (from 0) as argument if it takes one; a module, which
            is copied for each repetition; or a list of these, of which the first `depth` are used.
        depth: a fixed number; `(least, greatest)`, both included; or the depths to choose from, as a list or a domain
            such as `Integer(2, 8, step=2)`. 0 is allowed: the empty `nn.Sequential` is the identity. The default is
            the first. (A number that came from `choice` is a fixed number here. Give Repeat the candidates instead
            when the blocks ask questions of their own.)
        label: name of the decision.

    Raises:
        SpaceError: a depth is negative or not an integer, or there are fewer blocks than the greatest depth.
    """
    context = current()
    label = context.name("Repeat", label)
    domain = _domain(depth)
    depths = [depth] if domain is None else list(domain.grid())
    if any(isinstance(d, bool) or not isinstance(d, int) or d < 0 for d in depths):
        raise SpaceError(
            f"depth is {depth!r}; give an integer of at least 0, a pair (least, greatest), or a list of integers"
        )
    makers = _makers(blocks, max(depths))
    chosen = depths[0] if domain is None else context.decide(label, domain)
    built = []
    for index in context.visits(range(max(depths)), range(chosen)):
        with context.inside(label, index, () if domain is None else [d for d in depths if d > index]):
            built.append(makers[index]())
    return nn.Sequential(*built[:chosen])


def _domain(depth: Depth) -> Domain | None:
    if isinstance(depth, Domain):
        return depth
    if isinstance(depth, list):
        return Categorical(depth)
    if isinstance(depth, tuple):
        if len(depth) != 2:
            raise SpaceError(
                f"depth is {depth!r}; a tuple is a pair (least, greatest); give depths as a list"
            )
        return Integer(*depth)
    return None


def _makers(blocks: Block | Sequence[Block], most: int) -> list[Callable[[], nn.Module]]:
    """One callable without arguments for each repetition."""
    if isinstance(blocks, nn.Module) and not isinstance(blocks, nn.ModuleList):
        # The first repetition is the module itself, so that nothing is built twice.
        return [lambda: blocks, *([lambda: copy.deepcopy(blocks)] * most)]
    if callable(blocks) and not isinstance(blocks, nn.ModuleList):
        return [_with_index(blocks, index) for index in range(most)]
    if not isinstance(blocks, Sequence | nn.ModuleList):
        raise SpaceError(f"blocks is {blocks!r}; give a module, a callable, or a list of these")
    if len(blocks) < most:
        raise SpaceError(f"depth can be {most}, but there are only {len(blocks)} blocks; give more blocks")
    return [lambda block=block, index=index: _made(block, index) for index, block in enumerate(blocks)]  # type: ignore[misc]


def _made(block: Block, index: int) -> nn.Module:
    return block if isinstance(block, nn.Module) else _with_index(block, index)()


def _with_index(block: Callable[..., nn.Module], index: int) -> Callable[[], nn.Module]:
    """`block` bound to its index, if it has a parameter without default to take it."""
    try:
        parameters = inspect.signature(block).parameters.values()
    except ValueError:  # a builtin without a signature
        parameters = ()  # type: ignore[assignment]
    wanted = [
        p
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return (lambda: block(index)) if wanted else (lambda: make(block))
