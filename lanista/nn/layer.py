"""`LayerChoice`: one of several layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import nn

from lanista.errors import SpaceError
from lanista.space.context import current
from lanista.space.domain import Categorical

Candidate: TypeAlias = nn.Module | Callable[[], nn.Module]
"""A built module, or a callable without arguments that builds one (a class, `functools.partial`, a lambda)."""


def LayerChoice(
    candidates: Sequence[Candidate] | Mapping[str, Candidate], *, label: str | None = None
) -> nn.Module:
    """Ask for one of several layers; the chosen candidate itself comes back, nothing wrapped around it.

    A callable candidate is called only if chosen, and questions that it asks exist only then. Prefer callables: a
    candidate that is given as a module was built by the caller, chosen or not.

    Args:
        candidates: by name, or a list; then the names are the positions 0, 1, .... The first is the default.
        label: name of the decision; questions with equal labels are one decision.

    Raises:
        SpaceError: no candidate, one that is neither a module nor callable, or the label is taken by another domain.
    """
    if not isinstance(candidates, Mapping | Sequence) or isinstance(candidates, str):
        raise SpaceError(
            f"candidates is {candidates!r}; give a list of layers, or a mapping of names to layers"
        )
    parts: dict[str | int, Candidate] = dict(
        candidates if isinstance(candidates, Mapping) else enumerate(candidates)
    )
    for name, part in parts.items():
        if not callable(part):
            raise SpaceError(
                f"candidate {name!r} is {part!r} ({type(part).__name__}); give a torch.nn.Module or a callable "
                "without arguments that builds one"
            )
    domain = Categorical(parts)
    context = current()
    label = context.name("LayerChoice", label)
    chosen = context.decide(label, domain)
    layers = {}
    for name in context.visits(parts, [chosen]):
        with context.inside(label, name, [name]):
            layers[name] = make(parts[name])
    return layers[chosen]


def make(candidate: Candidate) -> nn.Module:
    """The candidate's module."""
    return candidate if isinstance(candidate, nn.Module) else candidate()
