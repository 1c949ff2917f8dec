import pytest
import torch
from torch import nn

from lanista.elastic.attributes import known
from lanista.elastic.flow import follow
from lanista.elastic.plan import Wish, plan
from lanista.elastic.trace import trace
from lanista.elastic.verify import fault, first_line, sizes

from .models import make

WISH = Wish((0.5,), 2, {"width", "heads", "hidden"}, ())


def test_sizes_are_foreseen():
    model, example = make("densenet")
    traced = trace(model, example)
    flow = follow(traced, model)
    found = plan(flow, model, WISH)
    expected = sizes(flow, found, {"stem/width": 8, "steps.0.2/width": 4})
    joined = [expected[node] for node in traced.operations() if "cat" in str(node.target)]
    assert joined == [(2, 8, 8, 8), (2, 12, 8, 8), (2, 20, 8, 8), (2, 28, 8, 8)]


def wrong(model, example, answers, *, attributes=True):
    traced = trace(model, example)
    flow = follow(traced, model)
    found = plan(flow, model, WISH)
    if attributes:
        found = type(found)(found.cuts, (), found.axes, tuple(known(model, found)), found.fixed)
    return fault(model, traced, flow, found, answers, example, meta=False)


def test_a_sound_sample_has_no_fault():
    model, example = make("resnet")
    assert wrong(model, example, {"stem.0/width": 8}) is None


def test_a_sample_that_does_not_run_has_one():
    model, example = make("vit")
    found = wrong(model, example, {"blocks.1.attn/heads": 2})
    assert "does not run" in found.words
    assert 0 < found.progress < 1


def test_a_sample_that_runs_with_other_sizes_has_one():
    class Heads(nn.Module):
        """The number of heads is fixed; their size follows."""

        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 2)

        def forward(self, x):
            x = self.one(x).view(3, 5, 4, -1).transpose(1, 2)
            x = nn.functional.scaled_dot_product_attention(x, x, x)
            return self.two(x.transpose(1, 2).flatten(2))

    found = wrong(Heads(), torch.zeros(3, 5, 6), {"one/heads": 2, "heads": 2})
    assert found.words == "aten.view in the model itself gives [3, 5, 4, 2] instead of [3, 5, 2, 4] in a smaller model"
    assert found.progress > 1


@pytest.mark.parametrize(("text", "expected"), [("\n a \nb", "a"), ("", "no message"), ("x" * 300, "x" * 160)])
def test_errors_are_told_in_one_line(text, expected):
    assert first_line(RuntimeError(text)) == expected
