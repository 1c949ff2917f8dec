import torch

from lanista.elastic.channels import MOST_ELEMENTS, Channels, Weight, slab
from lanista.elastic.units import FIXED, wild


def classes(channels, labels):
    return channels.units.classes(labels).tolist()


def test_a_weight_has_labels_along_each_dimension():
    channels = Channels()
    weight = channels.weight("w", (3, 2, 1), structured=True)
    assert isinstance(weight, Weight)
    assert [len(weight.axis(dim)) for dim in range(3)] == [3, 2, 1]
    assert weight.axis(0).tolist() == channels.axes["w", 0].tolist()
    turned = Weight(tuple(grid.transpose(0, 1) for grid in weight.grids))
    assert turned.axis(0).tolist() == channels.axes["w", 1].tolist()
    merged = Weight(tuple(grid.reshape(6, 1) for grid in weight.grids))
    assert merged.axis(0) is None


def test_vectors_and_what_is_added_elementwise_are_followed_by_element():
    channels = Channels()
    vector = channels.weight("v", (1, 4), structured=False)
    assert vector.flatten().tolist() == channels.axes["v", 1].tolist()
    table = channels.weight("t", (2, 3), structured=False)
    assert len(table.unique()) == 6
    assert torch.equal(channels.weight("t", (2, 3), structured=False), table)
    assert (channels.weight("large", (2, MOST_ELEMENTS), structured=False) == wild((1, 1))).all()


def test_joining_ties_along_what_both_have():
    channels = Channels()
    one, other = (channels.units.fresh(3) for _ in range(2))
    joined = channels.join([one.view(1, 3).expand(2, 3), other], "here")
    assert joined.shape == (2, 3)
    assert classes(channels, one) == classes(channels, other)


def test_a_constant_keeps_the_channels_that_it_has_a_number_for():
    channels = Channels()
    one, other = (channels.units.fresh(3) for _ in range(2))
    channels.join([one, wild((3,))], "here")
    channels.join([other, wild((1,))], "here")
    assert classes(channels, one) == [FIXED] * 3
    assert "here" in channels.units.reason(int(one[0]))
    assert FIXED not in classes(channels, other)


def test_an_outer_sum_keeps_both():
    channels = Channels()
    one, other = (channels.units.fresh(3) for _ in range(2))
    channels.join([one.view(3, 1), other.view(1, 3)], "here")
    assert classes(channels, one) == classes(channels, other) == [FIXED] * 3


def test_a_gate_for_each_head_meets_heads():
    channels = Channels()
    units = channels.units
    heads, gate = units.fresh(2).view(2, 1).expand(2, 4), units.fresh(2).view(2, 1)
    channels.join([heads, gate], "here")
    assert classes(channels, slab(heads, 0)) == classes(channels, slab(gate, 0))


def test_sums_over_all_channels_belong_to_none():
    channels = Channels()
    labels = channels.units.fresh(4).view(1, 4, 1).expand(2, 4, 3)
    assert (channels.reduce(labels, [1], keep=True) == wild((2, 1, 3))).all()
    assert torch.equal(channels.reduce(labels, [2], keep=False), labels[..., 0])


def test_a_matrix_takes_channels_or_leaves_them_alone():
    channels = Channels()
    labels = channels.units.fresh(4).view(4, 1).expand(4, 3)
    rows = channels.units.fresh(3)
    assert channels.contract(labels, -1, rows, "here").shape == (4, 1)
    assert classes(channels, rows) == [FIXED] * 3
    rows = channels.units.fresh(4)
    assert channels.contract(labels, 0, rows, "here") is None
    assert classes(channels, rows) == classes(channels, labels[:, 0])
