from functools import partial

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import LayerChoice, Repeat
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, choice


@pytest.mark.parametrize(
    ("depth", "domain"),
    [
        ((1, 3), Integer(1, 3)),
        ((0, 1), Integer(0, 1)),
        ([2, 4, 1], Categorical([2, 4, 1])),
        (Integer(2, 8, 3), Integer(2, 8, 3)),
        (Categorical([3, 1]), Categorical([3, 1])),
    ],
)
def test_every_depth_is_built_as_a_plain_sequential(depth, domain):
    space = ModelSpace(Repeat, lambda: nn.Linear(2, 2), depth, label="depth")
    assert space.decisions == SearchSpace({"depth": domain})
    for n in domain.grid():
        built = space.build({"depth": n})
        assert type(built) is nn.Sequential
        assert list(built.state_dict()) == [f"{i}.{name}" for i in range(n) for name in ("weight", "bias")]
        assert built(torch.zeros(1, 2)).shape == (1, 2)
    assert len(Repeat(nn.ReLU, depth)) == domain.default()


def test_a_fixed_depth_asks_nothing_and_has_scopes():
    space = ModelSpace(Repeat, lambda: LayerChoice([nn.ReLU, nn.Tanh]), 2, label="body")
    assert list(space.decisions) == [
        Decision("body/0/LayerChoice1", Categorical([0, 1])),
        Decision("body/1/LayerChoice1", Categorical([0, 1])),
    ]


def test_what_a_block_asks_exists_from_its_depth_on():
    space = ModelSpace(Repeat, lambda: LayerChoice([nn.ReLU, nn.Tanh]), [3, 1], label="depth")
    assert {d.label: d.when for d in space.decisions} == {
        "depth": (),
        "depth/0/LayerChoice1": (),
        "depth/1/LayerChoice1": ({"depth": (3,)},),
        "depth/2/LayerChoice1": ({"depth": (3,)},),
    }
    assert space.decisions.size == 2 + 8


def widths(blocks, most=3):
    return [block.out_features for block in Repeat(blocks, most)]


def test_a_block_gets_its_index_if_it_takes_one():
    class Block(nn.Linear):
        def __init__(self, inputs, index, bias=True):
            super().__init__(inputs, 10 + index, bias)

    assert widths(lambda index: nn.Linear(2, 10 + index)) == [10, 11, 12]
    assert widths(partial(Block, 2)) == [10, 11, 12]
    assert widths(lambda: nn.Linear(2, 7)) == [7, 7, 7]
    assert widths(partial(nn.Linear, 2, 7)) == [7, 7, 7]
    assert widths(lambda width=5: nn.Linear(2, width)) == [5, 5, 5]


def test_a_list_of_blocks_gives_the_first_ones():
    module = nn.Linear(2, 1)
    blocks = [module, lambda index: nn.Linear(2, 10 + index), lambda: nn.Linear(2, 9)]
    assert widths(blocks, 2) == [1, 11]
    assert Repeat(blocks, 1)[0] is module
    assert [type(block) for block in Repeat(nn.ModuleList([nn.ReLU(), nn.Tanh()]), 2)] == [nn.ReLU, nn.Tanh]


def test_a_module_is_copied_for_each_repetition():
    module = nn.Linear(2, 2)
    first, second, third = Repeat(module, 3)
    assert first is module
    assert len({id(block.weight) for block in (first, second, third)}) == 3
    assert torch.equal(second.weight, module.weight)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((nn.ReLU, -1), ["depth is -1", "at least 0", "(least, greatest)"]),
        ((nn.ReLU, (-1, 2)), ["depth is (-1, 2)"]),
        ((nn.ReLU, [1, -2]), ["depth is [1, -2]"]),
        ((nn.ReLU, True), ["depth is True"]),
        ((nn.ReLU, 1.5), ["depth is 1.5"]),
        ((nn.ReLU, (1, 2, 3)), ["depth is (1, 2, 3)", "a pair", "as a list"]),
        ((nn.ReLU, (3, 1)), ["low is 3 and high is 1"]),
        ((nn.ReLU, []), ["no candidate"]),
        ((nn.ReLU, ["a"]), ["depth is ['a']"]),
        ((nn.ReLU, Real(0, 3)), ["depth is Real("]),
        (([nn.ReLU, nn.Tanh], (1, 3)), ["depth can be 3", "only 2 blocks"]),
        ((3, (1, 2)), ["block 3 (int) builds nothing", "give a torch.nn.Module"]),
        (([nn.ReLU, "tanh"], 2), ["block 'tanh' (str) builds nothing"]),
        ((lambda: nn.ReLU, (1, 2)), ["block 0 of 'depth' built <class", "(type)"]),
    ],
)
def test_a_misuse_says_what_to_do(arguments, words):
    with pytest.raises(SpaceError) as caught:
        ModelSpace(Repeat, *arguments, label="depth")
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_chosen_number_is_a_fixed_depth_so_its_blocks_must_not_ask():
    plain = ModelSpace(lambda: Repeat(nn.ReLU, choice([1, 2], label="n")))
    assert len(plain.build({"n": 2})) == 2
    with pytest.raises(SpaceError, match=r"appears only with some answers to 'n' \(such as 2\).*Repeat"):
        ModelSpace(lambda: Repeat(lambda: LayerChoice([nn.ReLU, nn.Tanh]), choice([1, 2], label="n")))
