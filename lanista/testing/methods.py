"""The laws that every one-shot method keeps: each takes a maker of fresh methods, and raises AssertionError.

With pytest: `@pytest.mark.parametrize("law", METHOD_LAWS)`, and `law(MyMethod)` in the test. Methods that learn which
options are good must also find what was planted in small problems: `finds_the_answer(make, problem, seed)`, with
settings under which 200 steps are a search, `lambda: MyMethod(learning_rate=0.05)`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lanista.errors import OneShotError
from lanista.model import ModelSpace
from lanista.nn import Cell, InputChoice, LayerChoice, Repeat
from lanista.oneshot import Method, Supernet
from lanista.space.context import choice
from lanista.testing.planted import Planted, layers, mean_squared_error

Factory = Callable[[], Method]
"""Makes a method with the same settings at each call."""

Law = Callable[[Factory], None]

STEPS = 6
"""How many steps most laws make."""

DRAWS = frozenset({"rand", "randn", "randint", "randperm", "normal"})
"""Functions of torch that draw by a generator."""

LEARNT = 40
"""In how many steps the loss must get lower by half."""

SEARCHED = 200
"""In how many steps a planted answer must be found."""


class _Everything(nn.Module):
    """Each kind of question that can be mixed, one of them inside of another."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice({"linear": lambda: nn.Linear(8, 8), "inner": _inner, "skip": nn.Identity}, label="op")
        self.blocks = Repeat(lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True)), (0, 2), label="depth")
        self.two = InputChoice(3, 2, label="two")
        self.any = InputChoice(3, None, "mean", label="any")
        self.cell = Cell([lambda: nn.Linear(8, 8), nn.Identity], 2, 1, 1, label="cell")
        width = choice([4, 8], label="width")
        self.head = nn.Sequential(nn.Linear(16, width), nn.BatchNorm1d(width), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, 0]
        first = self.first(x)
        second = self.blocks(first)
        found: Tensor = self.head(self.cell(self.two([x, first, second]) + self.any([x, first, second])))
        return found[:, 0]


def _inner() -> nn.Module:
    return LayerChoice({"tanh": lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh()), "relu": nn.ReLU}, label="inner")


