import math

import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile import Zen, zen

IMAGE = torch.zeros(1, 3, 8, 8)


def plain(*norms):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), *norms, nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 2),
    )  # fmt: skip


def test_it_is_the_formula():
    model = plain(nn.BatchNorm2d(8)).double()
    draws = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(shape, generator=draws, dtype=torch.double)

    first, second, _ = (normal(*p.shape) for p in (model[0].weight, model[3].weight, model[7].weight))
    x, e = normal(16, 3, 8, 8), normal(16, 3, 8, 8)

    def f(x):
        y = nn.functional.conv2d(x, first)
        var = y.var((0, 2, 3), correction=0)
        y = (y - y.mean((0, 2, 3), keepdim=True)) / (var[:, None, None] + 1e-5).sqrt()
        return nn.functional.conv2d(y.relu(), second).relu(), var

    change = (f(x)[0] - f(x + 0.01 * e)[0]).abs().sum((1, 2, 3)).mean()
    expected = change.log() + f(x)[1].mean().sqrt().log()
    assert Zen(seed=3, repeats=1)(plain(nn.BatchNorm2d(8)), IMAGE).value == pytest.approx(expected.item())


def test_weights_and_numbers_of_the_example_do_not_matter_but_the_seed_does():
    model = plain(nn.BatchNorm2d(8))
    value = zen(model, IMAGE)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 5.0)
    assert zen(model, IMAGE + 7) == zen(model, torch.ones(2, 3, 8, 8)) == value
    assert Zen(seed=1)(model, IMAGE) != value
    assert value.error > 0
    assert Zen(repeats=1)(model, IMAGE).error == 0


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(8), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8), nn.LayerNorm([8, 6, 6]), nn.RMSNorm([8, 6, 6])],
    ids=lambda norm: type(norm).__name__,
)
def test_a_norm_gives_back_the_scale_that_it_takes(norm):
    """The point of the score: with a norm, it is about what it is without."""
    without = Zen(batch=64)(plain(), IMAGE).value
    assert Zen(batch=64)(plain(norm), IMAGE).value == pytest.approx(without, abs=0.5)
    scale = math.sqrt(3 * 9)
    assert without > math.log(scale), "which is more than what the score would be without the correction"


def test_scaling_laws_of_a_linear_network():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 4, 3, bias=False))
    value = Zen(gamma=0.01)(model, IMAGE).value
    assert Zen(gamma=0.1)(model, IMAGE).value == pytest.approx(value + math.log(10))
    doubled = nn.Sequential(model, Twice())
    assert Zen(gamma=0.01)(doubled, IMAGE).value == pytest.approx(value + math.log(2))


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


def test_what_follows_the_pooling_does_not_count():
    assert zen(plain()[:5], IMAGE).value == zen(plain()[:6], IMAGE).value
    other = nn.Sequential(*plain()[:5], nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 30, 1), nn.Flatten(), Twice())
    value = Zen(repeats=1)(other, IMAGE).value
    assert value == pytest.approx(Zen(repeats=1)(nn.Sequential(*other[:-1]), IMAGE).value)


def test_norms_of_constants_add_nothing_and_constant_features_are_minus_infinity():
    class Dead(nn.Module):
        def __init__(self, keep):
            super().__init__()
            self.conv, self.norm, self.keep = nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3), keep

        def forward(self, x):
            return self.conv(x) * self.keep + self.norm(self.conv(x) * 0)

    alone = nn.Conv2d(3, 3, 1, bias=False)
    assert zen(Dead(1.0), IMAGE).value == pytest.approx(zen(alone, IMAGE).value)
    assert zen(Dead(0.0), IMAGE).value == -math.inf


def test_an_overflow_is_minus_infinity_and_warned_of(caplog):
    class Huge(nn.Module):
        def forward(self, x):
            return x * 1e308

    assert zen(nn.Sequential(plain()[0], Huge()), IMAGE).value == -math.inf
    assert "zen of a Sequential overflows" in caplog.text


@pytest.mark.parametrize(
    ("setting", "value"), [("batch", 0), ("repeats", 1.5), ("gamma", 0), ("gamma", math.nan), ("seed", -1)]
)
def test_settings_outside_of_their_range_are_named(setting, value):
    with pytest.raises(SpaceError, match=f"{setting} is {value!r}"):
        Zen(**{setting: value})


def test_tokens_cannot_be_perturbed():
    with pytest.raises(SpaceError, match="zen perturbs the inputs"):
        zen(nn.Embedding(4, 2), torch.tensor([[1, 2]]))
    assert repr(zen) == "Zen(batch=16, repeats=4, gamma=0.01, seed=0, name='zen')"
