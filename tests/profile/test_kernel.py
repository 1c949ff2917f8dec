import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lanista.errors import SpaceError
from lanista.profile import NASWOT

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


def codes(*activations):
    """The kernel from Hamming distances, bit by bit."""
    bits = [[tuple(bool(v > 0) for a in activations for v in a[i].flatten())] for i in range(len(activations[0]))]
    distance = [[sum(a != b for a, b in zip(one[0], other[0], strict=True)) for other in bits] for one in bits]
    return len(bits[0][0]) - np.array(distance, dtype=float)


def test_it_is_the_determinant_of_agreements():
    first, second = nn.Linear(5, 20), nn.Linear(20, 30)
    model = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU())
    hidden = first(X)
    expected = np.linalg.slogdet(codes(hidden, second(hidden.relu())))[1]
    assert NASWOT(X)(model).value == pytest.approx(expected)


def test_by_hand():
    """Codes 10, 01 and 11: agreements 2 on the diagonal, 0 between the first two, 1 with the third; |K| = 4."""
    x = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    assert NASWOT(x)(nn.ReLU()).value == pytest.approx(math.log(4))
    assert NASWOT(x)(nn.Sequential(nn.ReLU(), nn.ReLU())).value == pytest.approx(math.log(8 * 4))


RECTIFIERS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(), nn.SiLU(),
    nn.Mish(), nn.Hardswish(), nn.ReLU(inplace=True), nn.ReLU6(inplace=True), nn.ELU(inplace=True),
    nn.SiLU(inplace=True), nn.Hardswish(inplace=True), nn.LeakyReLU(inplace=True),
    functional.relu, torch.relu, functional.relu6, lambda x: x.clamp(min=0), lambda x: x.clamp_min(0),
]  # fmt: skip


@pytest.mark.parametrize("rectifier", RECTIFIERS, ids=lambda r: getattr(r, "__name__", repr(r)))
def test_every_rectifier_counts_as_module_or_function(rectifier):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = rectifier if isinstance(rectifier, nn.Module) else None

        def forward(self, x):
            return rectifier(x)

    assert NASWOT(X)(Net()).value == pytest.approx(np.linalg.slogdet(codes(X))[1])


def test_scale_does_not_matter():
    model = nn.Sequential(nn.Linear(5, 40), nn.ReLU(), nn.Linear(40, 10), nn.ReLU())
    value = NASWOT(X)(model).value
    with torch.no_grad():
        for parameter in model[0].parameters():
            parameter.mul_(4)
        for parameter in model[2].parameters():
            parameter.mul_(0.5)
        model[2].bias *= 4
    assert NASWOT(X)(model).value == value


def test_inputs_with_one_code_give_minus_infinity():
    assert NASWOT(torch.ones(3, 4))(nn.ReLU()).value == -math.inf


def test_a_model_without_rectifiers_is_an_error_that_says_what_to_use():
    for model in (nn.Linear(5, 2), nn.Sequential(nn.Linear(5, 2), nn.Tanh(), nn.Hardtanh())):
        with pytest.raises(SpaceError, match=r"naswot counts which rectifiers .* has none .* use Jacov"):
            NASWOT(X)(model)
    with pytest.raises(SpaceError, match="give at least 2"):
        NASWOT(X[:1])
    assert repr(NASWOT(X)) == "NASWOT((6, 5), name='naswot')"
