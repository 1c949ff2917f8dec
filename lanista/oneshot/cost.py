"""`Penalty`: the price of what an architecture is expected to cost, in the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lanista.errors import OneShotError
from lanista.model import Quantity
from lanista.oneshot.network import Network
from lanista.space.domain import Value, key
from lanista.space.limit import Sum, Term
from lanista.space.search import SearchSpace

COMBINATIONS = 20_000
"""How many combinations of answers one term of a cost may have."""


@dataclass
class Factor:
    """A term of a cost: amounts of combinations of answers, and which probabilities make each combination.

    Attributes:
        amounts: of shape (combinations,).
        options: positions in the list of all probabilities, of shape (combinations, answers); the last position of the
            list is 1, for combinations of fewer answers.
    """

    amounts: Tensor
    options: Tensor


class Penalty:
    """Makes costly architectures worse in the loss of a differentiable method.

    The cost is expected over the probabilities of the options, and exact: it is a sum over decisions (see
    `ModelSpace.cost`). With `form="multiply"` the loss is multiplied by (cost / target) ** weight, as MnasNet's reward
    is and ProxylessNAS' (https://arxiv.org/abs/1812.00332); "add" adds weight * max(0, cost / target - 1); "log" is
    FBNet's (https://arxiv.org/abs/1812.03443): the loss is multiplied by weight * log(1 + cost / target) + 1.
    What is multiplied must not be below 0: give "add" for losses that can be.

    Args:
        quantity: such as `lanista.profile.flops`; or a measured one that is a sum, as a latency table is.
        target: the amount that is compared with, in the quantity's unit, above 0.
        weight: how much it counts, above 0.
        form: see above.

    Raises:
        OneShotError: an argument is out of range.
    """

    def __init__(
        self,
        quantity: Quantity,
        target: float,
        *,
        weight: float = 0.1,
        form: Literal["add", "multiply", "log"] = "multiply",
    ) -> None:
        if not target > 0 or not weight > 0:
            raise OneShotError(f"target is {target!r} and weight {weight!r}; both must be above 0")
        if form not in ("add", "multiply", "log"):
            raise OneShotError(f"form is {form!r}; it must be 'add', 'multiply' or 'log'")
        self.quantity, self.target, self.weight, self.form = quantity, target, weight, form
        self._names: list[str] = []
        self._factors: list[Factor] = []
        self._constant = 0.0

    def __repr__(self) -> str:
        return f"Penalty({self.quantity.name}, {self.target:g}, weight={self.weight:g}, form={self.form!r})"

    def start(self, network: Network) -> None:
        """Learn what the options of a network cost.

        Raises:
            OneShotError: the cost is no sum over decisions, or over some that are not decided one by one.
        """
        space = network.supernet.space
        cost = space.cost(self.quantity)
        if not isinstance(cost, Sum):
            raise OneShotError(
                f"{self.quantity.name} of this space is no sum over its decisions, so its expectation is not known; "
                "give a quantity that is (flops, parameters, a latency table), or a limit: space.constrain(...)"
            )
        positions: dict[tuple[str, object], int] = {}
        self._names = []
        for name, relaxation in network.relaxations.items():
            if relaxation.labels == (name,) and relaxation.rows == 1 and relaxation.drawn == 1:
                for option in range(relaxation.options):
                    row = [[float(option == other) for other in range(relaxation.options)]]
                    positions[name, key(relaxation.pick(row)[name])] = len(positions)
                self._names.append(name)
        self._constant = cost.constant
        factors = [_factor(space.decisions, term, positions, self.quantity.name) for term in cost.terms]
        device = network.supernet.device
        self._factors = [Factor(one.amounts.to(device), one.options.to(device)) for one in factors]

    def expected(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The expected cost, a scalar, by the probabilities of shape (1, options) of each relaxation."""
        flat = [probabilities[name].flatten() for name in self._names]
        device = flat[0].device if flat else torch.device("cpu")
        everything = torch.cat([*flat, torch.ones(1, device=device)])
        total = torch.full((), self._constant, device=device)
        for factor in self._factors:
            shares = everything[factor.options.to(device)].prod(1)
            total = total + (shares * factor.amounts.to(device)).sum()
        return total

    def __call__(self, loss: Tensor, probabilities: Mapping[str, Tensor]) -> Tensor:
        """The loss with its price.

        Raises:
            OneShotError: the loss is below 0, and is to be multiplied: what is costly would be better then.
        """
        ratio = self.expected(probabilities).to(loss.device) / self.target
        if self.form == "add":
            return loss + self.weight * (ratio - 1).clamp(min=0)
        if loss < 0:
            raise OneShotError(
                f"the loss is {float(loss.detach()):.4g}, and {self!r} multiplies it: below 0, a costly architecture "
                'would be better than a cheap one; give form="add"'
            )
        if self.form == "log":
            return loss * (self.weight * torch.log1p(ratio) + 1)
        return loss * ratio**self.weight


def _factor(space: SearchSpace, term: Term, positions: Mapping[tuple[str, object], int], name: str) -> Factor:
    """All combinations of the answers that a term depends on, and of those that say whether its decisions exist."""
    decisions = {decision.label: decision for decision in space}
    needed: set[str] = set()
    waiting = list(term.labels)
    while waiting:
        label = waiting.pop()
        if label not in needed:
            needed.add(label)
            waiting += [parent for clause in decisions[label].when for parent in clause]
    combinations: list[dict[str, Value]] = [{}]
    for decision in space:
        if decision.label not in needed:
            continue
        grown = []
        for known in combinations:
            exists = not decision.when or any(
                all(p in known and key(known[p]) in set(map(key, values)) for p, values in clause.items())
                for clause in decision.when
            )
            grown += [{**known, decision.label: value} for value in decision.domain.grid()] if exists else [known]
        combinations = grown
        if len(combinations) > COMBINATIONS:
            raise OneShotError(f"{name} depends on {sorted(needed)} together: too many combinations for an expectation")
    rows, one = [], len(positions)
    width = max(map(len, combinations))
    for combination in combinations:
        row = []
        for label, value in combination.items():
            if (label, key(value)) not in positions:
                raise OneShotError(
                    f"{name} depends on {label!r}, which is not decided by itself; its expected cost is not known. "
                    "Use a limit: space.constrain(...)"
                )
            row.append(positions[label, key(value)])
        rows.append(row + [one] * (width - len(row)))
    amounts = [term.amount(term.key(combination)) for combination in combinations]
    return Factor(torch.tensor(amounts), torch.tensor(rows))
