"""The laws that every strategy keeps: each takes a maker of fresh strategies, and raises AssertionError.

With pytest: `@pytest.mark.parametrize("law", strategy_laws(optimises=True))`, and `law(MyStrategy)` in the
test. A failure names the law, the strategy, the space and the seed. Most laws look at the first 40 trials:
give small settings to a strategy that learns only after more, `lambda: MyStrategy(population_size=10)`.

`drive` runs a strategy against a function, for these laws and for benchmarks.
"""

from __future__ import annotations

import copy
import json
import random
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import torch

from lanista.space.decision import Decision
from lanista.space.domain import Architecture, Categorical, Integer, Real, Subset
from lanista.space.limit import Limit, Sum, Term
from lanista.space.search import SearchSpace
from lanista.strategy.base import Strategy
from lanista.trial import State, Trial

Factory = Callable[[], Strategy]
"""Makes a strategy with the same settings at each call."""

Law = Callable[[Factory], None]

Objective = Callable[[Architecture], float | tuple[float, ...]]
"""A synthetic evaluation: one score or several, greater is better."""

Fate = Callable[[int], State]
"""How the trial of a number ends. RUNNING: it was interrupted for good, and is never observed."""

_LIMITED = SearchSpace(
    [
        *(Decision(f"op{i}", Categorical(["conv", "pool", "skip"])) for i in range(6)),
        *(Decision(f"kernel{i}", Categorical([3, 5]), {f"op{i}": ["conv"]}) for i in range(6)),
    ]
).constrain(
    Limit(
        Sum(
            "parameters",
            [
                Term(
                    [f"op{i}", f"kernel{i}"],
                    [({f"op{i}": op}, 0) for op in ("pool", "skip")]
                    + [({f"op{i}": "conv", f"kernel{i}": kernel}, kernel * kernel) for kernel in (3, 5)],
                )
                for i in range(6)
            ],
        ),
        least=9,
        most=50,
    ),
    lambda architecture: architecture["op0"] != "skip",
)

SPACES = {
    "flat": SearchSpace({f"layer{i}": Categorical(range(5)) for i in range(6)}),
    "nested": SearchSpace(
        [
            Decision("body", Categorical(["conv", "pool", "cell"])),
            Decision("kernel", Categorical([3, 5, 7]), {"body": ["conv"]}),
            Decision("width", Integer(8, 64, 8), [{"body": ["conv"]}, {"body": ["cell"]}]),
            Decision("op", Categorical(["sep", "skip"]), {"body": ["cell"]}),
            Decision("dilation", Categorical([1, 2]), {"op": ["sep"]}),
        ]
    ),
    "mixed": SearchSpace(
        {
            "rate": Real(1e-4, 1e-1, log=True),
            "dropout": Real(0.0, 0.5),
            "depth": Integer(1, 100, log=True),
            "inputs": Subset(["a", "b", "c", "d"], 2),
            "skips": Subset(["x", "y", "z"]),
            "bias": Categorical([True, False]),
            "shape": Categorical([[1, 3], [3, 1]]),
        }
    ),
    "tiny": SearchSpace(
        [
            Decision("op", Categorical(["conv", "pool"])),
            Decision("kernel", Categorical([3, 5]), {"op": ["conv"]}),
        ]
    ),
    "limited": _LIMITED,
    "single": SearchSpace({"op": Categorical(["conv"]), "inputs": Subset(["a"], 1)}),
    "empty": SearchSpace(),
}
"""The spaces that the laws are tried on, by name."""

SEEDS = (0, 1)
TRIALS = 40

EXHAUSTIBLE = 100
"""The largest space in which a strategy is driven until it should have proposed everything."""

IMPROVEMENT_TRIALS = 300
"""Budget in which a strategy that optimises has to get better than chance on the space "flat"."""


def drive(
    strategy: Strategy,
    space: SearchSpace,
    objective: Objective,
    trials: int,
    *,
    parallel: int = 1,
    seed: int = 0,
    fail: Fate | None = None,
) -> list[Trial]:
    """Search `space` as an experiment would, with `objective` in place of training.

    Args:
        strategy: is reset first.
        space: what to search.
        objective: called once for each trial that completes.
        trials: the search ends after so many proposals, or earlier if the strategy has no more.
        parallel: number of open proposals, at least 1; they end in random order.
        seed: of the strategy, and of the order in which trials end.
        fail: how each trial ends, by its number; default: all complete.

    Returns:
        The ended trials in the order in which they ended.
    """
    history = _record(strategy, space, objective, trials, parallel=parallel, seed=seed, fail=fail)
    return [trial for trial in history if trial.state is not State.RUNNING]


