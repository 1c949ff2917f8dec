import torch
from torch import nn

from lanista.elastic.plan import Attribute, Axis, Plan, Stage
from lanista.elastic.surgery import adjust, build, reset

from .models import make

NOTHING = Plan((), (), {}, (), {})


def test_a_copy_shares_nothing_and_keeps_what_parameters_know():
    model, example = make("tied")
    model.embed.weight.requires_grad_(False)
    model.up.bias.group = "slow"
    copy = build(model, NOTHING, {})
    assert copy.embed.weight is copy.head.weight
    assert copy.embed.weight is not model.embed.weight
    assert not copy.embed.weight.requires_grad
    assert copy.up.bias.group == "slow"
    assert torch.equal(copy(example)["logits"], model(example)["logits"])


def test_slices_are_of_their_own_memory():
    model = nn.Linear(4, 6)
    axis = Axis("weight", 0, 6, {"w": torch.arange(6)})
    small = build(model, Plan((), (), {("weight", 0): axis}, (), {}), {"w": 2})
    assert torch.equal(small.weight, model.weight[:2])
    assert small.weight.untyped_storage().nbytes() == 2 * 4 * 4


def test_blocks_are_dropped_without_a_copy():
    model, _ = make("resnet")
    plan = Plan((), (Stage("d", "layer2", (3, 1), ("0", "1", "2")),), {}, (), {})
    small = build(model, plan, {"d": 1})
    assert len(small.layer2) == 1
    assert len(model.layer2) == 3


def test_meta_copies_have_no_values():
    model, _ = make("vit")
    assert all(value.is_meta for value in build(model, NOTHING, {}, meta=True).state_dict().values())
    assert not any(value.is_meta for value in model.state_dict().values())


def test_numbers_keep_their_proportion():
    axis = Axis("w", 0, 12, {"h": torch.arange(12) // 4})
    module = nn.Module()
    module.heads, module.shape = 3, (3, 12)
    adjust(module, Attribute("", "heads", None, 3, ("w", 0)), axis, {"h": 2})
    adjust(module, Attribute("", "shape", 1, 12, ("w", 0)), axis, {"h": 2})
    assert (module.heads, module.shape) == (2, (3, 8))


def test_reset_draws_weights_by_the_layers_own_method():
    model, _ = make("vit-torch")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    reset(model)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"patch.weight", "blocks.0.attn.inner.in_proj_weight", "head.bias"} <= changed
    assert "position" not in changed
