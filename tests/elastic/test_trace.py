import pytest
import torch
from torch import nn

from lanista.elastic.trace import arguments, evaluating, moved, operation, place, run, shape, tensors, trace

from .models import Torch, make


def test_operations_know_their_module_and_shape():
    model, example = make("mlp")
    traced = trace(model, example)
    assert [(operation(node), place(node), shape(node)) for node in traced.operations()[:3]] == [
        ("aten.linear", "0", (3, 32)),
        ("aten.batch_norm", "1", (3, 32)),
        ("aten.relu", "2", (3, 32)),
    ]
    assert set(traced.weights.values()) <= {*dict(model.named_parameters()), *dict(model.named_buffers())}
    assert "1.running_mean" in traced.weights.values()


def test_attention_is_traced_as_what_it_is_made_of():
    model = Torch(8, 2).requires_grad_(False)
    names = {operation(node) for node in trace(model, torch.zeros(1, 3, 8)).operations()}
    assert "aten.scaled_dot_product_attention" in names
    assert torch.backends.mha.get_fastpath_enabled()


def test_modes_are_given_back_even_after_an_error():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)).eval())
    with pytest.raises(KeyError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False, False]


def test_tensors_are_found_in_containers_and_other_objects_passed_over():
    one, two = torch.zeros(1), torch.zeros(2)
    assert tensors({"a": one, "cache": object(), "b": [two, (one, None)]}) == [one, two, one]
    assert tensors(3) == []


@pytest.mark.parametrize("example", [torch.zeros(2), (torch.zeros(2), 3), {"x": torch.zeros(2), "flag": True}])
def test_examples_come_in_three_forms(example):
    args, kwargs = arguments(moved(example, "meta"))
    values = [*args, *kwargs.values()]
    assert values[0].is_meta
    assert len(values) == (1 if isinstance(example, torch.Tensor) else 2)


def test_a_run_gives_no_gradients():
    model, example = make("tied")
    [logits] = run(model, example)
    assert logits.shape == (2, 4, 9)
    assert not logits.requires_grad