def _record(
    strategy: Strategy,
    space: SearchSpace,
    objective: Objective,
    trials: int,
    *,
    parallel: int = 1,
    seed: int = 0,
    fail: Fate | None = None,
) -> list[Trial]:
    """As `drive`, with all that happened: a running trial is a proposal, an ended one an observation."""
    order = random.Random(f"order {seed}")  # not the numbers that the strategy gets from the same seed
    strategy.reset(space, seed)
    history: list[Trial] = []
    waiting: list[Trial] = []
    number, exhausted = 0, False
    while True:
        while not exhausted and number < trials and len(waiting) < parallel:
            try:
                architecture = strategy.propose()
            except StopIteration:
                exhausted = True
                break
            # A copy: what the strategy does to its own afterwards does not change what happened.
            waiting.append(Trial(number=number, architecture=copy.deepcopy(architecture)))
            history.append(waiting[-1])
            number += 1
        if not waiting:
            return history
        running = waiting.pop(order.randrange(len(waiting)))
        state = State.COMPLETED if fail is None else fail(running.number)
        if state is State.RUNNING:
            continue
        ended = _ended(running.number, copy.deepcopy(running.architecture), objective, state)
        history.append(ended)
        strategy.observe(copy.deepcopy(ended))


# --- the laws ---------------------------------------------------------------------------------------------


def proposals_are_canonical(make: Factory) -> None:
    """Every proposal has a value for each active decision and no other, in canonical form, and keeps all limits."""
    for case in _cases("proposals are valid and canonical", make):
        with case:
            _check_canonical(case, _record(case.strategy, case.space, hashed, TRIALS, seed=case.seed))


def replay_continues(make: Factory) -> None:
    """A fresh strategy that is shown the history up to any point goes on as the first one did.

    The history went through JSON, as it does in a storage.
    """
    for case in _cases("a replayed strategy goes on like an uninterrupted one", make):
        with case:
            history = _record(case.strategy, case.space, hashed, TRIALS, parallel=3, seed=case.seed, fail=some_fail)
            for cut in (len(history), random.Random(case.seed).randrange(len(history))):
                fresh = make()
                fresh.reset(case.space, case.seed)
                _follow(fresh, map(_stored, history[:cut]), f"while {cut} events were replayed")
                _follow(fresh, history[cut:], f"after {cut} events were replayed")


def seed_decides(make: Factory) -> None:
    """Two strategies with one seed agree, also when their calls alternate and one of them was used before."""
    for case in _cases("strategies with equal seeds agree, and do not share state", make):
        with case:
            history = _record(case.strategy, case.space, hashed, TRIALS, parallel=2, seed=case.seed)
            one, two = make(), make()
            drive(one, SPACES["nested"], hashed, TRIALS, seed=case.seed + 100)
            for strategy in (one, two):
                strategy.reset(case.space, case.seed)
            for event in history:
                _follow(one, [event], "in a strategy that was used, and reset")
                _follow(two, [event], "in one that takes turns with another")


def seeds_differ(make: Factory) -> None:
    """Different seeds give different proposals where there are many architectures."""
    for name in ("flat", "mixed"):
        with _Case("different seeds give different proposals", make(), name, 0) as case:
            one, two = (drive(make(), case.space, hashed, 10, seed=seed) for seed in (0, 1))
            _require(
                [trial.architecture for trial in one] != [trial.architecture for trial in two],
                "seeds 0 and 1 gave the same 10 proposals",
            )


def global_generators_rest(make: Factory) -> None:
    """The global generators of `random`, NumPy and torch are neither used nor seeded."""
    for case in _cases("the global random generators are left alone", make):
        with case:
            before = _global_states()
            drive(case.strategy, case.space, hashed, TRIALS, seed=case.seed)
            touched = [name for name, state in _global_states().items() if state != before[name]]
            _require(not touched, f"{', '.join(touched)} was used or seeded; draw from a generator of your own")


def failures_are_survived(make: Factory) -> None:
    """Failed and pruned trials, some or all of them, leave a strategy that proposes."""
    fates: dict[str, Fate] = {
        "all failed": lambda number: State.FAILED,
        "all pruned": lambda number: State.PRUNED,
        "some failed": some_fail,
    }
    for what, fate in fates.items():
        for case in _cases(f"failed and pruned trials are survived ({what})", make):
            with case:
                history = _record(case.strategy, case.space, hashed, TRIALS, seed=case.seed, fail=fate)
                _check_canonical(case, history)


