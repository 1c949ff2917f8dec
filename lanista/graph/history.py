"""Records of what was done to a model: pure data, printable."""

from __future__ import annotations

from dataclasses import dataclass, field

from lanista.space.domain import Value


@dataclass(frozen=True)
class Edit:
    """One change of a graph.

    Attributes:
        operation: what was done: "replace", "update", "insert", "delete", "rewire" or "repeat".
        node: name of the node or section that it was done to.
        detail: the rest, in words, such as `ReLU() -> GELU()`.
    """

    operation: str
    node: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.operation} {self.node}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Mutation:
    """What one mutator did to a model.

    Attributes:
        mutator: its label.
        kind: name of its class.
        choices: the answers to the questions that it asked: label -> value.
        edits: what it changed, in order.
    """

    mutator: str
    kind: str
    choices: dict[str, Value] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        choices = ", ".join(f"{label}={value!r}" for label, value in self.choices.items())
        lines = [f"{self.mutator} ({self.kind}): {choices or 'no choices'}"]
        return "\n".join([*lines, *(f"  {edit}" for edit in self.edits or ("no edits",))])
