import copy
import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
from lanista.errors import SpaceError
from lanista.nn import LayerChoice
from lanista.profile import NASWOT, GradNorm, Jacov, Measurement, Snip, Zen, synflow
from lanista.strategy import Filtered, Random
from lanista.trial import State
from tests.profile.models import MODELS, state


class Indexed(nn.Module):
    """Patches with a table of positions that integers look up, and a mask with minus infinity."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.table = nn.Parameter(torch.randn(7, 8))
        self.register_buffer("index", torch.tensor([-1, 0, 2, 6]))
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 2)
        self.head.requires_grad_(False)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.table[self.index]
        tokens = self.layer(tokens, src_mask=self.mask.expand(4, 4).to(tokens))
        return self.head(self.norm(tokens).mean(1))


class Keeping(nn.Module):
    """Keeps an activation that is no leaf, which `copy.deepcopy` refuses, and a constant that is no buffer."""

    def __init__(self):
        super().__init__()
        self.constant = torch.eye(2)
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))

    def forward(self, x):
        self.last = self.inner(x)
        return self.last @ self.constant + torch.ones(2)


IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
ROWS = IMAGES.flatten(1)[:, :4]
LABELS = torch.tensor([0, 1, 1, 0])
TOKENS = torch.tensor([[1, 2, 3], [4, 5, 6]])


def each(outputs, targets):
    return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


BUILDERS = {
    "convolutional": (MODELS["convolutional"][0], IMAGES, LABELS),
    "indexed": (Indexed, IMAGES, LABELS),
    "keeping": (Keeping, IMAGES, LABELS),
    "tied": (MODELS["tied"][0], TOKENS, TOKENS),
    "lazy": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(5), nn.ReLU(), nn.LazyLinear(2)), IMAGES, LABELS),
    "stateful": (
        lambda: nn.Sequential(MODELS["stateful"][0](), nn.Linear(4, 16), nn.ReLU()),
        ROWS,
        LABELS,
    ),
    "dependent": (
        lambda: nn.Sequential(MODELS["dependent"][0](), nn.Linear(4, 16), nn.GELU()),
        ROWS,
        LABELS,
    ),
}
SCORES = {
    "synflow": lambda x, y, loss: synflow,
    "snip": Snip,
    "grad_norm": GradNorm,
    "jacov": lambda x, y, loss: Jacov(x),
    "naswot": lambda x, y, loss: NASWOT(x),
    "zen": lambda x, y, loss: Zen(batch=3, repeats=2),
}
REFUSED = {("naswot", "tied"), ("zen", "tied"), ("jacov", "tied")}


def prepared(name):
    """The model in a state that is easily lost: mixed modes, gradients, statistics; left once by a forward pass."""
    build, x, y = BUILDERS[name]
    torch.manual_seed(0)
    model = build()
    if name != "lazy":
        model(x)
        next(p for p in model.parameters() if p.requires_grad).grad = torch.full_like(next(model.parameters()), 7.0)
    next(iter(model.children())).train(not model.training)
    return model, x, y


def numbers(model):
    return [
        None if nn.parameter.is_lazy(p) else (p.tolist(), p.grad is None or p.grad.tolist()) for p in model.parameters()
    ]


@pytest.mark.parametrize("model", BUILDERS)
@pytest.mark.parametrize("score", SCORES)
def test_a_model_is_left_as_it_was_and_equal_ones_score_equally(score, model):
    net, x, y = prepared(model)
    before, weights = state(net), numbers(net)
    if (score, model) in REFUSED:
        with pytest.raises(SpaceError, match=score):
            SCORES[score](x, y, each)(net, x)
        assert state(net) == before
        return
    measure = SCORES[score](x, y, each)
    value = measure(net, x)
    assert state(net) == before
    assert numbers(net) == weights
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    net.train()
    assert measure(prepared(model)[0].eval(), x) == measure(net, x) == value, "neither generators nor modes matter"
    assert np.isfinite(value.value)
    with torch.no_grad():
        assert measure(net, x) == value
    assert pickle.loads(pickle.dumps(measure))(net, x) == value


@pytest.mark.parametrize("score", SCORES)
def test_dropout_does_not_matter(score):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    without = nn.Sequential(*copy.deepcopy(model)[:3], *copy.deepcopy(model)[4:])
    measure = SCORES[score](IMAGES, LABELS, functional.cross_entropy)
    assert measure(model.train(), IMAGES) == measure(without, IMAGES)


def test_what_cannot_be_scored_says_why():
    with torch.device("meta"):
        sketch = nn.Linear(3, 2)
    with pytest.raises(SpaceError, match="synflow runs Linear, which is on the meta device"):
        synflow(sketch, torch.zeros(1, 3))
    with pytest.raises(SpaceError, match="synflow runs the model and needs an example input"):
        synflow(nn.Linear(3, 2))
    with pytest.raises(SpaceError, match=r"synflow is about the weights .* ReLU has none"):
        synflow(nn.ReLU(), torch.zeros(1, 3))
    with pytest.raises(SpaceError, match="synflow cannot be measured: Linear cannot be run"):
        synflow(nn.Linear(3, 2), torch.zeros(1, 4))
    with pytest.raises(SpaceError, match="synflow needs a model that returns tensors of floating-point numbers"):
        synflow(nn.Sequential(nn.Linear(3, 2), Ranks()), torch.zeros(1, 3))


class Ranks(nn.Module):
    def forward(self, x):
        return x.argmax(-1)


# --- three uses --------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A network that may let nothing through."""

    def __init__(self):
        super().__init__()
        width = choice([2, 4, 8, 16], label="width")
        self.stem = nn.Conv2d(3, width, 3)
        self.body = LayerChoice({"conv": lambda: nn.Conv2d(width, width, 3), "none": Zero}, label="body")
        self.head = nn.Linear(width, 2, bias=False)

    def forward(self, x):
        return self.head(self.body(self.stem(x).relu()).mean((2, 3)))


