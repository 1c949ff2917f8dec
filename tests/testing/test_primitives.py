"""Every primitive keeps the laws; and the laws find what breaks them."""

from functools import partial

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import AutoActivation, Cell, InputChoice, LayerChoice, NasBench101Cell, NasBench201Cell, Repeat
from lanista.space import choice
from lanista.testing.primitives import (
    PRIMITIVE_LAWS,
    gradients_reach_every_parameter,
    models_are_plain,
    models_can_be_copied_and_pickled,
    the_default_is_what_the_callable_builds_by_itself,
    tracing_is_repeatable,
)

IMAGE = torch.randn(2, 3, 6, 6)
VECTOR = torch.randn(4, 5)


def conv(inputs, outputs, kernel):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding="same"), nn.BatchNorm2d(outputs))


def nested():
    return nn.Linear(5, 5, bias=choice([True, False]))


class Skips(nn.Module):
    def __init__(self, n_chosen, reduction):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))
        self.pick = InputChoice(4, n_chosen, reduction, prior=[1, 2, 3, 4])

    def forward(self, x):
        y, seen = self.pick([x, *(layer(x) for layer in self.layers)]), [layer(x) for layer in self.layers]
        return torch.stack(y) if isinstance(y, list) and y else y, sum(seen)


class TwoCells(nn.Module):
    """Two cells of one label, the second of which reduces; candidates depend on the input, some ask."""

    def __init__(self, merge_op, preprocess):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        processors = (Both(), Last()) if preprocess else (None, None)
        arguments = {"num_predecessors": 2, "merge_op": merge_op, "label": "cell"}
        self.first = Cell(self.candidates(4, 1), 2, 2, **arguments)
        width = 4 * len(self.first.output_node_indices)
        self.adapt = nn.Conv2d(width, 4, 1)
        self.second = Cell(
            self.candidates(4, 2), 2, 2, preprocessor=processors[0], postprocessor=processors[1], **arguments
        )

    def candidates(self, width, stride):
        def reduced(kernel, node, op, source):
            size = kernel or choice([1, 3])
            return nn.Conv2d(width, width, size, stride if source < 2 else 1, size // 2)

        return {"one": partial(reduced, 1), "asked": partial(reduced, None)}

    def forward(self, x):
        x = self.stem(x)
        y = self.adapt(self.first([x, -x]))
        return y, self.second([x, y])


class Both(nn.Module):
    def forward(self, tensors):
        return [tensors[0] * 2, tensors[1] - 1]


class Last(nn.Module):
    def forward(self, cell, inputs):
        return inputs[1], cell


def cell_of_one():
    return Cell([lambda node, op, source: nn.Linear(5, 5), nn.Linear(5, 5), nn.Tanh], 3, concat_dim=-1)


SPACES = {
    "LayerChoice": lambda: ModelSpace(LayerChoice, {"a": nested, "b": nn.Tanh}, prior=[1, 3], example_input=VECTOR),
    "InputChoice, one": lambda: ModelSpace(Skips, 1, "sum", example_input=VECTOR),
    "InputChoice, any": lambda: ModelSpace(Skips, None, "mean", example_input=VECTOR),
    "InputChoice, range": lambda: ModelSpace(Skips, (1, 3), "concat", example_input=VECTOR),
    "InputChoice, list": lambda: ModelSpace(Skips, (2, 3), "none", example_input=VECTOR),
    "Repeat": lambda: ModelSpace(Repeat, nested, (0, 3), example_input=VECTOR),
    "Cell, one predecessor": lambda: ModelSpace(cell_of_one, example_input=VECTOR),
    "Cell, all": lambda: ModelSpace(TwoCells, "all", False, example_input=IMAGE),
    "Cell, loose ends": lambda: ModelSpace(TwoCells, "loose_end", True, example_input=IMAGE),
    "NasBench101Cell": lambda: ModelSpace(
        NasBench101Cell,
        {"conv": lambda f: conv(f, f, choice([1, 3])), "pool": lambda f: nn.MaxPool2d(3, 1, 1)},
        3,
        8,
        lambda i, o: conv(i, o, 1),
        5,
        7,
        example_input=IMAGE,
    ),
    "NasBench201Cell": lambda: ModelSpace(
        NasBench201Cell, [lambda i, o: conv(i, o, choice([1, 3])), conv_one], 3, 4, example_input=IMAGE
    ),
    "AutoActivation": lambda: ModelSpace(AutoActivation, 2, label="act", example_input=VECTOR),
}


def conv_one(inputs, outputs):
    return conv(inputs, outputs, 1)


@pytest.mark.parametrize("law", PRIMITIVE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", SPACES)
def test_contract(law, name):
    law(SPACES[name])


class Wrapper(nn.Module):
    """A module that stays around the chosen one."""

    __module__ = "lanista.fake"

    def __init__(self):
        super().__init__()
        self.layer = LayerChoice([lambda: nn.Linear(5, 5), nn.Tanh])

    def forward(self, x):
        return self.layer(x)


class Idle(nn.Module):
    """A model with a layer that it does not use."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = LayerChoice([lambda: nn.Linear(5, 5), nn.Tanh]), nn.Linear(5, 5)

    def forward(self, x):
        return self.used(x)


def hidden():
    layer = LayerChoice([lambda: nn.Linear(5, 5), nn.Tanh])
    layer.register_forward_hook(lambda *_: None)
    return layer


def noted(layer):
    layer.note = SpaceError
    return layer


COUNT = iter(range(100))


@pytest.mark.parametrize(
    ("law", "builder", "words"),
    [
        (models_are_plain, Wrapper, "Wrapper"),
        (models_are_plain, hidden, "hooks"),
        (models_can_be_copied_and_pickled, lambda: noted(LayerChoice([nn.Tanh])), "needs lanista"),
        (gradients_reach_every_parameter, Idle, "no gradient"),
        (tracing_is_repeatable, lambda: LayerChoice([nn.Tanh], label=f"op{next(COUNT)}"), "two traces differ"),
        (tracing_is_repeatable, lambda: nn.Linear(5, 5), "no decision"),
        (the_default_is_what_the_callable_builds_by_itself, lambda: Wandering(LayerChoice([nn.Tanh])), "differ"),
    ],
)
def test_a_primitive_that_breaks_a_law_is_found(law, builder, words):
    with pytest.raises(AssertionError, match=words):
        law(lambda: ModelSpace(builder, example_input=VECTOR))


class Wandering(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.offset = layer, next(COUNT)

    def forward(self, x):
        return self.layer(x) + self.offset
