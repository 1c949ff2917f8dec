import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import OneShotError
from lanista.oneshot import DARTS, GDAS, PCDARTS, DrNAS, FBNet, ProxylessNAS
from tests.oneshot.small import batch, differences, double, loss, supernet

METHODS = [DARTS, DrNAS, FBNet, GDAS, PCDARTS, ProxylessNAS]


def started(make, seed=0, steps=10):
    method = make()
    method.start(supernet(), steps=steps, seed=seed)
    with torch.no_grad():
        for number, alpha in enumerate(method.alphas.values()):
            alpha.copy_(torch.randn(alpha.shape, generator=torch.Generator().manual_seed(number)))
    return method


def mixtures(method, purpose):
    method.mixture(purpose)
    return {name: relaxation.mixture for name, relaxation in method.network.relaxations.items()}


@pytest.mark.parametrize("make", [DARTS, FBNet, lambda: PCDARTS(parts=2)], ids=["DARTS", "FBNet", "PCDARTS"])
def test_gradients_are_those_of_the_loss(make):
    with double():
        method = started(make)
        alphas = list(method.alphas.values())
        found = torch.autograd.grad(loss(method.mixture("architecture"), batch(1)), alphas)
        expected = differences(lambda: loss(method.mixture("architecture"), batch(1)), alphas)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("make", METHODS)
def test_weights_sum_up_to_what_is_chosen(make):
    method = started(lambda: PCDARTS(parts=2) if make is PCDARTS else make())
    for purpose in ("architecture", "weights"):
        for name, mixture in mixtures(method, purpose).items():
            relaxation = method.network.relaxations[name]
            total = mixture.weights.sum() if make is PCDARTS and relaxation.rivals else mixture.weights.sum(1)
            assert torch.allclose(total, torch.tensor(float(relaxation.drawn))), name
            assert mixture.weights.min() >= 0


@pytest.mark.parametrize("make", METHODS)
def test_draws_follow_from_seed_and_step(make):
    def weights(seed, count):
        method = started(lambda: PCDARTS(parts=2) if make is PCDARTS else make(), seed)
        method.count = count
        return torch.cat([mixture.weights.flatten() for mixture in mixtures(method, "architecture").values()])

    assert torch.equal(weights(0, 3), weights(0, 3))
    if make not in (DARTS, PCDARTS):
        assert not torch.equal(weights(0, 3), weights(1, 3))
        assert not torch.equal(weights(0, 3), weights(0, 4))


@pytest.mark.parametrize("make", METHODS)
@pytest.mark.parametrize("wrong", [{"learning_rate": -1.0}, {"weight_decay": float("nan")}], ids=str)
def test_settings_have_ranges(make, wrong):
    with pytest.raises(OneShotError, match="both must be at least 0"):
        make(**wrong)


def test_a_space_without_decisions_has_nothing_to_learn():
    with pytest.raises(OneShotError, match="the space has no decision, so that DARTS has nothing to learn"):
        DARTS().start(supernet(ModelSpace(nn.Linear, 4, 1)), steps=1)


def test_the_settings_are_shown():
    assert repr(FBNet(temperatures=(1.0, 0.03))) == (
        "FBNet(temperatures=(1.0, 0.03), learning_rate=0.01, weight_decay=0.0005, penalty=None)"
    )
