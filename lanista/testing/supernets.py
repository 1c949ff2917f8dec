"""The laws that supernets keep: each takes a maker of a space, and raises AssertionError.

With pytest: `@pytest.mark.parametrize("law", SUPERNET_LAWS)`, and `law(make)` in the test, where `make()` returns a
`ModelSpace` with an example input of batch 2 or more, and with at most 16 million weights and few enough decisions
that building is quick. They hold for every space whose models have a state dict that makes them the same: buffers
that are drawn at random must be persistent. A failure names the architecture.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lanista.errors import OneShotError
from lanista.model import ModelSpace
from lanista.oneshot import Network, Supernet
from lanista.space.domain import Architecture

Factory = Callable[[], ModelSpace]
"""Makes the same space at each call."""

Law = Callable[[Factory], None]

SAMPLES = 3
"""How many random architectures a law looks at."""

SMALL = 8
"""A space of at most so many architectures is looked at as a whole."""

TOLERANCE = 1e-5
"""How far results may differ where they are sums in another order, relative to the greatest number."""


def architectures(space: ModelSpace) -> Iterator[Architecture]:
    """All architectures of a small space; else the default, the last of the grid, and random ones."""
    decisions = space.decisions
    if decisions.size <= SMALL:
        yield from decisions.grid()
        return
    yield decisions.default()
    last = decisions.decide(lambda decision: list(decision.domain.grid(2))[-1])
    yield decisions.repair(last, Random(0))
    yield from (decisions.sample(seed) for seed in range(SAMPLES))


_known: WeakKeyDictionary[ModelSpace, tuple[Supernet, dict[str, Tensor]]] = WeakKeyDictionary()


def supernet(space: ModelSpace) -> Supernet:
    """A supernet with weights of one seed, none of which is a plain 0 or 1; torch's generator is left as it was.

    For the same space it is the same one, as it was at first: a maker that keeps its space saves time.
    """
    if space in _known:
        found, state = _known[space]
        found.load_state_dict(state)
        found.train().zero_grad()
        return found
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = Supernet(space)
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
            for name, buffer in found.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    buffer.add_(0.1 * torch.rand(buffer.shape))
    _known[space] = found, copy.deepcopy(found.state_dict())
    return found


def frozen(space: ModelSpace, path: nn.Module, architecture: Architecture) -> nn.Module:
    """The model as the space builds it, with the path's weights and its mode."""
    with torch.random.fork_rng(devices=[]):
        model = space.build(architecture)
    model.load_state_dict({name: tensor.detach().clone() for name, tensor in path.state_dict().items()})
    return model.train(path.training)


def run(model: nn.Module, space: ModelSpace, seed: int = 0) -> list[Tensor]:
    """What the model gives for the example input in its mode, with random numbers of this seed."""
    example = space.example_input
    assert example is not None, "the space has no example_input"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = model(*copy.deepcopy(example if isinstance(example, tuple) else (example,)))
    return [leaf for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor)]


def learn(model: nn.Module, space: ModelSpace) -> None:
    """A backward pass, whose gradients are of all outputs and differ from entry to entry."""
    total = torch.zeros(())
    for leaf in run(model, space):
        if leaf.requires_grad:
            weights = torch.linspace(0.5, 1.5, max(1, leaf.numel())).reshape(leaf.shape)
            total = total + (leaf * weights).sum()
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    """Whether two lists of tensors are equal to the bit."""
    return len(one) == len(other) and all(map(torch.equal, one, other))


