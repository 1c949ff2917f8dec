import pytest
import torch
from torch import nn

from lanista.graph import ModelGraph
from tests.graph.zoo import ROWS


def test_lazy_layers_get_their_shapes_without_being_settled():
    graph = ModelGraph(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), example_input=ROWS)
    node = graph.node(name="1")
    node.replace(lambda: nn.LazyLinear(5))
    assert node.shape == "[3, 5]"
    node.insert_after(nn.LazyBatchNorm1d)
    layer = graph.module().get_submodule("1")
    assert isinstance(layer, nn.LazyLinear)
    assert layer.has_uninitialized_params()
    assert graph.module()(ROWS).shape == (3, 5)


class Numbers(nn.Module):
    """Asks for numbers, and uses tensors that are no part of it."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        y = self.first(x)
        rows = torch.nonzero(y[:, 0] > 0)
        y = y + torch.tensor(1.0) + torch.ones(4, device="cpu")
        return self.last(y), rows


def test_what_depends_on_numbers_is_not_known_and_not_refused():
    graph = ModelGraph(Numbers(), example_input=ROWS)
    assert graph.node(type=torch.nonzero).shape == "?"
    assert graph.node(name="first").shape == "[3, 4]"
    graph.node(name="first").replace(lambda: nn.Linear(4, 4))
    graph.module()(ROWS)


def test_checks_leave_modules_alone():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = None

        def forward(self, x):
            self.last = x
            return x

    model = nn.Sequential(Remembers(), nn.BatchNorm1d(4))
    graph = ModelGraph(model, example_input=ROWS, leaves=[Remembers])
    graph.node(name="0").insert_after(nn.Tanh)
    assert model[0].last is None
    assert model[1].num_batches_tracked == 0
    assert model.training


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(4, 2).double()), "[3, 2] float64"),
        (nn.LSTM(4, 5), "([3, 5], ([1, 5], [1, 5]))"),
        (nn.MultiheadAttention(4, 2), "([3, 4], [3, 3])"),
    ],
)
def test_shapes_in_words(model, shape):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x, x, x) if isinstance(self.inner, nn.MultiheadAttention) else self.inner(x)

    example = ROWS.double() if "64" in shape else ROWS
    graph = ModelGraph(Net(), example_input=example)
    assert graph.nodes[1].shape == shape


def test_an_edit_computes_anew_only_what_can_change():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return x

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Counting(), nn.Linear(4, 2))
    graph = ModelGraph(model, example_input=ROWS, leaves=[Counting])
    before = Counting.calls
    graph.node(name="1").replace(nn.GELU)  # the same shape comes out
    assert Counting.calls == before
    with graph.edit():
        graph.node(name="0").update(out_features=6)
        graph.node(name="3").update(in_features=6)
    assert Counting.calls == before + 1
    assert graph.node(name="2").shape == "[3, 6]"
    assert graph.module()(ROWS).shape == (3, 2)
