"""`LayerChoice`: one of several layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.nn.mixture import Mixed, Relaxation, one_of
from lanista.space.context import current
from lanista.space.domain import Categorical, listed

T = TypeVar("T")

ADVICE = "give a torch.nn.Module, or a callable without arguments that builds one"

Candidate: TypeAlias = nn.Module | Callable[[], nn.Module]
"""A built module, or a callable without arguments that builds one (a class, a `partial`, a lambda)."""

Prior: TypeAlias = Sequence[float] | Mapping[Any, float]
"""How often each candidate is drawn, relative to the others: a positive weight for each, or name -> weight."""


def LayerChoice(
    candidates: Sequence[Candidate] | Mapping[str, Candidate],
    *,
    prior: Prior | None = None,
    label: str | None = None,
) -> nn.Module:
    """Ask for one of several layers; the chosen candidate itself comes back, nothing wrapped around it.

    A callable candidate is called only if chosen, and questions that it asks exist only then. Prefer
    callables: a candidate that is given as a module was built by the caller, chosen or not.

    Args:
        candidates: by name, or a list; then the names are the positions 0, 1, .... The first is the default.
        prior: how often each is drawn, relative to the others: a positive weight for each, or a mapping of all
            names to weights. None: all equally often.
        label: name of the decision; questions with equal labels are one decision.

    Raises:
        SpaceError: no candidate, one that is not a module and does not build one, a name that is not a
            string, a prior that does not fit, or the label is taken by another domain.
    """
    parts = named(candidates)
    domain = names_of(parts, prior)
    context = current()
    label = context.name("LayerChoice", label)
    chosen = context.decide(label, domain)
    relaxation = context.relax(label, partial(one_of, label, tuple(parts)))
    kept: list[nn.Module] = []
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            context.given(place_of(label, name), part)
    for name in context.visits(parts, [chosen]):
        with context.inside(label, name, [name]):
            build = partial(make, parts[name], f"candidate {name!r} of {label!r}")
            layer = context.part(place_of(label, name), build)
        context.given(place_of(label, name), layer)
        if relaxation is not None or name == chosen:  # tracing builds all, perhaps with real weights: keep no other
            kept.append(layer)
    module = kept[0] if relaxation is None else MixedLayer(dict(zip(parts, kept, strict=True)), relaxation)
    context.answered(label, module)
    return module


def place_of(label: str, name: str | int) -> str:
    """What a candidate is called in a supernet."""
    return f"{label}={name}"


class MixedLayer(Mixed):
    """All candidates at once.

    Args:
        options: the candidates by name; their outputs have one shape.
        relaxation: of one row.
    """

    def __init__(self, options: Mapping[str | int, nn.Module], relaxation: Relaxation) -> None:
        super().__init__(relaxation)
        self.names = list(options)
        self.options = nn.ModuleList(options.values())

    def parts(self) -> dict[str, nn.Module]:
        places = [f"[{place_of(self.relaxation.name, name)}]" for name in self.names]
        return dict(zip(places, self.options, strict=True))

    def forward(self, *inputs: Any) -> Tensor:
        """The mixture of the options' outputs."""
        return self.mixture.mix(0, list(self.options), *inputs)


def named(candidates: Sequence[T] | Mapping[str, T]) -> dict[str | int, T]:
    """The candidates by name; in a list they are named by position. Raises SpaceError as `LayerChoice` does."""
    if not isinstance(candidates, Sequence | Mapping):
        raise SpaceError(f"candidates is {candidates!r}; give a list of layers, or a mapping of names to layers")
    parts: dict[str | int, T] = {}
    parts.update(candidates if isinstance(candidates, Mapping) else enumerate(candidates))
    for name, part in parts.items():
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise SpaceError(f"candidate name {name!r} ({type(name).__name__}) is not a string")
        if not callable(part):
            raise SpaceError(f"candidate {name!r} is {part!r} ({type(part).__name__}); {ADVICE}")
    return parts


def names_of(parts: Mapping[str | int, object], prior: Prior | None = None) -> Categorical:
    """The domain of the names of `parts`."""
    if isinstance(prior, Mapping):
        if prior.keys() != parts.keys():
            raise SpaceError(f"prior has weights for {listed(list(prior))}; the candidates are {listed(list(parts))}")
        prior = [prior[name] for name in parts]
    return _domain(tuple(parts), None if prior is None else tuple(prior))


@lru_cache(maxsize=1024)
def _domain(names: tuple[str | int, ...], prior: tuple[float, ...] | None) -> Categorical:
    """The domain of these names. A model asks the same questions in each build, and often in each cell."""
    return Categorical(names, prior)


def make(candidate: Candidate, what: str) -> nn.Module:
    """The candidate's module; raises SpaceError, which names `what` it is, if it builds something else."""
    module = candidate if isinstance(candidate, nn.Module) else candidate()
    if not isinstance(module, nn.Module):
        raise SpaceError(f"{what} built {module!r} ({type(module).__name__}); {ADVICE}")
    return module
