import copy
import io

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.space import Categorical, SearchSpace, Subset

TENSORS = [torch.full((2, 3, 4), float(10**n)) for n in range(3)]


def joined(chosen, reduction, n_chosen=None):
    return ModelSpace(lambda: InputChoice(3, n_chosen, reduction, label="in")).build({"in": chosen})


@pytest.mark.parametrize(
    ("chosen", "reduction", "expected"),
    [
        ([0, 2], "sum", TENSORS[0] + TENSORS[2]),
        ([0, 1, 2], "mean", (TENSORS[0] + TENSORS[1] + TENSORS[2]) / 3),
        ([1, 2], "concat", torch.cat(TENSORS[1:], 1)),
        ([1], "sum", TENSORS[1]),
        ([1], "mean", TENSORS[1]),
        ([1], "concat", TENSORS[1]),
        ([], "sum", torch.zeros(2, 3, 4)),
        ([], "mean", torch.zeros(2, 3, 4)),
        ([], "concat", torch.zeros(2, 0, 4)),
    ],
)
def test_the_chosen_tensors_are_joined(chosen, reduction, expected):
    module = joined(chosen, reduction)
    assert torch.equal(module(TENSORS), expected)
    assert torch.equal(module(inputs=TENSORS), expected)
    assert torch.equal(copy.deepcopy(module)(TENSORS), expected)


@pytest.mark.parametrize("chosen", [[], [1], [0, 2]])
def test_without_a_reduction_a_list_comes_back(chosen):
    found = joined(chosen, "none")(TENSORS)
    assert len(found) == len(chosen)
    assert all(a is TENSORS[b] for a, b in zip(found, chosen, strict=True))


def test_one_chosen_is_that_very_tensor():
    assert joined(2, "sum", n_chosen=1)(TENSORS) is TENSORS[2]


def test_the_module_is_plain_torch():
    module = joined([0, 2], "sum")
    assert not module.state_dict()
    saved = io.BytesIO()
    torch.save(module, saved)
    saved.seek(0)
    assert torch.equal(torch.load(saved, weights_only=False)(TENSORS), TENSORS[0] + TENSORS[2])
    exported = torch.export.export(nn.Sequential(module), (TENSORS,)).module()
    assert torch.equal(exported(TENSORS), TENSORS[0] + TENSORS[2])


@pytest.mark.parametrize(
    ("arguments", "domain"),
    [
        ({"n_candidates": 3}, Categorical([0, 1, 2])),
        ({"n_candidates": 3, "n_chosen": 2}, Subset([0, 1, 2], 2)),
        ({"n_candidates": 3, "n_chosen": None}, Subset([0, 1, 2])),
        ({"names": ["stem", "skip"]}, Categorical(["stem", "skip"])),
        ({"n_candidates": 3, "n_chosen": (1, 2)}, Subset([0, 1, 2], (1, 2))),
        ({"n_candidates": 2, "prior": [1, 2]}, Categorical([0, 1], [1, 2])),
        ({"n_candidates": 2, "n_chosen": (0, 1), "prior": [1, 2]}, Subset([0, 1], (0, 1), [1, 2])),
        ({"names": ["stem", "skip"], "n_candidates": 2, "n_chosen": 2}, Subset(["stem", "skip"], 2)),
    ],
)
def test_the_domain_follows_from_the_counts(arguments, domain):
    assert ModelSpace(lambda: InputChoice(**arguments)).decisions == SearchSpace({"InputChoice1": domain})


class Skips(nn.Module):
    """Feeds each stage with a choice of all that came before."""

    def __init__(self, stages, **arguments):
        super().__init__()
        self.stages = nn.ModuleList(nn.Linear(4, 4) for _ in range(stages))
        self.choices = nn.ModuleList(InputChoice(**arguments) for _ in range(stages))

    def forward(self, x):
        seen = [x]
        for stage, pick in zip(self.stages, self.choices, strict=True):
            seen.append(stage(pick(seen)))
        return seen[-1]


EXAMPLE = torch.zeros(2, 4)


def test_candidates_are_counted_by_running_the_model():
    space = ModelSpace(Skips, 3, example_input=EXAMPLE)
    assert space.decisions == SearchSpace({f"InputChoice{n}": Categorical(range(n)) for n in (1, 2, 3)})
    model = space.build({"InputChoice1": 0, "InputChoice2": 1, "InputChoice3": 2})
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert model(torch.randn(5, 4)).shape == (5, 4)


