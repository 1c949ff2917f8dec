"""`Repeat`: a block, a variable number of times."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.nn.layer import ADVICE, Candidate, make
from lanista.nn.mixture import Mixed, Relaxation, one_of
from lanista.space.context import current
from lanista.space.domain import Categorical, Domain, Integer, is_integer

Block: TypeAlias = nn.Module | Callable[..., nn.Module]
Depth: TypeAlias = int | tuple[int, int] | list[int] | Domain


def Repeat(blocks: Block | Sequence[Block], depth: Depth, *, label: str | None = None) -> nn.Sequential:
    """Ask for a depth and return that many blocks, one after another, as a plain `nn.Sequential`.

    Args:
        blocks: a callable that builds a block, with the index (from 0) as argument if it takes one; a module,
            which is copied for each repetition; or a list of these, of which the first `depth` are used.
        depth: a fixed number; `(least, greatest)`, both included; or the depths to choose from, as a list or
            a domain such as `Integer(2, 8, step=2)`. 0 is allowed: the empty `nn.Sequential` is the identity.
            The default is the first. (A number that came from `choice` is a fixed number here. Give Repeat
            the candidates instead when the blocks ask questions of their own.)
        label: name of the decision.

    Raises:
        SpaceError: a depth is negative or not an integer, there are fewer blocks than the greatest depth, a
            block is not a module and does not build one, or the label is taken by another domain.
    """
    domain, depths = _depths(depth)
    parts = _blocks(blocks, max(depths))
    context = current()
    label = context.name("Repeat", label)
    chosen = depths[0] if domain is None else context.decide(label, domain)
    relaxation = None if domain is None else context.relax(label, partial(one_of, label, tuple(depths)))
    built = []
    for index in context.visits(range(max(depths)), range(chosen)):
        with context.inside(label, index, () if domain is None else [d for d in depths if d > index]):
            build = partial(make, parts[index], f"block {index} of {label!r}")
            built.append(context.part(place_of(label, index), build, moves=True))
    if relaxation is None:
        repeated = nn.Sequential(*built[:chosen])
    else:  # typed for users, who see it only in a supernet
        repeated = cast(nn.Sequential, MixedRepeat(built, depths, relaxation))
    if domain is not None:
        context.answered(label, repeated)
    return repeated


def place_of(label: str, index: int) -> str:
    """What block `index` is called in a supernet."""
    return f"{label}={index}"


class MixedRepeat(Mixed):
    """All depths at once: what comes out after each number of blocks that is allowed, mixed.

    Args:
        blocks: as many as the greatest depth.
        depths: the allowed ones; after each of them the tensors have one shape.
        relaxation: of one row, whose options are the depths.
    """

    def __init__(self, blocks: Sequence[nn.Module], depths: Sequence[int], relaxation: Relaxation) -> None:
        super().__init__(relaxation)
        self.blocks, self.depths = nn.ModuleList(blocks), list(depths)

    def parts(self) -> dict[str, nn.Module]:
        return {f".{place_of(self.relaxation.name, index)}": block for index, block in enumerate(self.blocks)}

    def __iter__(self) -> Iterator[MixedRepeat]:
        """Itself, once: who takes the blocks one after another takes all of them."""
        self.spliced = True
        return iter([self])

    def forward(self, x: Tensor) -> Tensor:
        """The mixture of the outputs of all depths; no block runs that no depth needs."""
        chain = Chain(self.blocks)
        return self.mixture.mix(0, [partial(chain.after, depth) for depth in self.depths], x)


class Chain:
    """Applies blocks one after another, and remembers what came out after each."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        self._blocks = blocks
        self._outputs: list[Tensor] = []

    def after(self, depth: int, x: Tensor) -> Tensor:
        """What `depth` blocks make of `x`."""
        if not self._outputs or self._outputs[0] is not x:
            self._outputs = [x]  # another pass, as when a gradient is computed
        while len(self._outputs) <= depth:
            self._outputs.append(self._blocks[len(self._outputs) - 1](self._outputs[-1]))
        return self._outputs[depth]


def _depths(depth: Depth) -> tuple[Domain | None, list[int]]:
    """The domain of the depth, if there is a choice, and all depths, the default first."""
    if isinstance(depth, tuple) and len(depth) != 2:
        raise SpaceError(f"depth is {depth!r}; a tuple is a pair (least, greatest); give depths as a list")
    domain: Domain | None = None
    if isinstance(depth, Domain):
        domain = depth
    elif isinstance(depth, list):
        domain = Categorical(depth)
    elif isinstance(depth, tuple):
        domain = Integer(*depth)
    depths: list[Any] = [depth] if domain is None else list(domain.grid(1))
    if not all(is_integer(d) and d >= 0 for d in depths):
        raise SpaceError(
            f"depth is {depth!r}; give an integer of at least 0, a pair (least, greatest), or a list of integers"
        )
    return domain, depths


def _blocks(blocks: Block | Sequence[Block], most: int) -> list[Candidate]:
    """One candidate for each repetition."""
    if isinstance(blocks, Sequence | nn.ModuleList):
        if len(blocks) < most:
            raise SpaceError(f"depth can be {most}, but there are only {len(blocks)} blocks; give more blocks")
        return [_indexed(block, index) for index, block in enumerate(blocks)]
    if isinstance(blocks, nn.Module):
        # The first repetition is the module itself, so that nothing is built twice.
        return [blocks, *([partial(copy.deepcopy, blocks)] * most)]
    return [_indexed(blocks, index) for index in range(most)]


def _indexed(block: Block, index: int) -> Candidate:
    """The block, bound to its index if it has a parameter without default to take it."""
    if isinstance(block, nn.Module):
        return block
    if not callable(block):
        raise SpaceError(f"block {block!r} ({type(block).__name__}) builds nothing; {ADVICE}")
    try:
        parameters = list(inspect.signature(block).parameters.values())
    except ValueError:  # a builtin without a signature
        parameters = []
    wanted = any(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)
    return partial(block, index) if wanted else block
