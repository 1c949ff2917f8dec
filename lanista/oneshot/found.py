"""`Found`: what a one-shot search comes back with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from lanista.errors import OneShotError
from lanista.oneshot.supernet import Supernet
from lanista.space.domain import Architecture
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial


@dataclass
class Found:
    """The best architectures of a search, and the weights that it trained.

    Attributes:
        architectures: the best first.
        scores: of each, with shared weights, on validation data. They say which is better, not how good it will be.
        supernet: the shared weights.
        history: what was noted in each epoch: steps, metrics, strengths of options.
        options: what the options are called whose strengths the history has; `lanista.draw.strengths` takes both.
        warnings: why the result should be doubted, if something says so.
        tried: all architectures that were compared, in order, with their scores.
        prepare: what `model` does to a model with inherited weights, such as recalibration.
    """

    architectures: list[Architecture]
    scores: list[float]
    supernet: Supernet
    history: list[dict[str, Any]]
    options: dict[str, list[str]]
    warnings: list[str]
    prepare: Callable[[nn.Module], None] = field(repr=False, default=lambda model: None)
    tried: list[tuple[Architecture, float]] = field(repr=False, default_factory=list)

    @property
    def best(self) -> Architecture:
        """The best architecture."""
        return self.architectures[0]

    def model(self, rank: int = 0) -> nn.Module:
        """The plain model of the architecture of this rank, from 0, with the weights that it inherits.

        They are a beginning: train it, or build the architecture anew (`space.build`) and train that.
        """
        if not 0 <= rank < len(self.architectures):
            raise OneShotError(f"rank is {rank!r}, and {len(self.architectures)} architectures were found, from 0")
        model = self.supernet.inherit(self.architectures[rank])
        self.prepare(model)
        return model

    def save(self, file: str | Path, rank: int = 0) -> Path:
        """Write an architecture as JSON, label -> choice; `space.build(json.loads(text))` builds it."""
        if not 0 <= rank < len(self.architectures):
            raise OneShotError(f"rank is {rank!r}, and {len(self.architectures)} architectures were found, from 0")
        target = Path(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(self.architectures[rank], indent=1) + "\n", encoding="utf-8")
        return target

    def __str__(self) -> str:
        how = f"the best of {len(self.tried)}, by shared weights on validation data:"
        if all(map(math.isnan, self.scores)):
            how = "the best first by what the method learnt; they were not compared on validation data:"
        lines = [f"{len(self.architectures)} architectures, {how}"]
        lines += [f"  {score:.4g}  {_brief(a)}" for score, a in zip(self.scores, self.architectures, strict=True)]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        lines.append("Shared weights rank, they do not measure: train the best few by themselves before you believe it")
        return "\n".join(lines)


def _brief(architecture: Architecture, most: int = 100) -> str:
    text = ", ".join(f"{label}={value}" for label, value in architecture.items())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def ranked(pairs: Sequence[tuple[Architecture, float]], k: int) -> list[tuple[Architecture, float]]:
    """The `k` pairs with the greatest scores, each architecture once; the first ones of equal scores, NaN last."""
    unique: dict[str, tuple[Architecture, float]] = {}
    for architecture, score in pairs:
        unique.setdefault(json.dumps(architecture, sort_keys=True), (architecture, score))
    return sorted(unique.values(), key=lambda pair: math.inf if math.isnan(pair[1]) else -pair[1])[:k]


def search(
    strategy: Strategy,
    space: SearchSpace,
    score: Callable[[Architecture], float],
    evaluations: int,
    seed: int,
) -> list[tuple[Architecture, float]]:
    """What a strategy tries, with its scores, in order; an architecture that comes again is not scored again."""
    strategy.reset(space, seed)
    known: dict[str, float] = {}
    tried = []
    for number in range(evaluations):
        try:
            architecture = strategy.propose()
        except StopIteration:
            break
        name = space.key(architecture)
        if name not in known:
            known[name] = score(architecture)
        tried.append((architecture, known[name]))
        strategy.observe(Trial(number=number, architecture=architecture, state=State.COMPLETED, scores=(known[name],)))
    return tried
