"""The pure-data side of a model space: domains, decisions, conditions, architectures. No torch."""

from lanista.space.context import choice, integer, real
from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical, Domain, Integer, Real, Subset, Value
from lanista.space.search import SearchSpace

__all__ = [
    "Architecture",
    "Categorical",
    "Decision",
    "Domain",
    "Integer",
    "Real",
    "SearchSpace",
    "Subset",
    "Value",
    "choice",
    "integer",
    "real",
]
