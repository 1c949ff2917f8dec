"""`LayerChoice`: one of several layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

from torch import nn

from lanista.errors import SpaceError
from lanista.space.context import current
from lanista.space.domain import Categorical

ADVICE = "give a torch.nn.Module, or a callable without arguments that builds one"

Candidate: TypeAlias = nn.Module | Callable[[], nn.Module]
"""A built module, or a callable without arguments that builds one (a class, a `partial`, a lambda)."""


def LayerChoice(candidates: Sequence[Candidate] | Mapping[str, Candidate], *, label: str | None = None) -> nn.Module:
    """Ask for one of several layers; the chosen candidate itself comes back, nothing wrapped around it.

    A callable candidate is called only if chosen, and questions that it asks exist only then. Prefer
    callables: a candidate that is given as a module was built by the caller, chosen or not.

    Args:
        candidates: by name, or a list; then the names are the positions 0, 1, .... The first is the default.
        label: name of the decision; questions with equal labels are one decision.

    Raises:
        SpaceError: no candidate, one that is not a module and does not build one, a name that is not a
            string, or the label is taken by another domain.
    """
    if not isinstance(candidates, Sequence | Mapping):
        raise SpaceError(f"candidates is {candidates!r}; give a list of layers, or a mapping of names to layers")
    named = candidates.items() if isinstance(candidates, Mapping) else enumerate(candidates)
    parts: dict[str | int, Candidate] = dict(named)
    for name, part in parts.items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise SpaceError(f"candidate name {name!r} ({type(name).__name__}) is not a string")
        if not callable(part):
            raise SpaceError(f"candidate {name!r} is {part!r} ({type(part).__name__}); {ADVICE}")
    domain = _domain(tuple(parts))
    context = current()
    label = context.name("LayerChoice", label)
    chosen = context.decide(label, domain)
    kept: list[nn.Module] = []
    for name in context.visits(parts, [chosen]):
        with context.inside(label, name, [name]):
            layer = make(parts[name], f"candidate {name!r} of {label!r}")
        if name == chosen:  # tracing builds all candidates, perhaps with real weights: keep no other
            kept.append(layer)
    return kept[0]


@lru_cache(maxsize=1024)
def _domain(names: tuple[str | int, ...]) -> Categorical:
    """The domain of these names. A model asks the same questions in each build, and often in each cell."""
    return Categorical(names)


def make(candidate: Candidate, what: str) -> nn.Module:
    """The candidate's module; raises SpaceError, which names `what` it is, if it builds something else."""
    module = candidate if isinstance(candidate, nn.Module) else candidate()
    if not isinstance(module, nn.Module):
        raise SpaceError(f"{what} built {module!r} ({type(module).__name__}); {ADVICE}")
    return module
