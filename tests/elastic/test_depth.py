import pytest
from torch import nn

from lanista.elastic.depth import stages
from lanista.elastic.trace import trace

from .models import Block, make


def found(name, keep=()):
    model, example = make(name)
    return {stage.path: stage.candidates for stage in stages(trace(model, example), model, keep)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mlp", {}),
        ("resnet", {"layer1": (2, 1), "layer2": (3, 2, 1)}),
        ("mobilenet", {"features.1": (2, 1), "features.2": (3, 2, 1)}),
        ("densenet", {}),
        ("vit", {"blocks": (2, 1)}),
        ("vit-torch", {"blocks": (2, 1)}),
    ],
)
def test_residual_blocks_at_the_end_of_a_container_can_go(name, expected):
    assert found(name) == expected


def test_what_holds_a_kept_layer_stays():
    assert found("resnet", ["layer2.1.conv1"]) == {"layer1": (2, 1), "layer2": (3, 2)}


def test_containers_inside_of_blocks_come_first():
    model, example = make("vit")
    inner = [nn.Sequential(*(Block(32, 4, type(model.blocks[0].attn)) for _ in range(2))) for _ in range(2)]
    model.blocks = nn.Sequential(*inner)
    labels = [stage.label for stage in stages(trace(model, example), model, ())]
    assert labels == ["blocks.0/depth", "blocks.1/depth"]
