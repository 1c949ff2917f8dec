import pytest
import torch
from torch import nn

from lanista.draw.calls import Call, Op, feeders, given, read
from lanista.nn import InputChoice
from tests.draw.networks import IMAGE, Branching, Darts, Small, mobile
from tests.export.single import remember, unchanged

MODELS = {
    "darts": lambda: Darts(cells=6),
    "mobile": mobile,
    "small": Small,
    "layer": lambda: nn.Conv2d(3, 4, 3),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, batch_first=True),
    "branching": Branching,
    "inside": lambda: nn.Sequential(nn.Conv2d(3, 3, 1), Branching(), nn.ReLU()),
}


def leaves(model):
    return {
        path
        for path, module in model.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Sequential | torch.fx.GraphModule)
    }


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_read_once_and_after_what_feeds_it(name):
    model = MODELS[name]()
    root = read(model)
    ops = list(root.ops())
    paths = [op.path for op in ops if op.module is not None]
    if name != "transformer":  # one layer of torch
        assert sorted(paths) == sorted(leaves(model))
    seen = set(root.entries)
    for op in ops:
        assert set(feeders(op.inputs, root.entries)) <= seen
        seen.add(op)
    assert set(feeders(root.outputs, root.entries)) <= seen


@pytest.mark.parametrize("name", ["darts", "small", "branching"])
@pytest.mark.parametrize("example", [None, (IMAGE,)])
def test_the_model_is_left_as_it_was(name, example):
    model = MODELS[name]().train()
    model.extra = 1
    if name == "small":
        assert nn.parameter.is_lazy(Small().body) is False
        read(model, example)
        return
    before = remember(model)
    read(model, example)
    unchanged(model, before)


def test_shapes_are_known_with_an_example_also_on_the_meta_device():
    for device in ("cpu", "meta"):
        with torch.device(device):
            model = Darts(cells=3)
        root = read(model, (IMAGE,))
        assert [op.shape for op in root.outputs] == ["10"]
        assert next(op.shape for op in root.ops()) == "24×32×32"
    assert {op.shape for op in read(Darts(cells=3)).ops()} == {""}


def test_a_lazy_layer_stays_lazy():
    model = nn.Sequential(nn.LazyLinear(3))
    read(model, (torch.zeros(2, 4),))
    assert isinstance(model[0], nn.LazyLinear)


def test_calls_have_an_entry_for_each_argument_also_if_two_are_one_tensor():
    root = read(Darts(cells=2))
    cell = next(item for item in root.items if isinstance(item, Call) and item.path == "cells.0")
    assert [entry.words.name for entry in cell.entries] == ["s0", "s1"]
    assert feeders(cell.entries[0].inputs, ()) == feeders(cell.entries[1].inputs, ())
    assert len(feeders(given(cell), root.entries)) == 1


class Views(nn.Module):
    """What only unpacks and measures is no operation."""

    def __init__(self):
        super().__init__()
        self.pick = InputChoice(2)
        self.nothing = nn.Sequential()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x, extra=None):
        batch, _, _height = x.shape
        one, other = x.chunk(2, dim=1)
        y = self.nothing(self.pick([one, other])).reshape(batch, -1)
        return y * self.scale[0] if extra is None else y


def test_only_operations_are_read():
    root = read(Views())
    assert [op.words.name for op in root.ops()] == ["chunk", "reshape", "scale", "×"]
    assert [type(module).__name__ for module in root.silent] == ["Selection", "Sequential"]
    assert [entry.words.name for entry in root.entries] == ["x"]
    chunk, reshape, scale, product = root.ops()
    assert (reshape.inputs, product.inputs) == ([chunk], [reshape, scale])


def test_what_cannot_be_traced_is_its_children_in_order():
    root = read(nn.Sequential(nn.Conv2d(3, 3, 1), Branching(), nn.ReLU()))
    assert root.traced
    inner = root.items[1]
    assert isinstance(inner, Call) and not inner.traced
    assert [op.path for op in inner.ops()] == ["1.first", "1.second.0", "1.second.1"]
    assert root.items[2].inputs == inner.outputs == [list(inner.ops())[-1]]
    assert feeders(given(inner), root.entries) == [root.items[0]]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, *parts):
        return self.inner(*parts)[0]


def test_any_number_of_arguments_is_taken_from_the_example():
    x = torch.zeros(1, 5, 8)
    root = read(Attention(), (x, x, x))
    [op] = root.ops()
    assert isinstance(op, Op) and len(op.inputs) == 3 and op.words.title == "Attention"
