"""One-shot methods as a researcher would write them down for one space: NAS-Bench-201, in plain torch.

`oneshot.py` compares lanista's methods with these loops. Of lanista, only the layers are the same. They are written to
be fast, not to be general: the space, the operations and the number of edges are in the code.
"""

from __future__ import annotations

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Dirichlet
from torch.nn import functional as F  # noqa: N812

from lanista.hub.nasbench201 import OPERATIONS, Residual

Batch = tuple[Tensor, Tensor]
Run: TypeAlias = Callable[[int, nn.ModuleList, Tensor], Tensor]
"""What an edge does: its number, its operations, and its input."""
Draws: TypeAlias = list[list[int]]
"""For each edge, the operations that were drawn."""

EDGES, OPTIONS = 6, len(OPERATIONS)
CONV3 = list(OPERATIONS).index("nor_conv_3x3")


# --- the supernet -----------------------------------------------------------------------------------------


class Cell(nn.Module):
    """Four nodes; on each of the six edges all operations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleList(make(width, width) for make in OPERATIONS.values()) for _ in range(EDGES)
        )

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """(N, width, H, W) to the same."""
        a = run(0, self.edges[0], x)
        b = run(1, self.edges[1], x) + run(2, self.edges[2], a)
        return run(3, self.edges[3], x) + run(4, self.edges[4], a) + run(5, self.edges[5], b)


class Network(nn.Module):
    """Images (N, 3, H, W) to scores (N, 10)."""

    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.layers = nn.ModuleList()
        for stage in range(3):
            if stage:
                self.layers.append(Residual(width, 2 * width))
                width *= 2
            self.layers.extend(Cell(width) for _ in range(cells))
        self.norm, self.head = nn.BatchNorm2d(width), nn.Linear(width, 10)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x, run) if isinstance(layer, Cell) else layer(x)
        return self.head(F.relu(self.norm(x)).mean((2, 3)))


class Plain(nn.Module):
    """A single architecture: one operation for each edge, which each cell has."""

    def __init__(self, width: int, cells: int, indices: Sequence[int]) -> None:
        super().__init__()
        self.network = Network(width, cells)
        for layer in self.network.layers:
            if isinstance(layer, Cell):
                for edge, index in enumerate(indices):
                    layer.edges[edge] = layer.edges[edge][index]

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, lambda edge, operation, x: operation(x))


def mixed(weights: Tensor) -> Run:
    """All operations, weighted by (edges, operations)."""
    return lambda edge, ops, x: sum(w * op(x) for w, op in zip(weights[edge], ops, strict=True))  # type: ignore[return-value]


def path(indices: Sequence[int]) -> Run:
    """One operation for each edge."""
    return lambda edge, ops, x: ops[indices[edge]](x)


# --- the loops --------------------------------------------------------------------------------------------


class Loop(ABC):
    """A method's training loop on its supernet.

    Attributes:
        replay: what is to be drawn in the next passes instead of its own draws, which it makes all the same; so two
            loops can be compared that run the same operations.
    """

    def __init__(self, width: int, cells: int, steps: int, seed: int = 0) -> None:
        self.network = Network(width, cells)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.025, momentum=0.9)
        self.steps, self.count = steps, 0
        self.random = random.Random(seed)
        self.replay: list[Draws] = []

    def step(self, train: Batch, valid: Batch) -> float:
        """One step of the architecture, if there is any, and one of the weights."""
        self.architecture(valid)
        self.optimizer.zero_grad()
        value = self.weights(train)
        self.optimizer.step()
        self.count += 1
        return value

    def architecture(self, valid: Batch) -> None:  # noqa: B027 (most learn none)
        """Learn by a validation batch; before the weights."""

    @abstractmethod
    def weights(self, train: Batch) -> float:
        """Give the weights their gradients; the loss."""

    def backward(self, run: Run, batch: Batch) -> float:
        """The loss of what runs, which goes back."""
        value = self.loss(run, batch)
        value.backward()
        return value.item()

    def loss(self, run: Run, batch: Batch) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.network(batch[0], run), batch[1])

    def drawn(self, own: Draws) -> Draws:
        """What is to run: the own draw, or that which is to be repeated."""
        return self.replay.pop(0) if self.replay else own


class Uniform(Loop):
    """Single paths, drawn uniformly: SPOS, and random search with weight sharing."""

    def weights(self, train: Batch) -> float:
        drawn = self.drawn([[self.random.randrange(OPTIONS)] for _ in range(EDGES)])
        return self.backward(path([edge[0] for edge in drawn]), train)


class Parametric(Loop):
    """The architecture has parameters, which Adam learns."""

    def __init__(self, width: int, cells: int, steps: int, seed: int = 0) -> None:
        super().__init__(width, cells, steps, seed)
        self.alpha = (1e-3 * torch.randn(EDGES, OPTIONS)).requires_grad_()
        self.adam = torch.optim.Adam([self.alpha], 3e-4, (0.5, 0.999), weight_decay=1e-3)

    def weights(self, train: Batch) -> float:
        with torch.no_grad():
            run = self.hard()
        return self.backward(run, train)

    @abstractmethod
    def hard(self) -> Run:
        """What runs in the weights' step, where nothing needs the architecture's gradient."""


class Gradient(Parametric):
    """The architecture's parameters have the gradient of the validation loss."""

    def architecture(self, valid: Batch) -> None:
        (self.alpha.grad,) = torch.autograd.grad(self.loss(self.soft(), valid), [self.alpha])
        self.adam.step()

    @abstractmethod
    def soft(self) -> Run:
        """What runs in the architecture's step."""

    def hard(self) -> Run:
        return self.soft()


