import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lanista.elastic.units import WILD, Units, spread, thin, wild

PAIRS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=20)


def union(pairs, count=13):
    """The least member of each one's class, the slow way."""
    root = list(range(count))
    for a, b in pairs:
        low, high = sorted((root[a], root[b]))
        root = [low if r == high else r for r in root]
    return root


@settings(deadline=None)
@given(PAIRS)
def test_tied_units_are_one_class(pairs):
    units = Units()
    units.fresh(12)
    for a, b in pairs:
        units.tie(torch.tensor([a]), torch.tensor([b]))
    assert units.classes(torch.arange(13)).tolist() == union(pairs)
    together = Units()
    together.fresh(12)
    if pairs:
        together.tie(*torch.tensor(pairs).T)
    assert torch.equal(together.state(), units.state())


@settings(deadline=None)
@given(PAIRS, st.integers(1, 12))
def test_what_is_tied_to_the_fixed_stays_for_the_same_reason(pairs, held):
    before, after = Units(), Units()
    for units in (before, after):
        units.fresh(12)
    before.fix(torch.tensor([held]), "because")
    for units in (before, after):
        for a, b in pairs:
            units.tie(torch.tensor([a]), torch.tensor([b]))
    after.fix(torch.tensor([held]), "because")
    assert torch.equal(before.state(), after.state())
    fixed = [unit for unit in range(1, 13) if before.state()[unit] == 0]
    assert held in fixed
    assert {units.reason(unit) for units in (before, after) for unit in fixed} == {"because"}


def test_wild_labels_join_nothing():
    units = Units()
    new = units.fresh(2)
    units.tie(new, torch.tensor([WILD, WILD]))
    assert units.classes(torch.tensor([1, 2, WILD])).tolist() == [1, 2, WILD]


def test_labels_vary_along_dimensions_where_classes_do():
    units = Units()
    labels = units.fresh(6).view(1, 2, 3)
    assert units.varying(labels.expand(4, 2, 3)) == [1, 2]
    units.merge(labels, 1)
    assert units.varying(labels) == [2]
    assert units.varying(wild((2, 3))) == []


def test_labels_are_small_where_they_do_not_vary():
    labels = torch.arange(3).view(1, 3, 1).expand(2, 3, 4)
    assert thin(labels).shape == (1, 3, 1)
    again = spread(labels.contiguous())
    assert torch.equal(again, labels)
    assert thin(again).shape == (1, 3, 1)