def test_the_greatest_number_must_fit_what_is_counted():
    space = ModelSpace(Skips, 1, n_chosen=(0, 1), example_input=EXAMPLE)
    assert space.decisions["InputChoice1"] == Subset([0], (0, 1))
    assert space.build({"InputChoice1": []})(EXAMPLE).shape == (2, 4)


def test_candidates_are_counted_in_branches_that_are_not_the_default():
    def net():
        return nn.Sequential(
            LayerChoice({"plain": nn.Identity, "skips": lambda: Skips(2, n_chosen=None)}, label="op"),
            Repeat(lambda: LayerChoice([nn.ReLU, lambda: Skips(1)]), (0, 2), label="depth"),
        )

    space = ModelSpace(net, example_input=EXAMPLE)
    assert space.decisions["op/skips/InputChoice2"] == Subset([0, 1])
    assert space.decisions["depth/1/LayerChoice1/1/InputChoice1"] == Categorical([0])
    assert space.decisions.size == (1 + 2 * 4) * (1 + 2 + 4)
    assert all(space.build(architecture)(EXAMPLE).shape == (2, 4) for architecture in space.decisions.grid())


def test_an_example_may_be_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.pick = InputChoice(n_chosen=2)

        def forward(self, x, y, flag):
            assert flag is True
            return self.pick(inputs=[x, y, x])

    space = ModelSpace(Two, example_input=(EXAMPLE, EXAMPLE, True))
    assert space.decisions["InputChoice1"] == Subset([0, 1, 2], 2)


class Uneven(nn.Module):
    """Asks once and gives two numbers of inputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = InputChoice(label="in"), InputChoice(label="in")

    def forward(self, x):
        return self.first([x]) + self.second([x, x])


class Unreached(nn.Module):
    def __init__(self):
        super().__init__()
        self.pick = InputChoice(label="in")

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: ModelSpace(Skips, 1),
            ["'InputChoice1' does not know", "n_candidates", "example_input=tensor"],
        ),
        (lambda: ModelSpace(Unreached, example_input=EXAMPLE), ["'in'", "never reaches it", "n_candidates"]),
        (
            lambda: ModelSpace(Uneven, example_input=EXAMPLE),
            ["'in' is called with 1 inputs and with 2", "label"],
        ),
        (
            lambda: ModelSpace(Skips, 1, n_chosen=2, example_input=EXAMPLE),
            ["n_chosen of 'InputChoice1' is 2", "called with 1 inputs"],
        ),
        (
            lambda: ModelSpace(Skips, 2, label="in", n_chosen=1, example_input=EXAMPLE),
            ["'in' is called with 1 inputs and with 2"],
        ),
        (lambda: InputChoice(3, 4, label="in"), ["n_chosen of 'in' is 4", "0 to 3"]),
        (lambda: InputChoice(3, (1, 4)), ["is (1, 4)", "0 to 3", "(least, most)"]),
        (lambda: InputChoice(3, (2, 1)), ["is (2, 1)"]),
        (lambda: InputChoice(3, (1, 2, 3)), ["is (1, 2, 3)"]),
        (lambda: InputChoice(3, prior=[1, 2]), ["prior is [1, 2]", "each of the 3 candidates"]),
        (lambda: InputChoice(prior=[1, 2]), ["give n_candidates"]),
        (
            lambda: ModelSpace(Skips, 1, n_chosen=(1, 2), example_input=EXAMPLE),
            ["n_chosen of 'InputChoice1' is 2", "called with 1 inputs"],
        ),
        (lambda: InputChoice(3, -1), ["is -1", "0 to 3"]),
        (lambda: InputChoice(3, 1.5), ["is 1.5", "integer"]),
        (lambda: InputChoice(0), ["n_candidates is 0", "at least 1"]),
        (lambda: InputChoice("3"), ["n_candidates is '3'"]),
        (lambda: InputChoice(names=[]), ["n_candidates is 0"]),
        (lambda: InputChoice(names=["a", "a"]), ["'a' is there twice"]),
        (lambda: InputChoice(3, names=["a", "b"]), ["n_candidates is 3", "2 names"]),
        (lambda: InputChoice(3, reduction="max"), ["'max'", "'sum', 'mean', 'concat', 'none'"]),
    ],
)
def test_a_misuse_says_what_to_do(make, words):
    with pytest.raises(SpaceError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


def test_without_a_space_the_first_are_taken():
    assert InputChoice()(TENSORS) is TENSORS[0]
    assert torch.equal(InputChoice(n_chosen=2)(TENSORS), TENSORS[0] + TENSORS[1])