def close(one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors are equal but for rounding."""
    greatest = float(other.detach().abs().max()) if other.numel() else 0.0
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=tolerance * max(1e-3, greatest))


@dataclass(frozen=True)
class Places:
    """Where the tensors of a model are in the supernet, whose tensors are thought of as one long list of numbers.

    Attributes:
        of: for each parameter or buffer that is shared, by name: the positions of its entries.
        shared: the names of the supernet's tensors in that list, in order.
    """

    of: dict[str, Tensor]
    shared: list[str]

    @property
    def single(self) -> list[str]:
        """The tensors no entry of which is also another one's."""
        counts = torch.bincount(torch.cat([places.flatten() for places in self.of.values()])) if self.of else None
        return [name for name, at in self.of.items() if counts is not None and bool((counts[at] == 1).all())]


def places(net: Supernet, architecture: Architecture) -> Places:
    """Found out by writing its position into each entry of the supernet."""
    saved = copy.deepcopy(net.state_dict())
    counted = {name: value for name, value in saved.items() if value.is_floating_point() or value.dtype == torch.int64}
    assert sum(value.numel() for value in counted.values()) < 2**24, "the supernet is too large to count its entries"
    found = []
    for offset in (0, 1):
        filled, start = dict(saved), offset
        for name, value in counted.items():
            filled[name] = torch.arange(start, start + value.numel()).reshape(value.shape).to(value.dtype)
            start += value.numel()
        net.load_state_dict(filled)
        found.append(tensors(net.inherit(architecture)))
    net.load_state_dict(saved)
    return Places(
        {
            name: value.long()
            for name, value in found[0].items()
            if value.dtype != torch.bool and torch.equal(found[1][name] - value, torch.ones_like(value))
        },
        list(counted),
    )


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, tied ones too."""
    found: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    found |= dict(model.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in found.items()}


def flat(values: dict[str, Tensor], where: Places) -> Tensor:
    """The supernet's tensors of these names, in one list."""
    return torch.cat([values[name].detach().double().flatten() for name in where.shared])


def paths_compute_what_frozen_models_compute(make: Factory) -> None:
    """Bit for bit, in both modes: the path, the model that inherits, and the built model with the path's weights."""
    space = make()
    net = supernet(space)
    for architecture in architectures(space):
        for training in (True, False):
            path = net.train(training).path(architecture)
            heir = net.inherit(architecture).train(training)
            model = frozen(space, path, architecture)
            expected = run(model, space)
            mode = "training" if training else "evaluation"
            assert list(path.state_dict()) == list(model.state_dict()), f"other names in {architecture}"
            assert same(run(path, space), expected), f"the path of {architecture} differs in {mode}"
            assert same(run(heir, space), expected), f"what inherits {architecture} differs in {mode}"


def gradients_and_statistics_arrive(make: Factory) -> None:
    """A training pass of a path leaves in the supernet what it leaves in a model, at the right places, only there."""
    space = make()
    net = supernet(space).train()
    for architecture in architectures(space):
        where = places(net, architecture)
        path = net.path(architecture)
        model = frozen(space, path, architecture)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        net.zero_grad()
        learn(path, space)
        learn(model, space)
        expected, found = torch.zeros(len(flat(before, where))).double(), torch.zeros(0)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and name in where.of:
                expected.index_add_(0, where.of[name].flatten(), parameter.grad.double().flatten())
        grads = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in before.items()}
        grads |= {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
        found = flat(grads, where)
        assert close(found, expected), f"other gradients of {architecture}"
        assert not found[expected == 0].any() or close(found[expected == 0], expected[expected == 0])
        _statistics(net, model, where, before, architecture)


def _statistics(
    net: Supernet, model: nn.Module, where: Places, before: dict[str, Tensor], architecture: Architecture
) -> None:
    """The model's buffers are in the supernet now; where two of its modules have one place, they only changed it."""
    after, expected = flat(net.state_dict(), where), flat(before, where)
    alone = set(where.single)
    several = torch.zeros(len(expected), dtype=torch.bool)
    for name, buffer in model.named_buffers():
        if name in where.of:
            expected[where.of[name].flatten()] = buffer.detach().double().flatten()
            several[where.of[name].flatten()] |= name not in alone
    assert torch.equal(after[~several], expected[~several]), f"other statistics of {architecture}"


def paths_see_what_optimizers_do(make: Factory) -> None:
    """A path that was built before a step, or before weights are loaded, computes what a new one does."""
    space = make()
    net = supernet(space)
    state = copy.deepcopy(net.state_dict())
    for architecture in architectures(space):
        net.load_state_dict(state)
        path = net.eval().path(architecture)
        old = run(path, space)
        optimizer = torch.optim.SGD([parameter for parameter in net.parameters() if parameter.requires_grad], 0.1)
        for parameter in net.parameters():
            parameter.grad = torch.full_like(parameter, 0.3)
        optimizer.step()
        assert same(run(path, space), run(net.inherit(architecture).eval(), space)), f"{architecture} is stale"
        net.load_state_dict(state)
        assert same(run(path, space), old), f"{architecture} is stale after weights were loaded"


def what_is_loaded_into_a_path_arrives(make: Factory) -> None:
    """Loading a state dict into a path loads it into the supernet."""
    space = make()
    net = supernet(space).eval()
    for architecture in architectures(space):
        path = net.path(architecture)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = space.build(architecture).eval()
        single = set(places(net, architecture).single)
        path.load_state_dict(model.state_dict())
        found = net.inherit(architecture).state_dict()
        wrong = [name for name, value in model.state_dict().items() if name in single and not found[name].equal(value)]
        assert not wrong, f"{wrong[:3]} of {architecture} did not arrive"


def tied_weights_stay_tied(make: Factory) -> None:
    """Names of one tensor in a built model are names of one tensor in an heir, and of one place in the supernet."""
    space = make()
    net = supernet(space)
    for architecture in architectures(space):
        with torch.random.fork_rng(devices=[]):
            model = space.build(architecture)
        heir, where = net.inherit(architecture), places(net, architecture)
        groups = _groups(model)
        assert groups == _groups(heir), f"other ties in what inherits {architecture}"
        for group in groups:
            first = where.of[group[0]]
            assert all(where.of[name].equal(first) for name in group[1:]), f"{group} of {architecture} are not one"


def _groups(model: nn.Module) -> list[list[str]]:
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return list(groups.values())


def heirs_are_on_their_own(make: Factory) -> None:
    """What inherits shares no memory with the supernet, can be pickled, and needs lanista only where its layers do."""
    space = make()
    net = supernet(space)
    own = {tensor.untyped_storage().data_ptr() for tensor in net.state_dict().values() if tensor.numel()}
    for architecture in architectures(space):
        heir = net.inherit(architecture)
        assert heir.training, f"what inherits {architecture} is not in training mode"
        taken = [name for name, value in tensors(heir).items() if value.untyped_storage().data_ptr() in own]
        assert not taken, f"{taken[:3]} of {architecture} are the supernet's"
        assert all(parameter.is_leaf for parameter in heir.parameters())
        hooks = [m for m in heir.modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks]
        assert not hooks, f"hooks in what inherits {architecture}"
        copied = copy.deepcopy(net.path(architecture)).eval()
        assert same(run(copied, space), run(heir.eval(), space)), f"the copy of the path of {architecture} differs"
        with torch.random.fork_rng(devices=[]):
            model = space.build(architecture)
        try:
            needed = b"lanista" in pickle.dumps(model)
        except RuntimeError:  # torch pickles no parametrized modules
            continue
        data = pickle.dumps(heir)
        assert needed or b"lanista" not in data, f"what inherits {architecture} needs lanista"
        assert same(run(pickle.loads(data), space), run(heir, space)), f"the pickle of {architecture} differs"


def states_go_round(make: Factory) -> None:
    """Another supernet of the space takes the state, which holds plain tensors, and has the same paths then."""
    space = make()
    net, file = supernet(space), io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other = Supernet(make())
    other.load_state_dict(torch.load(file, weights_only=True))
    for architecture in architectures(space):
        one, two = net.eval().path(architecture), other.eval().path(architecture)
        assert same(run(one, space), run(two, space)), f"the path of {architecture} changed"


def nothing_is_drawn(make: Factory) -> None:
    """Paths, heirs and networks leave torch's generator as it was."""
    space = make()
    net = supernet(space)
    before = torch.get_rng_state()
    Network(net)
    for architecture in architectures(space):
        net.path(architecture)
        net.inherit(architecture)
        assert torch.equal(before, torch.get_rng_state()), f"{architecture} drew random numbers"


def what_is_selected_is_the_path(make: Factory) -> None:
    """A network gives a path's outputs and gradients, to the bit where it has no masks; or says what is in the way."""
    space = make()
    net = supernet(space)
    network = Network(net)
    labels = set(space.decisions.labels)
    if network.obstacles:
        assert set(network.obstacles) <= labels, f"{set(network.obstacles) - labels} are no decisions"
        try:
            network.select(space.decisions.default())
        except OneShotError as error:
            assert all(repr(label) in str(error) for label in network.obstacles)
            return
        raise AssertionError("a network with obstacles selects")
    assert {label for relaxation in network.relaxations.values() for label in relaxation.labels} == labels
    for architecture in architectures(space):
        state, where = copy.deepcopy(net.state_dict()), places(net, architecture)
        grads = []
        for model in (net.eval().path(architecture), network.select(architecture)):
            net.zero_grad()
            learn(model, space)
            zeros = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in state.items()}
            grads.append(flat(zeros | {n: p.grad for n, p in net.named_parameters() if p.grad is not None}, where))
        assert close(grads[1], grads[0]), f"what is selected for {architecture} has other gradients"
        for training in (False, True):
            path = net.train(training).path(architecture)
            expected = run(path, space)
            if training and not (network.complete and same(expected, run(path, space, seed=1))):
                continue  # random numbers are for tensors of other shapes, or drawn in another order
            net.load_state_dict(state)
            found = run(network.select(architecture), space)
            net.load_state_dict(state)
            equal = same(found, expected) if network.complete else all(map(close, found, expected))
            assert equal, f"what is selected for {architecture} gives something else than its path"


SUPERNET_LAWS: tuple[Law, ...] = (
    paths_compute_what_frozen_models_compute,
    gradients_and_statistics_arrive,
    paths_see_what_optimizers_do,
    what_is_loaded_into_a_path_arrives,
    tied_weights_stay_tied,
    heirs_are_on_their_own,
    states_go_round,
    nothing_is_drawn,
    what_is_selected_is_the_path,
)
"""All of them."""
