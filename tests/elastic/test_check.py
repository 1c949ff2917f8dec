import pytest
import torch
from torch import nn

from lanista.elastic.check import Subject, difference, settled
from lanista.elastic.plan import Wish

WISH = Wish((0.5,), 2, {"width", "heads", "hidden", "depth"}, ())


class Net(nn.Module):
    """A number in the middle module says how many channels it gives back."""

    def __init__(self, middle):
        super().__init__()
        self.one, self.two, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 2)
        self.middle = middle

    def forward(self, x):
        return self.last(self.middle(self.one(x)) + self.two(x).mean(-1, keepdim=True))


class Known(nn.Module):
    """Follows a layer outside of it."""

    def __init__(self):
        super().__init__()
        self.size = 8

    def forward(self, x):
        return x.view(-1, 2, self.size // 2).flatten(1)


class Unknowable(nn.Module):
    """Has its number where nobody looks."""

    def forward(self, x):
        return x.view(-1, 2, 4).flatten(1)


def test_a_number_follows_the_decision_that_it_belongs_to():
    plan, _ = settled(Subject(Net(Known()), torch.zeros(3, 6)), WISH)
    assert {cut.label for cut in plan.cuts} == {"one/width", "two/width"}
    [attribute] = [attribute for attribute in plan.attributes if attribute.path == "middle"]
    assert list(plan.axes[attribute.axis].ranks) == ["one/width"]


def test_a_decision_that_fails_is_taken_out_with_the_reason():
    plan, report = settled(Subject(Net(Unknowable()), torch.zeros(3, 6)), WISH)
    assert {cut.label for cut in plan.cuts} == {"two/width"}
    assert "a smaller model does not run (RuntimeError" in report.fixed["one"]
    assert report.fixed.keys() == {"one", "last"}


@pytest.mark.parametrize(("value", "gap"), [(0.0, 0.0), (1.0, 1.0), (float("nan"), float("inf"))])
def test_the_difference_is_the_greatest_one(value, gap):
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.load_state_dict(model.state_dict())
    other.bias.data[1] += value
    found = difference(Subject(model, torch.zeros(1, 2)), other)
    assert found == pytest.approx(gap)


def test_costs_are_of_the_largest_and_the_smallest():
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False))
    _, report = settled(Subject(model, torch.zeros(3, 6)), WISH)
    assert (report.full.parameters, report.full.macs) == (64, 3 * 64)
    assert (report.least.parameters, report.least.macs) == (32, 3 * 32)


def test_what_only_training_uses_must_run_as_well():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 2)
            self.aux = nn.Linear(8, 2)

        def forward(self, x):
            x = self.one(x)
            y = self.last(self.two(x).relu())
            return (y, self.aux(x)) if self.training else y

    plan, report = settled(Subject(Auxiliary(), torch.zeros(3, 6)), WISH)
    assert {cut.label for cut in plan.cuts} == {"two/width"}
    assert "does not run in training mode" in report.fixed["one"]
    assert "does not use it" in report.fixed["aux"]