def order_is_free(make: Factory) -> None:
    """Several open proposals may end in any order, and some may never end."""
    for case in _cases("open proposals end in any order, or never", make):
        with case:
            history = _record(
                case.strategy,
                case.space,
                hashed,
                TRIALS,
                parallel=7,
                seed=case.seed,
                fail=lambda number: State.RUNNING if number % 5 == 3 else State.COMPLETED,
            )
            _check_canonical(case, history)


def exhaustion_is_final(make: Factory) -> None:
    """A strategy that has no more says StopIteration, and stays with it."""
    for case in _cases("after StopIteration comes StopIteration", make):
        # What has more architectures than this is not exhausted in a test: its spaces are tried with a few trials only.
        trials = int(4 * case.space.size) if case.space.size <= EXHAUSTIBLE else TRIALS
        with case:
            history = _record(case.strategy, case.space, hashed, trials, parallel=2, seed=case.seed)
            if sum(event.state is State.RUNNING for event in history) == trials:
                continue
            for _ in range(2):
                try:
                    proposal = case.strategy.propose()
                except StopIteration:
                    continue
                raise AssertionError(f"it had no more, and then proposed {proposal!r}")


def objectives_may_be_several(make: Factory) -> None:
    """Two objectives that contradict each other are no obstacle."""
    for case in _cases("several objectives are handled", make):
        with case:
            history = _record(
                case.strategy,
                case.space,
                lambda architecture: (hashed(architecture), -hashed(architecture)),
                TRIALS,
                parallel=2,
                seed=case.seed,
            )
            _check_canonical(case, history)


