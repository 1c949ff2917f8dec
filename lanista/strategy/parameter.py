"""Decisions as Optuna's parameters, and back: what a domain is called in the study's language."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from lanista.space.domain import Domain, Integer, Real, Subset, Value, key, plain
from lanista.space.search import SearchSpace

COMBINATIONS = 50
"""A subset of a fixed number of candidates is one category for each combination, if there are no more than these."""

Params = Mapping[str, Any]
"""Optuna's values by the names of parameters."""


@dataclass(frozen=True)
class Parameters:
    """One decision as one or several parameters.

    Attributes:
        distributions: Optuna's domain of each parameter, by name.
        read: the canonical value that parameters mean. What they leave open is drawn from the generator.
        write: the parameters of a canonical value.
    """

    distributions: dict[str, BaseDistribution]
    read: Callable[[Params, Random], Value]
    write: Callable[[Value], dict[str, Any]]

    def ask(self, trial: Trial, rng: Random) -> Value:
        """The canonical value that the study suggests."""
        return self.read({name: _suggested(trial, name, d) for name, d in self.distributions.items()}, rng)


def parameters(space: SearchSpace) -> dict[str, Parameters]:
    """The parameters of each decision by its label, which is the parameter's name where one is enough.

    Weights of candidates (`prior`) have no counterpart in Optuna, and are not looked at.
    """
    taken = set(space.labels)

    def names(label: str) -> Iterator[str]:
        yield label
        number = 0
        while True:
            name = f"{label}[{number}]"
            number += 1
            while name in taken:
                name += "'"
            taken.add(name)
            yield name

    return {decision.label: _parameters(decision.domain, names(decision.label)) for decision in space}


def _parameters(domain: Domain, names: Iterator[str]) -> Parameters:
    label = next(names)
    match domain:
        case Real():
            return Parameters(
                {label: FloatDistribution(domain.low, domain.high, log=domain.log)},
                lambda params, rng: domain.parse(params[label]),
                lambda value: {label: value},
            )
        case Integer(log=True) if domain.step > 1:
            # Optuna has no logarithmic range in steps: a real number, rounded to a step, as in the domain's own draws.
            half = domain.step / 2
            last = domain.low + (domain.size - 1) * domain.step
            return Parameters(
                {label: FloatDistribution(max(domain.low - half, 0.5), last + half, log=True)},
                lambda params, rng: domain.nearest(params[label]),
                lambda value: {label: float(value)},
            )
        case Integer():
            last = domain.low + (domain.size - 1) * domain.step
            return Parameters(
                {label: IntDistribution(domain.low, last, log=domain.log, step=domain.step)},
                lambda params, rng: int(params[label]),
                lambda value: {label: value},
            )
        case Subset() if isinstance(domain.n_chosen, int) and domain.size <= COMBINATIONS:
            return _category(label, domain)
        case Subset():
            return _flags([next(names) for _ in domain.options], domain)
        case _:
            return _category(label, domain)


def _category(label: str, domain: Domain) -> Parameters:
    """One category for each value, named by its position: Optuna bears no lists, and takes 1 and True for equal."""
    values = list(domain.grid())
    index = {key(value): i for i, value in enumerate(values)}
    return Parameters(
        {label: CategoricalDistribution(range(len(values)))},
        lambda params, rng: plain(values[params[label]]),
        lambda value: {label: index[key(value)]},
    )


def _flags(names: list[str], domain: Subset) -> Parameters:
    """One yes or no for each candidate; where too many or too few say yes, random ones change their mind."""

    def read(params: Params, rng: Random) -> Value:
        chosen = {i for i, name in enumerate(names) if params[name]}
        while len(chosen) > domain.counts[-1]:
            chosen.remove(rng.choice(sorted(chosen)))
        while len(chosen) < domain.counts[0]:
            chosen.add(rng.choice([i for i in range(len(names)) if i not in chosen]))
        return [plain(domain.options[i]) for i in sorted(chosen)]

    def write(value: Value) -> dict[str, bool]:
        chosen = {key(option) for option in value}
        return {name: key(option) in chosen for name, option in zip(names, domain.options, strict=True)}

    return Parameters({name: CategoricalDistribution((False, True)) for name in names}, read, write)


def _suggested(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            return trial.suggest_int(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        case CategoricalDistribution():
            return trial.suggest_categorical(name, distribution.choices)
        case _:
            raise TypeError(f"{distribution!r} of parameter {name!r} is of no known kind")
