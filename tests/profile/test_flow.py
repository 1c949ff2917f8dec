import math

import pytest
import torch
from torch import nn

from lanista.profile import Synflow, synflow


def chain(*weights):
    layers = []
    for weight in weights:
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        layer.weight = nn.Parameter(weight)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


W = [torch.randn(5, 3), torch.randn(4, 5), torch.randn(2, 4)]
ROW = torch.randn(1, 3)


def test_a_chain_has_one_flow_through_each_layer():
    """Each layer's weights share R = 1' |W3| |W2| |W1| 1 among them."""
    r = (W[2].abs() @ W[1].abs() @ W[0].abs()).sum()
    assert synflow(chain(*W), ROW).value == pytest.approx(math.log(3 * r))


def test_it_is_the_papers_sum_on_a_network_with_branches():
    class Branched(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.bypass = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x, norm=None):
            return self.second((norm or self.norm)(self.first(x)).relu()) + self.bypass(x)

    model = Branched()
    expected = Branched().double()
    expected.load_state_dict({name: tensor.abs() for name, tensor in model.state_dict().items()})
    expected(torch.ones(1, 3, 6, 6).double(), nn.Identity()).sum().backward()
    convs = [expected.first, expected.second, expected.bypass]
    flow = sum((conv.weight * conv.weight.grad).abs().sum().item() for conv in convs)
    assert synflow(model, torch.randn(1, 3, 6, 6)).value == pytest.approx(math.log(flow), rel=1e-12)


def test_signs_the_numbers_of_the_example_and_scales_of_norms_do_not_matter():
    value = synflow(chain(*W), ROW).value
    assert synflow(chain(-W[0], W[1].abs(), W[2]), ROW * 9).value == pytest.approx(value)
    for norm in (nn.BatchNorm1d(5), nn.LayerNorm(5), nn.RMSNorm(5), nn.GroupNorm(1, 5)):
        normed = nn.Sequential(*chain(*W))
        normed.insert(1, norm)
        nn.init.constant_(norm.weight, -3.0)
        assert synflow(normed, ROW).value == pytest.approx(value)


def test_scaling_a_layer_adds_its_logarithm_and_shifting_scale_between_layers_nothing():
    value = synflow(chain(*W), ROW).value
    assert synflow(chain(W[0] * 10, W[1], W[2]), ROW).value == pytest.approx(value + math.log(10))
    assert synflow(chain(W[0] * 10, W[1] / 10, W[2]), ROW).value == pytest.approx(value)
    assert synflow(chain(*W), ROW.expand(7, 3)).value == pytest.approx(value + math.log(7))


def test_neurons_may_be_permuted():
    order = torch.randperm(5)
    assert synflow(chain(W[0][order], W[1][:, order], W[2]), ROW).value == pytest.approx(synflow(chain(*W), ROW).value)


def test_deep_networks_do_not_overflow():
    """150 layers with a gain of about 80 each: far more than single precision holds."""
    layers = [torch.ones(80, 80) for _ in range(150)]
    assert synflow(chain(*layers), torch.ones(1, 80)).value == pytest.approx(
        151 * math.log(80) + math.log(80 * 150 / 80)
    )


def test_where_nothing_flows_it_is_minus_infinity():
    assert synflow(chain(W[0], W[1] * 0), ROW).value == -math.inf
    assert synflow(nn.Sequential(chain(W[0]), Constant()), ROW).value == -math.inf


def test_what_overflows_is_minus_infinity_and_warned_of(caplog):
    assert synflow(chain(*[torch.full((1, 1), 1e30)] * 12), torch.ones(1, 1)).value == -math.inf
    assert "synflow of a Sequential overflows" in caplog.text


class Constant(nn.Module):
    def forward(self, x):
        return torch.ones(1, 2)


def test_a_tied_weight_counts_once():
    """y = w^2 x: the slope at w is 2 w."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, -3.0)
    assert synflow(nn.Sequential(layer, layer), torch.ones(1, 1)).value == pytest.approx(math.log(2 * 9))


def test_it_has_its_settings_in_its_words():
    assert repr(Synflow(name="flow")) == "Synflow(name='flow')"
    assert synflow == Synflow()