def scores_improve(make: Factory) -> None:
    """The last third of 300 trials beats chance, whichever way is up, and with objectives that agree."""
    objectives: dict[str, Objective] = {
        "the greater the sum of answers, the better": slope,
        "the smaller the sum of answers, the better": lambda architecture: -slope(architecture),
        "two objectives that agree": lambda architecture: (slope(architecture), 2 * slope(architecture)),
    }
    for what, objective in objectives.items():
        for seed in SEEDS:
            with _Case(f"scores improve ({what})", make(), "flat", seed) as case:
                last = drive(case.strategy, case.space, objective, IMPROVEMENT_TRIALS, seed=seed)
                reached = statistics.fmean(trial.scores[0] for trial in last[-len(last) // 3 :])
                # Five standard deviations of the mean of 100 random trials: no luck gets there.
                wanted = _better_than_chance(case.space, objective, 0.5)
                _require(
                    reached > wanted,
                    f"the last third of {len(last)} trials scores {reached:.3f} on average; "
                    f"half a standard deviation better than random would be {wanted:.3f}",
                )


def foreign_trials_are_survived(make: Factory) -> None:
    """Trials that it never proposed, before and between its own, leave a strategy that proposes, and that replays."""
    for case in _cases("trials that it never proposed are survived", make):
        with case:
            strategies = [case.strategy, make()]
            rounds: list[list[Architecture]] = [[], []]
            for strategy, proposals in zip(strategies, rounds, strict=True):
                strategy.reset(case.space, case.seed)
                for trial in foreign(case.space, hashed, TRIALS, seed=case.seed):
                    strategy.observe(trial)
                    try:
                        proposals.append(strategy.propose())
                    except StopIteration:
                        continue
                    number = len(proposals)
                    if number % 3:
                        strategy.observe(_ended(number, proposals[-1], hashed, State.COMPLETED))
            _require(rounds[0] == rounds[1], "with the same trials to observe it did not propose the same again")
            if rounds[0]:
                _check_canonical(case, [Trial(number=n, architecture=a) for n, a in enumerate(rounds[0])])


def foreign_trials_teach(make: Factory) -> None:
    """The first proposals after 300 trials of others beat chance: with the best of these at hand, that is easy."""
    law, space = "trials that it never proposed teach it", SPACES["flat"]
    strategy, reached = make(), []
    for seed in range(5):
        with _Case(law, strategy, "flat", seed):
            strategy.reset(space, seed)
            for trial in foreign(space, slope, IMPROVEMENT_TRIALS, seed=seed):
                strategy.observe(trial)
            reached += [slope(strategy.propose()) for _ in range(20)]
    with _Case(law, strategy, "flat", 0):
        # Three standard deviations of the mean of 100 random trials.
        wanted, mean = _better_than_chance(space, slope, 0.3), statistics.fmean(reached)
        _require(
            mean > wanted,
            f"the first 20 proposals after {IMPROVEMENT_TRIALS} trials of others score {mean:.3f} on average of "
            f"5 seeds; 0.3 standard deviations better than random would be {wanted:.3f}",
        )


def strategy_laws(*, optimises: bool = False, seeded: bool = True) -> tuple[Law, ...]:
    """The laws for a strategy.

    Args:
        optimises: it claims to find better architectures than random search.
        seeded: its proposals depend on the seed.
    """
    laws: tuple[Law, ...] = (
        proposals_are_canonical,
        replay_continues,
        seed_decides,
        global_generators_rest,
        failures_are_survived,
        order_is_free,
        exhaustion_is_final,
        objectives_may_be_several,
        foreign_trials_are_survived,
    )
    return laws + (seeds_differ,) * seeded + (scores_improve, foreign_trials_teach) * optimises


# --- what they are tried with -----------------------------------------------------------------------------


def slope(architecture: Architecture) -> float:
    """The sum of all answers of the space "flat", from 0 to 24: as easy as a problem can be."""
    return float(sum(architecture.values()))


def hashed(architecture: Architecture) -> float:
    """A score in [0, 1) without any pattern, equal for equal architectures."""
    return random.Random(json.dumps(architecture, sort_keys=True)).random()


def foreign(space: SearchSpace, objective: Objective, trials: int, *, seed: int = 0) -> list[Trial]:
    """Ended trials of another search: random ones, that looked at no limit; some failed, some were pruned."""
    rng, unlimited = random.Random(seed), SearchSpace(space)
    return [_ended(number, unlimited.sample(rng), objective, some_fail(number)) for number in range(trials)]


def some_fail(number: int) -> State:
    """Of five trials, one fails and one is pruned."""
    return (State.COMPLETED, State.FAILED, State.COMPLETED, State.PRUNED, State.COMPLETED)[number % 5]


@dataclass(frozen=True)
class _Case:
    """A law, tried on a fresh strategy, a space and a seed; what goes wrong inside becomes its message."""

    law: str
    strategy: Strategy
    name: str
    seed: int

    @property
    def space(self) -> SearchSpace:
        return SPACES[self.name]

    def __enter__(self) -> _Case:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            what = str(error) if isinstance(error, AssertionError) else f"it raised {error!r}"
            raise AssertionError(
                f"{self.strategy!r} breaks the law {self.law!r} on the space {self.name!r} "
                f"with seed {self.seed}: {what}"
            ) from error


def _cases(law: str, make: Factory) -> Iterator[_Case]:
    for name in SPACES:
        for seed in SEEDS:
            yield _Case(law, make(), name, seed)


def _require(condition: bool, message: str) -> None:
    # Not `assert`: these laws hold under `python -O` too.
    if not condition:
        raise AssertionError(message)


def _check_canonical(case: _Case, history: list[Trial]) -> None:
    _require(bool(history), "there was no proposal at all")
    for trial in history:
        canonical = case.space.validate(trial.architecture)
        # Equal as JSON, or 1 would pass for True; equal as Python, or a tuple would pass for a list.
        _require(
            json.dumps(canonical) == json.dumps(trial.architecture) and canonical == trial.architecture,
            f"proposal {trial.number} is {trial.architecture!r}; canonical would be {canonical!r}",
        )
        missed = case.space.violations(canonical)
        _require(not missed, f"proposal {trial.number} is {canonical!r}, which misses a limit: {'; '.join(missed)}")


def _follow(strategy: Strategy, history: Iterable[Trial], when: str) -> None:
    """Show `strategy` what happened, and see that it proposes what was proposed."""
    for trial in history:
        if trial.state is not State.RUNNING:
            strategy.observe(copy.deepcopy(trial))
            continue
        proposal = strategy.propose()
        _require(
            proposal == trial.architecture,
            f"proposal {trial.number} was {trial.architecture!r}; {when} it is {proposal!r}",
        )


def _stored(trial: Trial) -> Trial:
    return replace(trial, architecture=json.loads(json.dumps(trial.architecture)))


def _global_states() -> dict[str, object]:
    return {
        "random": random.getstate(),
        "numpy.random": repr(np.random.get_state()),
        "torch": torch.get_rng_state().tolist(),
    }


def _ended(number: int, architecture: Architecture, objective: Objective, state: State) -> Trial:
    if state is not State.COMPLETED:
        error = "failed on purpose" if state is State.FAILED else None
        return Trial(number=number, architecture=architecture, state=state, error=error)
    score = objective(architecture)
    scores = score if isinstance(score, tuple) else (score,)
    return Trial(number=number, architecture=architecture, state=state, scores=scores)


def _better_than_chance(space: SearchSpace, objective: Objective, deviations: float) -> float:
    """So many standard deviations of one random trial better than the mean of random trials."""
    chance = [_first(objective(space.sample(n))) for n in range(2000)]
    return statistics.fmean(chance) + statistics.stdev(chance) * deviations


def _first(score: float | tuple[float, ...]) -> float:
    return score[0] if isinstance(score, tuple) else score
