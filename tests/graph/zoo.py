"""Models that nobody wrote for search, and what is asked of every edited model."""

import copy
import runpy

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from lanista.export import write_folder


class Block(nn.Module):
    """A residual block as in ResNet-18; one activation module is called twice."""

    def __init__(self, inputs, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        same = stride == 1 and inputs == width
        self.downsample = None if same else nn.Sequential(nn.Conv2d(inputs, width, 1, stride), nn.BatchNorm2d(width))
        self.stride = stride

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    """Plain, and written elsewhere."""

    def __init__(self, widths=(4, 8), classes=3):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(Block(widths[0], widths[0]), Block(widths[0], widths[0]))
        self.layer2 = nn.Sequential(Block(widths[0], widths[1], 2), Block(widths[1], widths[1]))
        self.fc = nn.Linear(widths[1], classes)
        self.auxiliary = nn.Linear(2, 2)

    def forward(self, x):
        x = self.maxpool(self.conv1(x))
        x = self.layer2(self.layer1(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Mixed(nn.Module):
    """What graphs have beside calls of layers: functions, parameters, buffers, constants, in-place writes."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(4))
        self.register_buffer("shift", torch.rand(4), persistent=False)
        self.register_buffer("unread", torch.rand(2))
        self.constant = torch.rand(4)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.inner = nn.ModuleDict({"a-b": nn.Tanh()})
        self.drop = 0.5

    def forward(self, x, mask=None):
        y = self.first(x) * self.scale + self.shift - self.constant
        y[:, 0] = 0.5
        z = y
        z += 1
        x = F.dropout(self.inner["a-b"](y), self.drop, training=self.training)
        assert mask is None
        return {"logits": self.second(x) + z, "sizes": x.shape[0]}


IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def seeded(make, seed=0):
    torch.manual_seed(seed)
    return make()


def same(one, other):
    """Whether two outputs are equal, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def must_work(model, example, folder):
    """Lint, forward and backward, copies, and export: what holds for every edited model."""
    assert isinstance(model, fx.GraphModule)
    model.graph.lint()
    outputs = model.train()(example)
    first = outputs if isinstance(outputs, torch.Tensor) else next(iter(outputs.values()))
    first.sum().backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "auxiliary" not in name)
    model.zero_grad()
    model.eval()
    assert same(copy.deepcopy(model)(example), model(example))
    write_folder(model, folder, card={}, architecture={}, example_input=example)
    rebuilt = runpy.run_path(str(folder / "model.py"))["load"]()
    assert same(rebuilt(example), model(example))
