"""Looks for questions that a plain `if` hides, by giving other answers and seeing what is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from lanista.errors import InvalidMutation, LanistaError, SpaceError
from lanista.space.context import HOW_TO_CONDITION, HOW_TO_FIX_CANDIDATES, Trace
from lanista.space.domain import Categorical, Domain, Integer, Value

PROBE_SECONDS = 1.0
"""How long tracing looks for questions that appear only with some answers. `build` finds the others."""

PROBED_VALUES = 8
"""How many values of one decision such a probe tries."""

UNBUILDABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What constructors raise on the meta device, or for answers that do not go together."""


def probe(traced: Trace, again: Callable[[Mapping[str, Value]], Trace]) -> None:
    """Compare a trace with others in which one decision that the user's code sees has another answer.

    Args:
        traced: all answers are defaults.
        again: traces with these answers instead of defaults.

    Raises:
        SpaceError: a question appears, vanishes or changes with an answer.
    """
    deadline = time.monotonic() + PROBE_SECONDS
    for label, question in traced.questions.items():
        for value in _others(question.domain) if question.seen else ():
            if time.monotonic() > deadline:
                return
            try:
                probed = again({label: value})
            except InvalidMutation:
                continue  # an edit that is illegal with this answer: what builds it is told so
            except LanistaError:
                raise
            except UNBUILDABLE:
                continue  # this answer does not go with the defaults of the others
            _compare(traced, probed, label, value)
            _compare(probed, traced, label, question.domain.default())


def _others(domain: Domain) -> list[Value]:
    """Some values beside the default, ends first."""
    if not isinstance(domain, Categorical | Integer):
        return []
    values = domain.grid()
    # The default is the first.
    return [values[i] for i in dict.fromkeys((len(values) - 1, *range(1, min(len(values), PROBED_VALUES)))) if i]


def _compare(before: Trace, after: Trace, label: str, value: Value) -> None:
    """Raise SpaceError if `after`, in which `label` has this value, asked other questions than `before`."""
    for name, question in after.questions.items():
        said = f"decision {name!r}, asked at {question.place},"
        when = f"with some answers to {label!r} (such as {value!r})"
        if name not in before.questions:
            raise SpaceError(f"{said} appears only {when}. {HOW_TO_CONDITION}")
        other = before.questions[name].domain
        if question.domain != other:
            raise SpaceError(
                f"{said} allows {question.domain.describe()} {when}, and {other.describe()} with others. "
                f"{HOW_TO_FIX_CANDIDATES}"
            )