class Zero(nn.Module):
    def forward(self, x):
        return x * 0


CONSTANT = FunctionalEvaluator(lambda model: 1.0)
SPACE = ModelSpace(Net, example_input=torch.zeros(1, 3, 8, 8))


def test_as_an_objective(tmp_path):
    """A score that is not finite is a failed trial, and the search goes on."""
    example = SPACE.example_input
    evaluator = FunctionalEvaluator(lambda model: synflow(model, example).value)
    experiment = Experiment(SPACE, evaluator, Random(), objectives="maximize", storage=tmp_path / "a.db")
    experiment.run(max_trials=12)
    assert {trial.architecture["body"] for trial in experiment.trials if trial.state is State.FAILED} == {"none"}
    assert experiment.top(1)[0].architecture["body"] == "conv"


@pytest.mark.parametrize("score", [score for score in SCORES if score not in ("zen", "jacov")])
def test_as_a_limit(score):
    """An architecture has one value, whatever the state of the generators; values that are not finite are refused."""
    measure = SCORES[score](IMAGES, LABELS, functional.cross_entropy)
    torch.manual_seed(1)
    value = SPACE.cost(measure).of({"width": 8, "body": "conv"})
    torch.manual_seed(2)
    assert ModelSpace(Net, example_input=SPACE.example_input).cost(measure).of({"width": 8, "body": "conv"}) == value
    limited = SPACE.constrain(measure >= value)
    drawn = [limited.sample(seed) for seed in range(20)]
    assert all(SPACE.cost(measure).of(a) >= value for a in drawn)
    assert {"width": 8, "body": "conv"} in drawn
    assert measure.name in str(SPACE.explain(measure >= value))


def test_as_a_filter(tmp_path):
    flow = SPACE.cost(synflow)
    strategy = Filtered(Random(), lambda architecture: flow.of(architecture) >= 0)
    experiment = Experiment(SPACE, CONSTANT, strategy, objectives="maximize", storage=tmp_path / "a.db")
    experiment.run()
    assert [trial.architecture["body"] for trial in experiment.trials] == ["conv"] * 4


def test_a_search_under_a_limit_is_resumed(tmp_path):
    def run(trials):
        space = ModelSpace(Net, example_input=SPACE.example_input)
        space = space.constrain(synflow >= 3.0)
        experiment = Experiment(space, CONSTANT, Random(), objectives="maximize", storage=tmp_path / "a.db")
        experiment.run(max_trials=trials)
        return [trial.architecture for trial in experiment.trials]

    assert run(3) == run(6)[:3]


def test_values_are_measurements_without_a_unit():
    found = synflow(nn.Linear(2, 1), torch.zeros(1, 2))
    assert (found.error, found.unit) == (0.0, "")
    assert isinstance(found, Measurement)
