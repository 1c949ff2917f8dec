import torch
from torch import nn

from lanista.graph.duplicate import duplicate, sketch
from tests.graph.zoo import ROWS, Mixed, seeded


def test_copies_keep_ties_and_share_nothing():
    model = seeded(Mixed)
    copy = duplicate(model)
    assert copy.second.weight is copy.first.weight
    assert torch.equal(copy.first.weight, model.first.weight)
    assert not {id(p) for p in copy.parameters()} & {id(p) for p in model.parameters()}


def test_sketches_have_shapes_only():
    model = seeded(Mixed)
    model.first.bias.requires_grad_(False)
    plan = sketch(model)
    tensors = [*plan.parameters(), *plan.buffers(), plan.constant]
    assert all(tensor.is_meta for tensor in tensors)
    assert plan.second.weight is plan.first.weight
    assert isinstance(plan.first.weight, nn.Parameter)
    assert not plan.first.bias.requires_grad
    assert plan.eval()(ROWS.to("meta"))["logits"].shape == (3, 4)
    assert not model.first.weight.is_meta


def test_a_sketch_of_a_lazy_layer_can_run_once():
    layer = nn.LazyBatchNorm1d()
    assert sketch(layer)(ROWS.to("meta")).shape == (3, 4)
    assert layer.has_uninitialized_params()
