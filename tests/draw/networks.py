"""Models and spaces to draw: a stack of 20 cells, a chain of inverted bottlenecks, conditions, 50 decisions."""

from functools import partial

import torch
from torch import nn

from lanista import ModelSpace, choice
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, Subset


class ReLUConvBN(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1):
        super().__init__(
            nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
        )


def separable(width, kernel, stride):
    layers = []
    for step in (stride, 1):
        layers += [
            nn.ReLU(),
            nn.Conv2d(width, width, kernel, step, kernel // 2, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
        ]
    return nn.Sequential(*layers)


class FactorizedReduce(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = self.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


def operations(width, stride):
    return {
        "sep_conv_3x3": lambda: separable(width, 3, stride),
        "sep_conv_5x5": lambda: separable(width, 5, stride),
        "max_pool_3x3": lambda: nn.MaxPool2d(3, stride, 1),
        "skip_connect": lambda: nn.Identity() if stride == 1 else FactorizedReduce(width, width),
    }


class Cell(nn.Module):
    """A cell as in DARTS (arXiv 1806.09055): four nodes, each of two operations on chosen earlier nodes."""

    def __init__(self, before, last, width, *, reduction, reduced):
        super().__init__()
        kind = "reduce" if reduction else "normal"
        self.pre0 = FactorizedReduce(before, width) if reduced else ReLUConvBN(before, width)
        self.pre1 = ReLUConvBN(last, width)
        self.picks, self.ops = nn.ModuleList(), nn.ModuleList()
        for node in range(2, 6):
            for index in range(2):
                self.picks.append(InputChoice(node, label=f"{kind}/input_{node}_{index}"))
                self.ops.append(LayerChoice(operations(width, 1), label=f"{kind}/op_{node}_{index}"))
        self.pool = nn.MaxPool2d(2) if reduction else nn.Identity()

    def forward(self, s0, s1):
        states = [self.pre0(s0), self.pre1(s1)]
        for node in range(4):
            one, other = 2 * node, 2 * node + 1
            states.append(self.ops[one](self.picks[one](states)) + self.ops[other](self.picks[other](states)))
        return self.pool(torch.cat(states[2:], 1))


class Darts(nn.Module):
    def __init__(self, width=8, cells=20, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
        self.cells = nn.ModuleList()
        before, last, reduced = 3 * width, 3 * width, False
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            width *= 1 + reduction
            self.cells.append(Cell(before, last, width, reduction=reduction, reduced=reduced))
            before, last, reduced = last, 4 * width, reduction
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, classes)

    def forward(self, x):
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1)
        return self.classifier(self.pool(s1).flatten(1))


class Bottleneck(nn.Module):
    def __init__(self, inputs, outputs, stride, label):
        super().__init__()
        kernel = choice([3, 5, 7], label=f"{label}/kernel")
        width = inputs * choice([3, 6], label=f"{label}/expand")
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
            nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False), nn.BatchNorm2d(width),
            nn.ReLU6(), nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


def mobile():
    """A chain of inverted bottlenecks, as MobileNetV2's (arXiv 1801.04381): kernels, expansions and depths are open."""
    layers = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()]
    inputs = 16
    for stage, (outputs, stride) in enumerate([(24, 2), (40, 2), (80, 2), (96, 1), (192, 2), (320, 1)]):

        def block(index, inputs=inputs, outputs=outputs, stride=stride, stage=stage):
            first = index == 0
            return Bottleneck(inputs if first else outputs, outputs, stride if first else 1, f"stage{stage}/{index}")

        layers.append(Repeat(block, depth=(2, 4), label=f"stage{stage}/depth"))
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


class Small(nn.Module):
    """Conditions, a skip connection, values."""

    def __init__(self):
        super().__init__()
        width = choice([16, 32], label="width")
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.body = LayerChoice(
            {
                "plain": nn.ReLU,
                "wide": lambda: nn.Sequential(
                    nn.Conv2d(width, width * choice([2, 4], label="factor"), 1), nn.GELU(), nn.LazyConv2d(width, 1)
                ),
            },
            label="body",
        )
        self.tail = Repeat(partial(nn.Conv2d, width, width, 1), depth=(0, 2), label="depth")
        self.skip = InputChoice(2, n_chosen=None, label="skip")
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.skip([x, self.tail(self.body(x))]).mean((2, 3)))


class Branching(nn.Module):
    """Its forward depends on what it sees, so that nothing can trace it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Sequential(nn.Linear(8, 8), nn.GELU())

    def forward(self, x):
        return self.second(self.first(x)) if x.sum() > 0 else x


IMAGE = torch.zeros(1, 3, 32, 32)


def darts(cells=20):
    return ModelSpace(Darts, cells=cells, example_input=IMAGE)


def wide():
    """50 decisions: blocks with common structure, conditions, priors, ranges and subsets."""
    decisions = [
        Decision("optimizer/rate", Real(1e-4, 1e-1, log=True)),
        Decision("optimizer/momentum", Real(0.5, 0.99)),
        Decision("width", Integer(16, 128, 8, log=True)),
        Decision("activation", Categorical(["relu", "gelu", "swish"], prior=[1, 2, 1])),
        Decision("stem", Categorical(["conv", "patches"])),
        Decision("stem/patch", Categorical([4, 8, 16]), {"stem": ["patches"]}),
    ]
    for block in range(14):
        decisions += [
            Decision(f"blocks/{block}/op", Categorical(["conv3", "conv5", "pool", "attention"])),
            Decision(f"blocks/{block}/heads", Categorical([2, 4, 8]), {f"blocks/{block}/op": ["attention"]}),
            Decision(f"blocks/{block}/inputs", Subset(range(block + 1), None)),
        ]
    decisions += [
        Decision("head/dropout", Real(0, 0.5)),
        Decision("head/hidden", Categorical([None, [256], [512, 256]])),
    ]
    return SearchSpace(decisions)