class FirstOrder(Gradient):
    """DARTS of first order."""

    def soft(self) -> Run:
        return mixed(self.alpha.softmax(1))


class SecondOrder(FirstOrder):
    """DARTS of second order: the gradient after a step of the weights, with the product by a difference."""

    def architecture(self, valid: Batch) -> None:
        weights = list(self.network.parameters())
        before = [weight.detach().clone() for weight in weights]
        rate, momentum = 0.025, 0.9
        with torch.no_grad():
            run = self.soft()
        gradients = torch.autograd.grad(self.loss(run, train := self.train), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                buffer = self.optimizer.state.get(weight, {}).get("momentum_buffer")
                weight.sub_(rate * (gradient if buffer is None else gradient + momentum * buffer))
        direct, *vector = torch.autograd.grad(self.loss(self.soft(), valid), [self.alpha, *weights])
        radius = 0.01 / torch.cat([v.flatten() for v in vector]).norm()
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                for weight, value, v in zip(weights, before, vector, strict=True):
                    weight.copy_(value + sign * radius * v)
            sides += torch.autograd.grad(self.loss(self.soft(), train), [self.alpha])
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
        self.alpha.grad = direct - rate * (sides[0] - sides[1]) / (2 * radius)
        self.adam.step()

    def step(self, train: Batch, valid: Batch) -> float:
        self.train = train
        return super().step(train, valid)


class HardGumbel(Gradient):
    """GDAS: one operation for each edge, with the gradient of the soft sample."""

    def soft(self) -> Run:
        tau = 10 - 9.9 * self.count / self.steps
        gumbels = -torch.empty_like(self.alpha).exponential_().log()
        probabilities = ((self.alpha.log_softmax(1) + gumbels) / tau).softmax(1)
        drawn = self.drawn([[index] for index in probabilities.argmax(1).tolist()])
        self.chosen = [edge[0] for edge in drawn]
        one = F.one_hot(torch.tensor(self.chosen), OPTIONS)
        weights = one - probabilities.detach() + probabilities
        return lambda edge, ops, x: weights[edge, self.chosen[edge]] * ops[self.chosen[edge]](x)

    def hard(self) -> Run:
        self.soft()
        return path(self.chosen)


class SoftGumbel(Gradient):
    """FBNet: all operations, weighted by a Gumbel-softmax sample."""

    def soft(self) -> Run:
        tau = 5 * 0.0174 ** (self.count / self.steps)
        return mixed(F.gumbel_softmax(self.alpha.log_softmax(1), tau))


class Sampled(Gradient):
    """DrNAS: all operations, weighted by a sample of a Dirichlet distribution."""

    def soft(self) -> Run:
        return mixed(Dirichlet(F.elu(self.alpha) + 1).rsample())


class Partial(FirstOrder):
    """PC-DARTS: operations on a quarter of the channels, then a shuffle; the weights alone for 0.3 of the search.

    Edges of this space do not compete, so that there are no weights for them.
    """

    def __init__(self, width: int, cells: int, steps: int, seed: int = 0) -> None:
        super().__init__(width, cells, steps, seed)
        for layer in self.network.layers:
            if isinstance(layer, Cell):
                layer.edges = Cell(layer.edges[0][CONV3][1].in_channels // 4).edges
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.025, momentum=0.9)

    def architecture(self, valid: Batch) -> None:
        if self.count >= 0.3 * self.steps:
            super().architecture(valid)

    def soft(self) -> Run:
        mix = mixed(self.alpha.softmax(1))

        def run(edge: int, ops: nn.ModuleList, x: Tensor) -> Tensor:
            n, c, h, w = x.shape
            y = torch.cat([mix(edge, ops, x[:, : c // 4]), x[:, c // 4 :]], 1)
            return y.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)

        return run


class TwoPaths(Parametric):
    """ProxylessNAS: one path for the weights; for the architecture, after a quarter, two; one has no gradient."""

    def architecture(self, valid: Batch) -> None:
        if self.count < 0.25 * self.steps:
            return
        p = self.alpha.detach().softmax(1)
        own = []
        for edge, both in enumerate(p.multinomial(2).tolist()):
            one = self.alpha.detach()[edge, both].softmax(0).multinomial(1).item()
            own.append([both[one], both[1 - one]])
        drawn = torch.tensor(self.drawn(own))
        active, other = drawn[:, 0].tolist(), drawn[:, 1].tolist()
        gates = torch.zeros_like(self.alpha).scatter_(1, drawn[:, :1], 1.0).requires_grad_()

        def run(edge: int, ops: nn.ModuleList, x: Tensor) -> Tensor:
            with torch.no_grad():
                watched = ops[other[edge]](x)
            return gates[edge, active[edge]] * ops[active[edge]](x) + gates[edge, other[edge]] * watched

        (gradient,) = torch.autograd.grad(self.loss(run, valid), [gates])
        with torch.no_grad():
            two = self.alpha.gather(1, drawn).softmax(1)
            g = gradient.gather(1, drawn)
            self.alpha.grad = torch.zeros_like(self.alpha).scatter_(1, drawn, two * (g - (two * g).sum(1, True)))
            before = self.alpha.gather(1, drawn).logsumexp(1, keepdim=True)
            rest = self.alpha.clone()
            self.adam.step()
            after = self.alpha.gather(1, drawn)
            settled = after - after.logsumexp(1, keepdim=True) + before
            self.alpha.copy_(rest.scatter_(1, drawn, settled))

    def hard(self) -> Run:
        drawn = self.drawn(self.alpha.softmax(1).multinomial(1).tolist())
        return path([edge[0] for edge in drawn])


class Fair(Loop):
    """FairNAS: as many paths as there are operations, which have each operation of an edge once."""

    def weights(self, train: Batch) -> float:
        orders = [self.random.sample(range(OPTIONS), OPTIONS) for _ in range(EDGES)]
        total = 0.0
        for turn in range(OPTIONS):
            drawn = self.drawn([[order[turn]] for order in orders])
            total += self.backward(path([edge[0] for edge in drawn]), train)
        return total / OPTIONS


class Layered(Loop):
    """The sandwich rule: the largest network, which teaches the smallest and two random ones."""

    def weights(self, train: Batch) -> float:
        x, y = train
        for number in range(4):
            own = [[(CONV3, 0, self.random.randrange(OPTIONS))[min(number, 2)]] for _ in range(EDGES)]
            output = self.network(x, path([edge[0] for edge in self.drawn(own)]))
            if number == 0:
                value = F.cross_entropy(output, y)
                labels = output.detach().softmax(1)
            else:
                value = F.cross_entropy(output, labels)
            value.backward()
        return value.item()


class Shrinking(Loop):
    """Progressive shrinking: the largest network for a quarter of the steps, then two smaller ones that it teaches."""

    def weights(self, train: Batch) -> float:
        x, y = train
        largest = [[CONV3]] * EDGES
        if self.count < self.steps / 4:
            return self.backward(path([edge[0] for edge in self.drawn(largest)]), train)
        if self.count - 1 < self.steps / 4:
            self.teacher = copy.deepcopy(self.network).eval()
        with torch.no_grad():
            labels = self.teacher(x, path([CONV3] * EDGES)).softmax(1)
        for _ in range(2):
            drawn = self.drawn([[self.random.randrange(OPTIONS)] for _ in range(EDGES)])
            output = self.network(x, path([edge[0] for edge in drawn]))
            value = F.cross_entropy(output, y) + F.cross_entropy(output, labels)
            value.backward()
        return value.item()


class Controller(nn.Module):
    """An LSTM that draws an operation for each edge, given those before."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.start, self.embedding = nn.Parameter(torch.zeros(1, hidden)), nn.Embedding(OPTIONS, hidden)
        self.lstm, self.head = nn.LSTMCell(hidden, hidden), nn.Linear(hidden, OPTIONS)

    def forward(self) -> tuple[Draws, Tensor, Tensor]:
        """What is drawn, the logarithm of its probability, and the entropy."""
        x, state, drawn, logs, entropies = self.start, None, [], [], []
        for _ in range(EDGES):
            state = self.lstm(x, state)
            log = (1.5 * self.head(state[0]).tanh()).log_softmax(1)[0]
            index = log.exp().multinomial(1)
            drawn.append([index.item()])
            logs.append(log[index])
            entropies.append(-(log.exp() * log).sum())
            x = self.embedding(index)
        return drawn, torch.cat(logs).sum(), torch.stack(entropies).sum()


class Reinforced(Loop):
    """ENAS: a controller learns by the validation losses of two of its architectures."""

    def __init__(self, width: int, cells: int, steps: int, seed: int = 0) -> None:
        super().__init__(width, cells, steps, seed)
        self.controller = Controller()
        self.adam = torch.optim.Adam(self.controller.parameters(), 3.5e-4)
        self.baseline: float | None = None

    def architecture(self, valid: Batch) -> None:
        value = torch.zeros(())
        for _ in range(2):
            own, log, entropy = self.controller()
            with torch.no_grad():
                reward = -self.loss(path([edge[0] for edge in self.drawn(own)]), valid).item()
            self.baseline = reward if self.baseline is None else 0.999 * self.baseline + 0.001 * reward
            value = value - (reward - self.baseline) * log - 1e-4 * entropy
        self.adam.zero_grad()
        (value / 2).backward()
        self.adam.step()

    def weights(self, train: Batch) -> float:
        with torch.no_grad():
            own, _, _ = self.controller()
        return self.backward(path([edge[0] for edge in self.drawn(own)]), train)


LOOPS: dict[str, type[Loop]] = {
    "DARTS": FirstOrder,
    "DARTS-2": SecondOrder,
    "DrNAS": Sampled,
    "ENAS": Reinforced,
    "FairNAS": Fair,
    "FBNet": SoftGumbel,
    "GDAS": HardGumbel,
    "PCDARTS": Partial,
    "ProgressiveShrinking": Shrinking,
    "ProxylessNAS": TwoPaths,
    "RandomSharing": Uniform,
    "Sandwich": Layered,
    "SPOS": Uniform,
}
"""By the name of lanista's method."""
