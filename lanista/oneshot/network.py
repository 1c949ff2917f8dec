"""`Network`: one model that has all options of a space, and mixes them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from random import Random

from torch import nn

from lanista.errors import LanistaError, OneShotError
from lanista.nn.mixture import Mixture, Relaxation, Strengths, Whole, exact
from lanista.oneshot.audit import difference
from lanista.oneshot.fitness import Fitness
from lanista.oneshot.identity import Mixing
from lanista.oneshot.mask import Masks, find
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture, Value, is_integer, is_number
from lanista.space.probe import UNBUILDABLE

logger = logging.getLogger("lanista")

AUDITED = 3
"""How many random architectures must come out as their paths do."""


class Network:
    """All options of what can be mixed, in one model on the tensors of a supernet.

    Args:
        supernet: whose tensors it uses. Its mode (`train` or `eval`) is taken over by `select`, `mix` and `sub`.

    Attributes:
        supernet: as given.
        model: runs what `select` or `mix` said last.
    """

    def __init__(self, supernet: Supernet) -> None:
        self.supernet = supernet
        self._widest: dict[str, Value] = {}
        for decision in supernet.space.decisions:
            values = list(decision.domain.grid(2))
            numeric = all(is_number(value) for value in values)
            self._widest[decision.label] = max(values) if numeric else decision.domain.default()
        self.model: nn.Module = nn.Module()
        self._context: Mixing | None = None
        self._failure = ""
        try:
            self.model, self._context = supernet.skeleton(self._widest, Mixing)
            supernet.bind(self.model, self._context)
        except (LanistaError, *UNBUILDABLE) as error:
            self._context = None
            self._failure = f"the model cannot be built with all options at once ({type(error).__name__}: {error})"
        self._inplace = [module for module in self.model.modules() if getattr(module, "inplace", None) is True]

    @property
    def obstacles(self) -> dict[str, str]:
        """Why decisions cannot be mixed, by label. Finding that out may take some forward passes, once."""
        return self._found[1]

    @property
    def relaxations(self) -> dict[str, Relaxation]:
        """What is mixed, by name."""
        return self._found[2]

    @cached_property
    def _found(self) -> tuple[Masks, dict[str, str], dict[str, Relaxation]]:
        decisions, context = self.supernet.space.decisions, self._context
        if context is None:
            return Masks(), {decision.label: self._failure for decision in decisions}, {}
        left = [decision for decision in decisions if decision.label not in self._mixed]
        masks, obstacles = find(self.supernet, self.model, context, self._widest, left)
        if not obstacles and self._mixed:
            obstacles = self._audit(masks, context.relaxations)
        return masks, obstacles, {**context.relaxations, **masks.relaxations}

    @property
    def _mixed(self) -> set[str]:
        """The labels that are mixed without masks."""
        relaxations = {} if self._context is None else self._context.relaxations
        return {label for relaxation in relaxations.values() for label in relaxation.labels}

    def _audit(self, masks: Masks, relaxations: Mapping[str, Relaxation]) -> dict[str, str]:
        """What stands against mixing layers, inputs and depths: the model may do more with them than to call them."""
        space, random = self.supernet.space, Random(0)
        if space.example_input is None:
            spliced = any(isinstance(module, Whole) and module.spliced for module in self.model.modules())
            reason = "blocks are taken one by one; give ModelSpace an example_input, to see whether that can be mixed"
            if spliced:
                return dict.fromkeys(self._mixed, reason)
            logger.warning(
                "ModelSpace has no example_input, so it is not known whether all options at once compute what each "
                "architecture does: a model that does more with a chosen layer than to call it trains something else"
            )
            return {}

        def select(architecture: Architecture) -> nn.Module:
            placed = {name: exact(relaxation.place(architecture)) for name, relaxation in relaxations.items()}
            placed |= {label: exact(masks.place(label, architecture)) for label in masks.relaxations}
            return self._run(placed, {**relaxations, **masks.relaxations}, masks, inplace=False)

        found = difference(self.supernet, [space.decisions.sample(random) for _ in range(AUDITED)], select)
        reason = "" if found is None else f"with all options at once, {found[1]}: a chosen layer is not only called"
        return dict.fromkeys(self._mixed, reason) if found else {}

    @property
    def complete(self) -> bool:
        """Whether `select` makes the model compute exactly what a path computes, at the same cost, as was tried out."""
        if self.supernet.space.example_input is None:
            return False
        return self._mixed == set(self.supernet.space.decisions.labels) and not self.obstacles

    def select(self, architecture: Mapping[str, Value]) -> nn.Module:
        """Let the model be an architecture's, and return it.

        Where numbers are mixed by masks it is as wide as ever, with zeros for what the architecture lacks.

        Raises:
            ArchitectureError: it does not fit the space.
            OneShotError: a decision cannot be mixed.
        """
        self.require("select an architecture in one model")
        canonical = self.supernet.space.decisions.validate(architecture)
        masks, _, relaxations = self._found
        placed = {
            name: exact(masks.place(name, canonical) if name in masks.relaxations else relaxation.place(canonical))
            for name, relaxation in relaxations.items()
        }
        return self._run(placed, relaxations, masks, inplace=True)

    def mix(self, mixtures: Mapping[str, Mixture]) -> nn.Module:
        """Let the model mix its options, and return it; there is a mixture for the name of each relaxation.

        Raises:
            OneShotError: a decision cannot be mixed.
        """
        if self.obstacles:
            self.require("mix options in one model")
        masks, _, relaxations = self._found
        return self._run(mixtures, relaxations, masks, inplace=False)

    def sub(self, architecture: Architecture) -> nn.Module:
        """A model that computes what the path of a canonical architecture computes, for now: built, or selected."""
        return self.select(architecture) if self.complete else self.supernet.path(architecture)

    def require(self, purpose: str) -> None:
        """Raise OneShotError, which names each decision that cannot be mixed and why, if there is any."""
        if self.obstacles:
            reasons = "\n".join(f"  {label!r}: {reason}" for label, reason in self.obstacles.items())
            raise OneShotError(
                f"to {purpose}, all decisions must be mixed, and these cannot be:\n{reasons}\n"
                "Methods that train paths take any decision: SPOS, RandomSharing, ENAS, Sandwich"
            )

    def strongest(self, strengths: Mapping[str, Strengths], k: int = 1) -> list[Architecture]:
        """The `k` architectures that keep the space's limits and fit strengths best, the best first.

        How well an architecture fits is the product of the strengths of its options, relative to that of the strongest.
        It is a search, but exact in small spaces; fewer than `k` come back where no more are found, and at least one.

        Args:
            strengths: by name of each relaxation.
            k: how many, at least 1.

        Raises:
            OneShotError: `k` is no such number, or a decision cannot be mixed.
        """
        if not is_integer(k) or k < 1:
            raise OneShotError(f"k is {k!r}; give an integer of at least 1")
        self.require("say how strong architectures are")
        return Fitness(self.supernet.space.decisions, self.relaxations, strengths).best(k)

    def _run(
        self, mixtures: Mapping[str, Mixture], relaxations: Mapping[str, Relaxation], masks: Masks, *, inplace: bool
    ) -> nn.Module:
        for name, relaxation in relaxations.items():
            relaxation.mixture = mixtures[name]
        for module in self._inplace:  # an option must not change the input of the others
            module.inplace = inplace  # type: ignore[assignment]
        if self.model.training != self.supernet.training:
            self.model.train(self.supernet.training)
        masks.update(self.supernet.device)
        return self.model
