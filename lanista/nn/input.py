"""`InputChoice`: some of several tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from lanista.errors import SpaceError
from lanista.nn.mixture import Mixed, Relaxation, Strengths, one_of, strongest
from lanista.space.context import current
from lanista.space.domain import Architecture, Categorical, Domain, Subset, Value, is_integer

Reduction = Literal["sum", "mean", "concat", "none"]
REDUCTIONS = ("sum", "mean", "concat", "none")


def InputChoice(
    n_candidates: int | None = None,
    n_chosen: int | tuple[int, int] | None = 1,
    reduction: Reduction = "sum",
    *,
    names: Sequence[str] | None = None,
    prior: Sequence[float] | None = None,
    label: str | None = None,
) -> nn.Module:
    """Ask which of several tensors are used; a module comes back that takes a list of them and joins those.

    The module is plain torch (a generated `torch.fx.GraphModule`, such as `lambda inputs: inputs[0] +
    inputs[2]`). With one tensor chosen it returns that tensor as it is, whatever the reduction (except
    "none": a list of one). With none chosen (possible with `n_chosen=None` or 0) "sum" and "mean" give zeros
    like the first input, "concat" gives the first input cut to no channels, "none" an empty list.

    Args:
        n_candidates: length of the list it is called with. None: `len(names)`, or found out by running the
            model on the `example_input` of `ModelSpace`.
        n_chosen: how many are chosen; a pair: from the first to the second number of them; None: any number.
            With 1 the answer is one candidate, else a list of them.
        reduction: "sum", "mean", "concat" (along dimension 1, the channels), or "none" (a list).
        names: names of the candidates in architectures; default: the positions 0, 1, ....
        prior: a positive weight for each candidate: how often it is drawn, relative to the others (for several,
            see `lanista.space.Subset`). None: all equally often.
        label: name of the decision.

    Raises:
        SpaceError: counts do not fit, the reduction is unknown, or the label is taken by another domain.
    """
    if reduction not in REDUCTIONS:
        raise SpaceError(f"reduction is {reduction!r}; it must be one of {', '.join(map(repr, REDUCTIONS))}")
    if names is not None and n_candidates not in (None, len(names)):
        raise SpaceError(f"n_candidates is {n_candidates}, but there are {len(names)} names; give one of both")
    given = len(names) if names is not None else n_candidates
    if given is not None and not (is_integer(given) and given > 0):
        raise SpaceError(f"n_candidates is {given!r}; it must be an integer of at least 1, or None")
    if prior is not None and given is None:
        raise SpaceError("a prior needs to know its candidates; give n_candidates, too")
    context = current()
    label = context.name("InputChoice", label)
    count = context.inputs(label, given)
    _, most = _bounds(n_chosen, count, label)
    # While the number of candidates is not known, the first ones stand for all; that is also the default.
    options: Sequence[object] = names or range(count or max(most, 1))
    domain: Domain = Categorical(options, prior) if n_chosen == 1 else Subset(options, n_chosen, prior)
    answer = context.decide(label, domain)
    relaxation = context.relax(label, partial(_relaxation, label, domain), _obstacle(domain, reduction))
    module: nn.Module
    if relaxation is None:
        chosen = [list(options).index(name) for name in ([answer] if n_chosen == 1 else answer)]
        module = selection(chosen, reduction)
    else:
        module = MixedInput(relaxation, reduction, each=isinstance(domain, Subset) and len(domain.counts) > 1)
    context.answered(label, module)
    observe = context.observer(label) if count is None else None
    return module if observe is None else _observed(module, observe, label, most)


def _bounds(n_chosen: int | tuple[int, int] | None, count: int | None, label: str) -> tuple[int, int]:
    """The least and the greatest number that `n_chosen` allows, as far as that is known."""
    if n_chosen is None:
        return 0, count or 0
    bounds = n_chosen if isinstance(n_chosen, tuple | list) else (n_chosen, n_chosen)
    fits = len(bounds) == 2 and all(is_integer(n) for n in bounds)
    if not (fits and 0 <= bounds[0] <= bounds[1] <= (bounds[1] if count is None else count)):
        most = "" if count is None else f" to {count}"
        raise SpaceError(
            f"n_chosen of {label!r} is {n_chosen!r}; it must be None, an integer from 0{most}, or a pair (least, most)"
        )
    return bounds[0], bounds[1]


def selection(chosen: Sequence[int], reduction: Reduction) -> GraphModule:
    """A plain module that takes a list of tensors and joins those at the positions `chosen`."""
    graph = Graph()
    inputs = graph.placeholder("inputs")

    def call(function: Callable[..., object], *arguments: object) -> Node:
        return graph.call_function(function, arguments)  # type: ignore[arg-type]

    picked = [call(operator.getitem, inputs, position) for position in chosen]
    if reduction == "none":
        graph.output(picked)
    elif len(picked) == 1:
        graph.output(picked[0])
    elif reduction == "concat":
        none = call(operator.getitem, inputs, 0) if not picked else None
        graph.output(call(torch.cat, picked, 1) if none is None else call(torch.narrow, none, 1, 0, 0))
    elif not picked:
        graph.output(call(torch.zeros_like, call(operator.getitem, inputs, 0)))
    else:
        total = picked[0]
        for further in picked[1:]:
            total = call(operator.add, total, further)
        graph.output(total if reduction == "sum" else call(operator.truediv, total, len(picked)))
    return GraphModule(nn.Module(), graph, class_name="Selection")


def _obstacle(domain: Domain, reduction: Reduction) -> str | None:
    """Why these inputs cannot be mixed, if they cannot."""
    if isinstance(domain, Subset) and reduction in ("concat", "none"):
        return f"it chooses several inputs, and {reduction!r} of a mixture has no number of channels"
    if isinstance(domain, Subset) and domain.counts.stop == 1:
        return "it never chooses an input"
    return None


def _relaxation(label: str, domain: Domain) -> Relaxation:
    """One row whose options are the inputs; or, where their number is open too, a row (no, yes) for each input."""
    if isinstance(domain, Categorical):
        return one_of(label, domain.options)
    assert isinstance(domain, Subset)
    names, least, most = list(domain.options), domain.counts.start, domain.counts.stop - 1

    def position(architecture: Mapping[str, Value]) -> set[int]:
        return {names.index(name) for name in architecture.get(label, ())}

    if least == most:
        return Relaxation(
            label,
            1,
            len(names),
            (label,),
            lambda strengths: {label: [names[index] for index in strongest(strengths[0], least)]},
            lambda architecture: [[float(index in position(architecture)) for index in range(len(names))]],
            tuple(map(str, names)),
            drawn=least,
        )

    def pick(strengths: Strengths) -> Architecture:
        margins = [yes - no for no, yes in strengths]
        count = min(max(sum(margin >= 0 for margin in margins), least), most)
        return {label: [names[index] for index in strongest(margins, count)]}

    def place(architecture: Mapping[str, Value]) -> list[list[float]]:
        if label not in architecture:
            return [[0.0, 0.0] for _ in names]
        chosen = position(architecture)
        return [[float(index not in chosen), float(index in chosen)] for index in range(len(names))]

    return Relaxation(label, len(names), 2, (label,), pick, place, ("no", "yes"))


class MixedInput(Mixed):
    """All inputs at once.

    Args:
        relaxation: of one row, whose options are the inputs; or of a row (no, yes) for each input.
        reduction: as `InputChoice` has it.
        each: whether there is a row for each input.
    """

    def __init__(self, relaxation: Relaxation, reduction: Reduction, *, each: bool) -> None:
        super().__init__(relaxation)
        self.reduction, self.each = reduction, each

    def parts(self) -> dict[str, nn.Module]:
        return {}

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """The mixture of the inputs, which have one shape."""
        total, count = self._each(inputs) if self.each else self._some(inputs)
        if self.reduction == "mean":
            return total / count
        return [total] if self.reduction == "none" else total

    def _some(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor | int]:
        options = [partial(_nth, index) for index in range(self.relaxation.options)]
        return self.mixture.mix(0, options, *inputs), self.relaxation.drawn

    def _each(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor | int]:
        mixture, used = self.mixture, self.mixture.weights[:, 1]
        terms = [mixture.mix(row, [torch.zeros_like, _same], x) for row, x in enumerate(inputs)]
        if not mixture.exact or mixture.weights.requires_grad:
            # Where less than one input is used on the whole, the mean is that of zeros with it, as in an exact mixture.
            return sum(terms[1:], terms[0]), used.sum().clamp(min=1).to(terms[0].device)
        # Nothing is added where an input is left out.
        terms = [term for term, weight in zip(terms, used.tolist(), strict=True) if weight] or terms[:1]
        return sum(terms[1:], terms[0]), len(terms)


def _nth(index: int, *inputs: Tensor) -> Tensor:
    return inputs[index]


def _same(x: Tensor) -> Tensor:
    return x


def _observed(module: nn.Module, observe: Callable[[int], None], label: str, most: int) -> nn.Module:
    """Tell `observe` the length of the list that `module` is called with, from which `most` can be chosen."""

    def hook(_: nn.Module, positional: tuple[Sequence[Tensor], ...], named: dict[str, Sequence[Tensor]]) -> None:
        count = len([*positional, *named.values()][0])
        if count < most:
            raise SpaceError(f"n_chosen of {label!r} is {most}, but it is called with {count} inputs")
        observe(count)

    module.register_forward_pre_hook(hook, with_kwargs=True)
    return module
