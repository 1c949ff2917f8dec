import pytest
import torch
from torch import nn

from lanista.elastic.flow import follow
from lanista.elastic.trace import trace

from .models import make


def flowed(name):
    model, example = make(name)
    return follow(trace(model, example), model)


def count(flow, name, dim=0):
    found = flow.channels.units.classes(flow.channels.axes[name, dim])
    return len(found[found > 0].unique())


@pytest.mark.parametrize(
    ("model", "weight", "classes"),
    [
        ("resnet", "layer1.0.conv1.weight", 16),
        ("bottleneck", "layer2.0.body.0.weight", 4),
        ("vit", "blocks.0.attn.qkv.weight", 4),
        ("vit-einsum", "blocks.0.attn.q.weight", 4),
        ("vit-torch", "blocks.0.attn.inner.in_proj_weight", 4),
        ("shuffle", "stem.weight", 8),
        ("unet", "down2.0.weight", 8),
        ("mixer", "gated.weight", 24),
        ("mixer", "tokens.weight", 0),
        ("recurrent", "embed.weight", 0),
    ],
)
def test_how_many_units_a_layer_has(model, weight, classes):
    assert count(flowed(model), weight) == classes


def test_tied_weights_are_one():
    flow = flowed("tied")
    assert flow.names["head.weight"] == "embed.weight"
    assert ("head.weight", 0) not in flow.channels.axes


def test_positions_take_part_in_the_stream():
    flow = flowed("vit")
    units = flow.channels.units
    stream = units.classes(flow.channels.axes["patch.weight", 0])
    assert (units.classes(flow.channels.elements["position"]) == stream).all()


def test_unused_weights_are_known():
    assert "unused.weight" not in flowed("recurrent").used


def test_the_device_that_the_caller_works_on_does_not_matter():
    model, example = make("vit")
    traced = trace(model, example)
    with torch.device("meta"):
        assert count(follow(traced, model), "blocks.0.attn.qkv.weight") == 4


def test_attention_with_other_sizes_for_keys_keeps_its_size():
    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(3, 8), nn.Linear(3, 6)
            self.inner = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)

        def forward(self, x):
            key = self.key(x)
            return self.inner(self.query(x), key, key, need_weights=False)[0].mean()

    model = Cross()
    flow = follow(trace(model, torch.zeros(2, 4, 3)), model)
    assert count(flow, "query.weight") == count(flow, "key.weight") == 0