class _Unmixable(nn.Module):
    """A dropout rate: no mixture of models is a model with a rate in between."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(8, 1), nn.Dropout(choice([0.1, 0.5], label="rate")))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x[:, 0])
        return found[:, 0]


@cache
def everything() -> ModelSpace:
    """The space of most laws, for inputs as `Planted.batch` gives them; some architectures are not allowed."""
    space = ModelSpace(_Everything, example_input=torch.zeros(2, 4, 8))
    return space.constrain(lambda answers: answers["depth"] < 2 or answers["op"] != "skip")


@cache
def unmixable() -> ModelSpace:
    """A space that only methods of single paths can search."""
    return ModelSpace(_Unmixable, example_input=torch.zeros(2, 4, 8))


@dataclass
class Search:
    """A search in a loop of one's own.

    Args:
        make: of the method.
        space: what is searched.
        steps: how many are planned.
        seed: of the weights and the method.
        method: None: a new one.
        optimizer: makes that of the weights.

    Attributes:
        losses: of the steps.
    """

    make: Factory
    space: ModelSpace
    steps: int = STEPS
    seed: int = 0
    method: Method | None = None
    optimizer: Callable[[Any], torch.optim.Optimizer] = lambda weights: torch.optim.SGD(weights, 0.02, momentum=0.9)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.supernet = Supernet(self.space)
        self.weights = self.optimizer(list(self.supernet.parameters()))
        self.learner = self.method or self.make()
        self.learner.start(self.supernet, steps=self.steps, seed=self.seed)

    def run(self, problem: Planted, steps: int = STEPS) -> Search:
        """Make steps, on the problem's data."""
        for _ in range(steps):
            train, valid = batches(problem, self.learner.count)
            self.losses.append(self.learner.step(train, valid, loss=mean_squared_error, optimizer=self.weights))
        return self

    def state(self) -> dict[str, Any]:
        """All that a search needs to go on, as it is read from a file."""
        file = io.BytesIO()
        parts: dict[str, Any] = {"supernet": self.supernet, "weights": self.weights, "method": self.learner}
        torch.save({name: part.state_dict() for name, part in parts.items()}, file)
        file.seek(0)
        return dict(torch.load(file, weights_only=True))

    def load(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.supernet.load_state_dict(state["supernet"])
        self.weights.load_state_dict(state["weights"])
        self.learner.load_state_dict(state["method"])


def batches(problem: Planted, step: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The training and the validation batch of a step."""
    return problem.batch(2 * step), problem.batch(2 * step + 1)


def same(one: Search, other: Search) -> bool:
    """Whether two searches are in the same state, to the bit."""
    pairs = zip(one.supernet.state_dict().values(), other.supernet.state_dict().values(), strict=True)
    return (
        all(torch.equal(a, b) for a, b in pairs)
        and one.learner.strengths() == other.learner.strengths()
        and one.learner.best(2) == other.learner.best(2)
        and one.learner.count == other.learner.count
    )


def _adam(weights: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, 0.05)


# --- the laws ---------------------------------------------------------------------------------------------


def steps_lower_the_loss(make: Factory) -> None:
    """The loss of the weights gets lower, where each architecture can lower it, and all losses are finite."""
    problem = Planted("offset", everything(), {}, lambda x: x[:, 0, 0] + 3)
    search = Search(make, problem.space, LEARNT, optimizer=_adam).run(problem, LEARNT)
    assert all(map(math.isfinite, search.losses)), f"the losses are {search.losses}"
    part = LEARNT // 4
    before, after = sum(search.losses[:part]) / part, sum(search.losses[-part:]) / part
    assert after < before / 2, f"the loss was {before}, and is {after}"


def seed_decides(make: Factory) -> None:
    """Two searches of one seed are equal to the bit, whatever torch's global generator does, and leave it alone."""
    first = Search(make, everything()).run(layers())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        before = torch.get_rng_state()
        second = Search(make, everything()).run(layers())
        assert torch.equal(before, torch.get_rng_state()), "a step draws from torch's global generator"
    assert first.losses == second.losses, f"the losses are {first.losses}, then {second.losses}"
    assert same(first, second), "two searches of one seed differ"


def a_state_goes_on(make: Factory) -> None:
    """A search that is loaded from a file in the middle goes on as one that was not interrupted."""
    whole = Search(make, everything()).run(layers())
    half = Search(make, everything()).run(layers(), STEPS // 2)
    state = half.state()
    half.run(layers(), 1)  # what goes on does not change what was written
    other = Search(make, everything())
    other.load(state)
    other.run(layers(), STEPS - STEPS // 2)
    assert same(whole, other), "the search goes on in another way after it was loaded"


def a_start_forgets(make: Factory) -> None:
    """A method that has searched before does what a new one does."""
    used = Search(make, layers().space).run(layers()).learner
    again = Search(make, everything(), method=used, seed=3).run(layers())
    assert same(again, Search(make, everything(), seed=3).run(layers())), "the search before has left something"


def best_are_different_and_keep_the_limits(make: Factory) -> None:
    """`best(k)` gives `k` architectures of the space, in canonical form, none twice; at the start and later."""
    search = Search(make, everything())
    decisions = search.space.decisions
    for _ in range(2):
        found = search.learner.best(5)
        assert len({decisions.key(architecture) for architecture in found}) == 5, f"not 5 different ones: {found}"
        for architecture in found:
            assert decisions.validate(architecture) == architecture, f"{architecture} is not canonical"
            assert not decisions.violations(architecture), f"{architecture} misses a limit"
            search.supernet.inherit(architecture)
        assert search.learner.best(3) == found[:3], "the best three are not the first three of five"
        search.run(layers(), 3)
    for k in (0, 1.5, True):
        _raises(lambda: search.learner.best(k), repr(k))  # type: ignore[arg-type]  # noqa: B023 (used at once)


def strengths_are_numbers_from_zero(make: Factory) -> None:
    """Strengths fit the relaxations, and are finite numbers of at least 0."""
    search = Search(make, everything())
    for steps in (0, STEPS):
        strengths = search.run(layers(), steps).learner.strengths()
        if strengths is None:
            return
        for name, relaxation in search.learner.network.relaxations.items():
            rows = strengths[name]
            assert [len(row) for row in rows] == [relaxation.options] * relaxation.rows, f"{name}: {rows}"
            assert all(math.isfinite(value) and value >= 0 for row in rows for value in row), f"{name}: {rows}"


def learning_leaves_the_weights(make: Factory) -> None:
    """The architecture's step changes no weight and leaves no gradient."""
    search = Search(make, everything()).run(layers(), 2)
    search.weights.zero_grad()
    before = [weight.detach().clone() for weight in search.supernet.parameters()]
    train, valid = batches(layers(), 2)
    search.learner.learn(valid, mean_squared_error, search.weights, train)
    for weight, old in zip(search.supernet.parameters(), before, strict=True):
        assert torch.equal(weight, old), "a weight has changed"
        assert weight.grad is None or not weight.grad.any(), "a weight has a gradient"


def parts_make_the_step(make: Factory) -> None:
    """A loop of one's own, of `learn`, `passes`, `advance` and another optimizer, does what `step` does."""
    one = Search(make, everything(), optimizer=_adam).run(layers())
    own = Search(make, everything(), optimizer=_adam)
    for _ in range(STEPS):
        train, valid = batches(layers(), own.learner.count)
        if own.learner.learns:
            own.learner.learn(valid, mean_squared_error, own.weights, train)
        own.weights.zero_grad()
        for value in own.learner.passes(train, mean_squared_error):
            value.backward()  # type: ignore[no-untyped-call]
        own.weights.step()
        own.learner.advance()
    assert same(one, own), "the parts of a step do something else than the step"


class _Strict(TorchFunctionMode):
    """As with `torch.set_default_device("cuda")`: what is drawn without a device is not drawn by a CPU's generator."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if getattr(func, "__name__", "") in DRAWS and named.get("generator") is not None:
            assert named.get("device") is not None, f"torch.{func.__name__} has a generator, and no device"
        return func(*args, **named)


def a_default_device_may_be_set(make: Factory) -> None:
    """Random numbers are drawn on the device of their generator, whatever torch's default device is."""
    search = Search(make, everything())
    with _Strict():
        search.learner.start(search.supernet, steps=STEPS, seed=0)
        search.run(layers(), 2)


def what_is_wrong_is_named(make: Factory) -> None:
    """Steps out of order or without data, and spaces that the method cannot search, are errors that say so."""
    problem, name = layers(), type(make()).__name__
    batch = problem.batch(0)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    _raises(lambda: make().step(batch, batch, loss=mean_squared_error, optimizer=optimizer), "call start")
    search = Search(make, problem.space)
    if search.learner.learns:
        step = search.learner.step
        _raises(lambda: step(batch, loss=mean_squared_error, optimizer=search.weights), "second batch")
    for steps in (0, 2.5):
        _raises(lambda: Search(make, problem.space, steps), repr(steps))  # type: ignore[arg-type]  # noqa: B023
    if search.learner.mixes:
        _raises(lambda: Search(make, unmixable()), "'rate'", name, "SPOS")
    else:
        Search(make, unmixable()).run(problem)


def _raises(call: Callable[[], object], *words: str) -> None:
    try:
        call()
    except OneShotError as error:
        lacking = [word for word in words if word not in str(error)]
        assert not lacking, f"the error does not say {lacking}: {error}"
    else:
        raise AssertionError(f"no OneShotError that says {words}")


METHOD_LAWS: tuple[Law, ...] = (
    steps_lower_the_loss,
    seed_decides,
    a_state_goes_on,
    a_start_forgets,
    best_are_different_and_keep_the_limits,
    strengths_are_numbers_from_zero,
    learning_leaves_the_weights,
    parts_make_the_step,
    a_default_device_may_be_set,
    what_is_wrong_is_named,
)
"""All of them."""


def finds_the_answer(make: Factory, problem: Planted, seed: int = 0) -> None:
    """After a search of 200 steps the best architecture is the one that was planted."""
    search = Search(make, problem.space, SEARCHED, seed, optimizer=_adam).run(problem, SEARCHED)
    best, answer = search.learner.best()[0], problem.space.decisions.validate(problem.answer)
    assert best == answer, f"{problem.name}, seed {seed}: {best} was found, with {search.learner.strengths()}"
