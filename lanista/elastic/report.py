"""`Report`: what of a model is searchable, what is not, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lanista.elastic.plan import Cut, Stage


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: how many numbers are learned.
        macs: multiply-accumulate operations of a forward pass on the example input; None where nobody can count.
    """

    parameters: int
    macs: int | None

    def __str__(self) -> str:
        macs = "" if self.macs is None else f", {self.macs:,} multiply-accumulates"
        return f"{self.parameters:,} parameters{macs}"


@dataclass(frozen=True)
class Report:
    """How a model became a space; `str` of it is a table.

    Attributes:
        decisions: about channels and heads (`Cut`), and about depths (`Stage`).
        fixed: path of each layer with weights that keeps its own channels, and why. (Its inputs may follow those of
            other layers, and depth may drop it.)
        difference: the greatest absolute difference between the outputs of the full-size sample and of the original
            on the example input; None where the model has no values (it is on the meta device).
        full: what the full-size sample costs.
        least: what the smallest sample costs.
    """

    decisions: tuple[Cut | Stage, ...]
    fixed: Mapping[str, str]
    difference: float | None
    full: Cost
    least: Cost

    def summary(self) -> str:
        """A few lines: how many decisions, what is fixed and why, the difference, the range of costs."""
        kinds: dict[str, int] = {}
        for decision in self.decisions:
            kind = decision.kind if isinstance(decision, Cut) else "depth"
            kinds[kind] = kinds.get(kind, 0) + 1
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines = [
            f"searchable: {counted}; smallest: {self.least}; full: {self.full}",
            "the full-size sample is not compared with the original: the model has no values"
            if self.difference is None
            else f"full-size sample and original differ by at most {self.difference:.3g}",
        ]
        reasons: dict[str, list[str]] = {}
        for layer, reason in self.fixed.items():
            reasons.setdefault(reason, []).append(layer)
        if reasons:
            lines.append("layers with weights that keep their own channels:")
        lines += [f"  {_few(layers)}: {reason}" for reason, layers in reasons.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        width = max((len(decision.label) for decision in self.decisions), default=0)
        rows = []
        for decision in self.decisions:
            if isinstance(decision, Cut):
                after = f"; read by {_list(decision.followers)}" if decision.followers else ""
                what = f"{_list(decision.layers)}{after}"
            else:
                what = f"blocks of {decision.path or 'the model'}"
            candidates = ", ".join(map(str, decision.candidates))
            rows.append(f"{decision.label:{width}}  {candidates}  [{what}]")
        return "\n".join([*rows, self.summary()])


def _list(layers: Sequence[str]) -> str:
    return ", ".join(layer or "(the model itself)" for layer in layers)


def _few(layers: Sequence[str]) -> str:
    return _list(layers) if len(layers) <= 4 else f"{_list(layers[:3])} and {len(layers) - 3} more"
