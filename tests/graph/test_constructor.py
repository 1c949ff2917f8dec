import pytest
import torch
from torch import nn

from lanista.errors import InvalidMutation
from lanista.graph.constructor import arguments, rebuilt

LAYERS = [
    (lambda: nn.Conv2d(4, 8, 3, 2, 1, groups=2, bias=False, padding_mode="reflect"), {"kernel_size": 5}),
    (lambda: nn.Conv1d(4, 4, 3, padding="same"), {"dilation": 2}),
    (lambda: nn.ConvTranspose2d(4, 8, 3, 2, output_padding=1), {"stride": 3}),
    (lambda: nn.Linear(3, 4, bias=False), {"bias": True}),
    (lambda: nn.BatchNorm2d(4, affine=False, momentum=None), {"eps": 0.1}),
    (lambda: nn.GroupNorm(2, 4), {"num_groups": 4}),
    (lambda: nn.LayerNorm(4, elementwise_affine=False), {"eps": 0.1}),
    (lambda: nn.LayerNorm([4, 2], bias=False), {"elementwise_affine": False}),
    (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), {"kernel_size": 2}),
    (lambda: nn.AdaptiveAvgPool2d((1, None)), {"output_size": 2}),
    (lambda: nn.Dropout(0.3), {"p": 0.1}),
    (lambda: nn.GELU("tanh"), {"approximate": "none"}),
    (lambda: nn.PReLU(3), {"num_parameters": 1}),
    (lambda: nn.Embedding(5, 3, padding_idx=1), {"num_embeddings": 7}),
    (lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), {"hidden_size": 5}),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), {"mode": "nearest"}),
    (lambda: nn.MultiheadAttention(4, 2, batch_first=True), {"num_heads": 4}),
    (lambda: Scale(2, init=0.5), {"width": 3}),
]


class Scale(nn.Module):
    """A user's own layer, which keeps its arguments."""

    def __init__(self, width, *, init=1.0, device=None):
        super().__init__()
        self.width, self.init = width, init
        self.weight = nn.Parameter(torch.full((width,), init, device=device))


@pytest.mark.parametrize(("make", "changes"), LAYERS)
def test_a_layer_is_built_again_with_one_change(make, changes):
    module = make().eval()
    known = arguments(module)
    assert rebuilt(module, {}) is module
    assert rebuilt(module, {name: known[name] for name in changes}) is module
    new = rebuilt(module, changes)
    assert type(new) is type(module)
    assert not new.training
    [(name, value)] = changes.items()
    assert arguments(new)[name] in (value, (value,), (value, value))
    kept = [other for other in known if other != name and not other.startswith(("normalized", "_"))]
    assert {other: arguments(new)[other] for other in kept} == {other: known[other] for other in kept}


def test_weights_notes_and_modes_stay_where_they_can():
    module = nn.Conv2d(2, 2, 3)
    module.label = "stem"
    new = rebuilt(module, {"stride": 2})
    assert new.label == "stem"
    assert torch.equal(new.weight, module.weight)
    assert new.weight is not module.weight
    assert rebuilt(module, {"kernel_size": 1}).weight.shape == (2, 2, 1, 1)


class Secret(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))


class Twisted(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width + 1


def test_what_does_not_tell_its_arguments_is_refused():
    with pytest.raises(InvalidMutation, match=r"no attribute 'width'; give the whole module.*lambda: Secret\(\.\.\.\)"):
        arguments(Secret(2))
    with pytest.raises(InvalidMutation, match="built from its attributes has another attribute 'width'"):
        arguments(Twisted(2))
    changed = nn.Conv2d(2, 2, 3)
    changed.weight = nn.Parameter(torch.ones(2, 2, 5, 5))
    with pytest.raises(InvalidMutation, match="another list of tensors"):
        arguments(changed)
    with pytest.raises(InvalidMutation, match="Linear has no argument 'width'; it has in_features, out_features, bias"):
        rebuilt(nn.Linear(2, 2), {"width": 2})
    with pytest.raises(InvalidMutation, match=r"Conv2d\(in_channels=2.*cannot be built: ValueError: in_channels"):
        rebuilt(nn.Conv2d(2, 2, 3), {"groups": 3})
