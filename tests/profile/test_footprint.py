import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lanista.errors import SpaceError
from lanista.profile import activations, memory, parameters
from tests.profile.models import MODELS, Dependent, Residual


class Checkpointed(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False)


def mlp():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


ROWS = torch.zeros(3, 4)


def test_activations_are_what_layers_save():
    # The input of each linear layer; the output of the ReLU is that of the second, kept once.
    assert activations.parts(mlp(), ROWS) == {"0": 4 * 3 * 4, "1": 4 * 3 * 8}


def test_what_needs_no_gradient_saves_less():
    model = mlp()
    model[0].requires_grad_(False)
    assert activations.parts(model, ROWS) == {"2": 4 * 3 * 8}
    assert activations(model.requires_grad_(False), ROWS).value == 0


@pytest.mark.parametrize("inplace", [True, False])
def test_each_storage_counts_once(inplace):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=inplace), nn.Conv2d(4, 2, 1))
    plane, statistics = 4 * 2 * 5 * 5, 4 * 2 * 4
    # The image, the norm's input with its mean and deviation, and the output of the ReLU, which the last layer keeps.
    assert activations(model, torch.zeros(2, 3, 5, 5)).value == plane * (3 + 4 + 4) + statistics


def test_checkpoints_save_their_input_alone():
    deep = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(5)])
    assert activations(deep, ROWS).value == 4 * 3 * 4 * 6
    assert activations(Checkpointed(deep), ROWS).value < 4 * 3 * 4 * 6 / 2


def test_wider_numbers_take_more():
    assert activations(mlp().double(), ROWS.double()).value == 2 * activations(mlp(), ROWS).value
    assert memory(mlp().double(), ROWS.double()).value == 2 * memory(mlp(), ROWS).value


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (nn.Linear(4, 8), 4 + 8),
        (mlp(), 4 + 8 + 8),
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)), 4 + 8 + 2),
        # The third layer's input is gone while the fourth runs; the model's input stays.
        (nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3), nn.Linear(3, 1)), 4 + 6 + 5),
        (nn.Sequential(nn.Linear(4, 6), Residual(nn.Linear(6, 6))), 4 + 6 + 6 + 6),
        (nn.Flatten(), 4),
    ],
)
def test_memory_peaks_where_most_is_alive(model, most):
    assert memory(model, torch.zeros(1, 4)).value == 4 * (most + parameters(model).value)


# Recurrent layers keep other things in between on each device, and a lazy layer cannot look at numbers.
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("lazy", "lstm")])
@pytest.mark.parametrize("measure", [activations, memory], ids=repr)
def test_the_meta_device_and_a_real_one_agree(measure, name):
    build, example = MODELS[name]
    without, with_numbers = measure(build(), example).value, measure(Dependent(build()), example).value
    assert without <= with_numbers <= without + 64  # `Dependent` itself makes a sum


def test_a_batch_of_one_says_what_norms_need():
    model = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    with pytest.raises(SpaceError, match=r"activations cannot be measured.*more than 1 value per channel"):
        activations(model, torch.zeros(1, 4))
    assert memory(model, torch.zeros(1, 4)).value
