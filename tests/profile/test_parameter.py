import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile import Parameters, parameters
from tests.profile.models import MODELS, Tied


@pytest.mark.parametrize("name", [name for name in MODELS if name != "lazy"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_count_is_torchs(name, device):
    model = MODELS[name][0]().to(device)
    assert parameters(model).value == sum(parameter.numel() for parameter in model.parameters())


def test_parts_are_the_modules_own():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4)))
    assert parameters.parts(model) == {"0": 16, "1.0": 8}  # and no running statistics
    model.register_parameter("scale", nn.Parameter(torch.ones(5)))
    assert parameters.parts(model)[""] == 5


def test_tied_parameters_count_where_they_come_first():
    assert parameters.parts(Tied()) == {"embed": 28}
    shared = nn.Linear(2, 2)
    assert parameters(nn.Sequential(shared, shared)).value == 6


def test_trainable_ones_and_frozen_ones_make_all():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    model[0].requires_grad_(False)
    assert Parameters(trainable=True).parts(model) == {"1": 25}
    assert Parameters(trainable=False).parts(model) == {"0": 16}


def test_lazy_layers_are_counted_after_a_run_on_the_example():
    model = nn.Sequential(nn.LazyLinear(3), nn.LazyConv1d(2, 1))
    assert parameters.parts(model, torch.zeros(5, 7)) == {"0": 24, "1": 12}
    assert isinstance(model[0], nn.LazyLinear)
    with pytest.raises(SpaceError, match="needs an example input"):
        parameters(model)
