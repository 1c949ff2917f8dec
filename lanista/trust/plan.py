"""Which architectures of a search are evaluated for real, and what follows from them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from lanista.errors import ExperimentError, SpaceError
from lanista.objective import best
from lanista.space.domain import Architecture, is_number
from lanista.space.search import SearchSpace
from lanista.trial import State, Trial
from lanista.trust.assessment import LEAST
from lanista.trust.budget import random_search
from lanista.trust.noise import between_seeds
from lanista.trust.record import Trust, examine

DRAWS = 50
"""So many draws for each new architecture, before a space counts as having no more."""


@final
@dataclass(frozen=True)
class Plan:
    """What is evaluated for real.

    Attributes:
        searched: trials of the search, drawn at random, each architecture once.
        drawn: as many new random architectures, as far as there are so many, which need the proxy's score too.
        chosen: the search's best trial.
        repeated: positions in `real` of the architectures that are evaluated once more, with another seed.
    """

    searched: tuple[Trial, ...]
    drawn: tuple[Architecture, ...]
    chosen: Trial
    repeated: tuple[int, ...]

    @property
    def once(self) -> list[Architecture]:
        """All architectures: of the search, new ones, and the best one."""
        return [*(trial.architecture for trial in self.searched), *self.drawn, self.chosen.architecture]

    @property
    def real(self) -> list[Architecture]:
        """What is evaluated for real, in order."""
        return [*self.once, *(self.once[position] for position in self.repeated)]


def plan(trials: Sequence[Trial], space: SearchSpace, fraction: float, seed: int) -> Plan:
    """Choose what to evaluate for real.

    Half are trials of the search, so that the verdict is about what it looked at, and half are new random
    architectures, which say what the space has and what random search would find. The best trial is evaluated in any
    case. One in ten, and at least two (the best one and others), are evaluated once more, for the noise.

    Args:
        trials: of the search, scored.
        space: whose random draws are the new architectures.
        fraction: of the completed trials, in (0, 1]: how many architectures; at least 10 in all.
        seed: of the choice.

    Raises:
        ExperimentError: `fraction` is out of range, or fewer than 10 different architectures were completed.
    """
    if not is_number(fraction) or not 0 < fraction <= 1:
        raise ExperimentError(f"fraction is {fraction!r}; give a number above 0 and at most 1, such as 0.05")
    completed = [trial for trial in trials if trial.state is State.COMPLETED]
    known = list({space.key(trial.architecture): trial for trial in reversed(completed)}.values())[::-1]
    if len(known) < LEAST:
        raise ExperimentError(
            f"{len(known)} different architectures were completed; trust needs at least {LEAST}: run more trials"
        )
    rng = random.Random(f"trust {seed}")
    count = max(LEAST, round(fraction * len(completed)))
    searched = rng.sample(known, min(count - count // 2, len(known)))
    drawn = _new(space, [trial.architecture for trial in searched], count // 2, rng)
    total = len(searched) + len(drawn)
    others = rng.sample(range(total), max(1, round(count / 10) - 1))
    return Plan(tuple(searched), tuple(drawn), best(completed, 1)[0], (total, *sorted(others)))


def _new(space: SearchSpace, known: Sequence[Architecture], count: int, rng: random.Random) -> list[Architecture]:
    """Random architectures that are not known, each once; fewer than asked for where the space has no more."""
    keys = {space.key(architecture) for architecture in known}
    drawn: list[Architecture] = []
    for _ in range(DRAWS * count):
        if len(drawn) == count:
            break
        architecture = space.sample(rng)
        if space.key(architecture) not in keys:
            keys.add(space.key(architecture))
            drawn.append(architecture)
    return drawn


def conclude(
    plan: Plan,
    trials: Sequence[Trial],
    proxied: Sequence[Trial],
    real: Sequence[Trial],
    parameters: Callable[[Architecture], float],
    *,
    title: str,
    proxy_name: str,
    real_name: str,
) -> Trust:
    """Put together what the evaluations say.

    Args:
        plan: what was evaluated.
        trials: of the search, for their cost and number.
        proxied: trials of `plan.drawn` under the proxy, in order.
        real: trials of `plan.real` under the real thing, in order.
        parameters: the parameter count of an architecture; SpaceError where it is not known.
        title, proxy_name, real_name: for the reader.

    Raises:
        ExperimentError: so many evaluations failed that nothing can be said.
    """
    scores = [*(trial.scores for trial in plan.searched), *(trial.scores for trial in proxied), plan.chosen.scores]
    once, again = real[: len(plan.once)], real[len(plan.once) :]
    kept = [position for position, trial in enumerate(once) if trial.scores and scores[position]]
    if len(kept) < LEAST:
        failed = next((trial.reason for trial in [*real, *proxied] if trial.state is State.FAILED), "none failed")
        raise ExperimentError(
            f"only {len(kept)} of {len(once)} architectures have a real score, {LEAST} are needed; the first error: "
            f"{failed}"
        )
    index = {position: place for place, position in enumerate(kept)}
    values = [once[position].scores[0] for position in kept]
    repeats = {
        index[position]: [once[position].scores[0], trial.scores[0]]
        for position, trial in zip(plan.repeated, again, strict=True)
        if trial.scores and position in index
    }
    noise = between_seeds(values, repeats) if len(repeats) > 1 else None
    last = len(plan.once) - 1
    new = [once[position].scores[0] for position in kept if len(plan.searched) <= position < last]
    each = [trial.duration for trial in real if trial.scores and trial.duration]
    spent = math.fsum(trial.duration or 0.0 for trial in [*trials, *proxied, *real])
    chosen = once[last].scores
    search = None
    if len(new) > 1 and each and spent > 0 and chosen:
        search = random_search(
            new,
            each=math.fsum(each) / len(each),
            spent=spent,
            chosen=chosen[0],
            deviation=(noise.deviation.value or 0.0) if noise else 0.0,
        )
    # The best one is a choice, not a draw: it is compared with random search, and is no part of the correlations.
    drawn = [position for position in kept if position != last]
    labels = [f"trial {trial.number}" for trial in plan.searched] + [json.dumps(one) for one in plan.drawn]
    lost = len(once) - len(kept)
    notes = [
        f"{len(plan.searched)} architectures are trials of the search, drawn at random, and {len(plan.drawn)} are new "
        f"random architectures; the search's best trial, number {plan.chosen.number}, was evaluated too.",
        *([f"{lost} evaluations failed and are left out."] if lost else []),
    ]
    try:
        counts = [parameters(plan.once[position]) for position in drawn]
    except SpaceError as error:  # layers whose sizes an example input would tell
        counts = None
        notes.append(f"Parameter counts are not known: {error}.")
    return examine(
        [scores[position][0] for position in drawn],
        [once[position].scores[0] for position in drawn],
        counts,
        labels=[labels[position] for position in drawn],
        noise=noise,
        search=search,
        title=title,
        proxy_name=proxy_name,
        real_name=real_name,
        notes=notes,
    )
