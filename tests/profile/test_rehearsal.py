from typing import NamedTuple

import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile.rehearsal import Ledger, hollow, moved, rehearse, replaced, tensors_in
from tests.profile.models import MODELS, ROW, Dependent, Stateful, Tied


def devices(model, inputs):
    model(*inputs)
    return {tensor.device.type for tensor in [*model.parameters(), *inputs]}


def test_models_run_without_numbers_where_they_bear_that():
    assert rehearse(nn.Linear(4, 2), ROW, devices, name="it") == {"meta"}
    assert rehearse(Stateful(), ROW, devices, name="it") == {"meta"}
    assert rehearse(Dependent(nn.Linear(4, 2)), ROW, devices, name="it") == {"cpu"}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("wrap", [lambda model: model, Dependent])
def test_the_mode_is_the_one_asked_for(wrap, training):
    def observe(model, inputs):
        return all(module.training is training for module in model.modules()), model(*inputs).requires_grad

    model = wrap(nn.Sequential(nn.Linear(4, 2))).train(not training)
    assert rehearse(model, ROW, observe, name="it", training=training) == (True, training)


@pytest.mark.parametrize(
    ("model", "example", "words"),
    [
        (nn.Linear(4, 2), None, ["it runs the model", "tuple of positional inputs", "ModelSpace(..., example_input"]),
        (nn.Linear(4, 2), torch.zeros(3), ["it cannot be measured", "Linear cannot be run", "RuntimeError: "]),
        (nn.Linear(4, 2), (ROW, ROW), ["Linear cannot be run", "TypeError: ", "3 were given"]),
        (Dependent(nn.LazyLinear(2)), ROW, ["Dependent cannot be run", "lazy layers must be run once before"]),
        (Dependent(nn.Linear(4, 2)).to("meta"), ROW, ["Dependent cannot be run", "build it on a real device"]),
    ],
)
def test_what_cannot_be_run_says_why(model, example, words):
    with pytest.raises(SpaceError) as caught:
        rehearse(model, example, lambda model, inputs: model(*inputs), name="it")
    assert all(word in str(caught.value) for word in words), caught.value


def test_hollow_copies_have_shapes_alone():
    for build, _ in MODELS.values():
        model, copy = build(), hollow(build())
        assert all(tensor.is_meta for tensor in [*copy.parameters(), *copy.buffers()])
        assert list(map(type, copy.modules())) == list(map(type, model.modules()))
        assert [p.requires_grad for p in copy.parameters()] == [p.requires_grad for p in model.parameters()]
    assert hollow(Stateful()).constant.is_meta
    tied = hollow(Tied())
    assert tied.head.weight is tied.embed.weight


def test_a_tensor_given_twice_stays_one():
    one, other = moved((ROW, [ROW]), torch.device("meta"))
    assert one is other[0]
    assert one.is_meta


class Pair(NamedTuple):
    one: object
    other: object


def test_containers_keep_their_kind():
    pair = Pair(ROW[0], ROW[1])
    value = {"a": [1, ROW], "b": (ROW, None), "c": pair}
    again = replaced(value, torch.Tensor, lambda tensor: tuple(tensor.shape))
    assert again == {"a": [1, (2, 4)], "b": ((2, 4), None), "c": ((4,), (4,))}
    assert isinstance(again["c"], Pair)
    assert len(tensors_in(value)) == 4


def test_a_ledger_gives_to_each_module_what_grows_in_it():
    total = 0

    class Costly(nn.Module):
        def __init__(self, price, *inner):
            super().__init__()
            self.price, self.inner = price, nn.ModuleList(inner)

        def forward(self, x):
            nonlocal total
            total += self.price
            for module in self.inner:
                x = module(x)
            total += self.price
            if self.price == 7:
                raise ValueError(x)
            return x

    class Catching(Costly):
        def forward(self, x):
            try:
                return super().forward(x)
            except ValueError:
                nonlocal total
                total += 100
                return x

    model = Costly(1, Costly(10), Catching(2, Costly(7)), Costly(0))
    with Ledger(model, lambda: total) as ledger:
        model(ROW)
    assert ledger.parts == {"": 2, "inner.0": 20, "inner.1": 102, "inner.1.inner.0": 14}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
