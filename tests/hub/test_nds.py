import copy

import pytest
import torch
from torch import nn

from lanista import hub
from lanista.errors import SpaceError
from lanista.hub.operation import DropPath
from lanista.space import Categorical
from lanista.testing.primitives import exported
from tests.hub.cases import macs, parameters

IMAGES = torch.randn(2, 3, 32, 32)


def sizes(num_ops, num_nodes):
    """Architectures of one cell: for each node, two operations on any tensor before it."""
    size = 1
    for node in range(2, 2 + num_nodes):
        size *= (num_ops * node) ** 2
    return size


@pytest.mark.parametrize(
    ("name", "num_ops", "num_nodes"),
    [("NASNet", 13, 5), ("AmoebaNet", 8, 5), ("PNAS", 8, 5), ("ENAS", 5, 5), ("DARTS", 7, 4)],
)
def test_the_size_follows_from_operations_and_nodes(name, num_ops, num_nodes):
    # Numbers of operations and nodes: table 1 of https://arxiv.org/abs/1905.13214, without DARTS' "none".
    space = getattr(hub, name)(width=2, num_cells=3)
    assert space.decisions.size == sizes(num_ops, num_nodes) ** 2


def test_counts_are_those_of_the_released_code():
    entry = hub.CATALOG["DARTS"]
    counts = {known.name: parameters(entry.space(**known.settings), known.architecture) for known in entry.known}
    assert counts == {"DARTS-V2": 3_349_342, "DARTS-V2 on ImageNet": 4_718_752, "DARTS-V1": 3_169_414}


def test_multiply_adds_on_imagenet():
    known = next(known for known in hub.CATALOG["DARTS"].known if known.macs)
    assert macs(hub.DARTS(**known.settings), known.architecture) == 529_911_552
    assert "530 M" in known.note


def test_width_and_depth_can_be_asked_for():
    space = hub.ENAS(width=[4, 8], num_cells=[3, 4])
    assert space.decisions["width"] == Categorical([4, 8])
    architecture = {**space.sample(0), "width": 8, "num_cells": 4}
    model = space.build(architecture)
    assert len(model.cells) == 4
    assert model.stems[0][0].out_channels == 24


def test_reductions_stand_at_thirds_and_double_the_channels():
    space = hub.DARTS(width=4, num_cells=7)
    model = space.build(space.sample(0))
    widths = [cell.get_submodule("preprocessor").second[1].out_channels for cell in model.cells]
    assert widths == [4, 4, 8, 8, 16, 16, 16]
    found = {}
    for index, cell in enumerate(model.cells):
        cell.register_forward_hook(lambda _, __, output, index=index: found.update({index: output.shape[-1]}))
    model(IMAGES)
    assert list(found.values()) == [32, 32, 16, 16, 8, 8, 8]


def test_the_auxiliary_classifier_is_for_training_only():
    space = hub.DARTS(width=4, num_cells=3, num_classes=7, auxiliary_loss=True)
    model = space.build(space.sample(0))
    assert [logits.shape for logits in model.train()(IMAGES)] == [(2, 7), (2, 7)]
    assert model.eval()(IMAGES).shape == (2, 7)
    rebuilt = exported(model, space, space.sample(0))
    assert [logits.shape for logits in rebuilt.train()(IMAGES)] == [(2, 7), (2, 7)]


def test_the_imagenet_stem_divides_by_eight():
    space = hub.DARTS(width=4, num_cells=3, dataset="imagenet", auxiliary_loss=True)
    assert space.example_input.shape == (1, 3, 224, 224)
    model = space.build(space.sample(0))
    first = {}
    model.cells[0].register_forward_hook(lambda _, __, output: first.update(size=output.shape[-1]))
    logits, auxiliary = model.train()(torch.randn(2, 3, 224, 224))
    assert logits.shape == auxiliary.shape == (2, 1000)
    assert first["size"] == 28


def test_paths_are_dropped_in_training_but_identities():
    space = hub.DARTS(width=4, num_cells=3, drop_path_prob=0.5)
    architecture = space.decisions.default()
    architecture["normal/op_2_0"] = "skip_connect"
    model = space.build(architecture)
    normal = model.cells[0]
    assert isinstance(normal.op_2_0, nn.Identity)
    assert isinstance(normal.op_2_1[1], DropPath)
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, DropPath):
            module.p = 0.0
    torch.manual_seed(0)
    assert not torch.equal(model.train()(IMAGES), plain.train()(IMAGES))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dataset": "mnist"}, "dataset is 'mnist'; it must be 'cifar' or 'imagenet'"),
        ({"num_cells": 2}, "num_cells is 2; it must be at least 3"),
        ({"num_cells": [8, 2]}, r"num_cells is \[8, 2\]"),
        ({"width": 0}, "width is 0; it must be at least 2"),
        ({"drop_path_prob": 1.0}, "drop_path_prob is 1.0; it must be at least 0 and less than 1"),
    ],
)
def test_a_misuse_says_what_is_allowed(arguments, words):
    with pytest.raises(SpaceError, match=words):
        hub.DARTS(**arguments)
