from functools import partial

import pytest
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import LayerChoice
from lanista.space import Categorical, Decision, SearchSpace, choice

FORMS = {
    "class": nn.Identity,
    "partial": partial(nn.Linear, 3, 5),
    "lambda": lambda: nn.Conv2d(1, 2, 3),
    "module": nn.ReLU(),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_chosen_candidate_itself_comes_back(name):
    built = ModelSpace(lambda: LayerChoice(FORMS, label="op")).build({"op": name})
    expected = FORMS[name] if name == "module" else FORMS[name]()
    assert repr(built) == repr(expected)
    assert type(built) is type(expected)
    assert (built is FORMS[name]) == (name == "module")


def test_candidates_in_a_list_are_named_by_position():
    space = ModelSpace(lambda: LayerChoice([nn.ReLU, nn.Tanh, nn.ELU]))
    assert space.decisions == SearchSpace({"LayerChoice1": Categorical([0, 1, 2])})
    assert isinstance(space.build({"LayerChoice1": 2}), nn.ELU)
    assert isinstance(LayerChoice([nn.ReLU, nn.Tanh]), nn.ReLU)


def test_only_the_chosen_callable_is_called():
    called = []

    def candidate(name):
        called.append(name)
        return nn.Identity()

    space = ModelSpace(lambda: LayerChoice({name: partial(candidate, name) for name in "abc"}, label="op"))
    assert set(called) == set("abc")
    called.clear()
    space.build({"op": "b"})
    assert called == ["b"]


def test_what_a_candidate_asks_exists_only_with_it():
    def wide():
        return nn.Linear(4, choice([2, 3], label="width"))

    space = ModelSpace(lambda: LayerChoice({"plain": nn.Identity, "wide": wide, "shared": wide}, label="op"))
    assert list(space.decisions) == [
        Decision("op", Categorical(["plain", "wide", "shared"])),
        Decision("width", Categorical([2, 3]), {"op": ["wide", "shared"]}),
    ]
    assert space.build({"op": "shared", "width": 3}).out_features == 3


@pytest.mark.parametrize("prior", [[1, 3], {"b": 3, "a": 1.0}])
def test_a_prior_says_how_often_a_candidate_is_drawn(prior):
    space = ModelSpace(lambda: LayerChoice({"a": nn.ReLU, "b": nn.Tanh}, prior=prior, label="op"))
    assert space.decisions == SearchSpace({"op": Categorical(["a", "b"], [1, 3])})
    assert isinstance(space.build({"op": "b"}), nn.Tanh)


def test_questions_with_equal_labels_are_one_decision():
    space = ModelSpace(lambda: nn.Sequential(*(LayerChoice([nn.ReLU, nn.Tanh], label="act") for _ in range(3))))
    assert space.decisions.size == 2
    assert [type(layer) for layer in space.build({"act": 1})] == [nn.Tanh] * 3


def test_a_label_nested_in_itself_is_decided_once():
    def again():
        return LayerChoice([nn.ReLU, nn.Tanh], label="op")

    space = ModelSpace(lambda: nn.Sequential(LayerChoice([again, nn.ELU], label="op")))
    assert space.decisions == SearchSpace({"op": Categorical([0, 1])})
    assert isinstance(space.build({"op": 0})[0], nn.ReLU)
    outer = ModelSpace(lambda: LayerChoice([lambda: LayerChoice([again, nn.ELU], label="op"), nn.ELU], label="out"))
    assert list(outer.decisions)[1] == Decision("op", Categorical([0, 1]), {"out": [0]})


def test_what_no_answer_reaches_is_not_asked():
    def second():
        return LayerChoice([nn.ReLU, lambda: nn.Linear(2, choice([1, 2], label="width"))], label="op")

    space = ModelSpace(lambda: LayerChoice([second, nn.ELU], label="op"))
    assert space.decisions == SearchSpace({"op": Categorical([0, 1])})


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: LayerChoice([]), ["no candidate"]),
        (lambda: LayerChoice("relu"), ["candidate 0 is 'r' (str)", "give a torch.nn.Module, or a callable"]),
        (
            lambda: LayerChoice(nn.Sequential(nn.ReLU())),
            ["candidates is Sequential(", "give a list of layers"],
        ),
        (lambda: LayerChoice([nn.ReLU, nn.ELU], prior=[1]), ["prior is [1]", "each of the 2 candidates"]),
        (lambda: LayerChoice([nn.ReLU], prior=[0]), ["prior is [0]", "positive"]),
        (lambda: LayerChoice({"a": nn.ReLU}, prior={"b": 1}), ["weights for 'b'", "candidates are 'a'"]),
        (lambda: LayerChoice({"a": 3}), ["candidate 'a' is 3 (int)", "callable without arguments"]),
        (lambda: LayerChoice({("a", 1): nn.ReLU}), ["candidate name ('a', 1) (tuple) is not a string"]),
        (
            lambda: LayerChoice({"a": lambda: nn.ReLU}, label="op"),
            ["candidate 'a' of 'op' built <class", "(type)", "give a torch.nn.Module, or a callable"],
        ),
        (
            lambda: nn.Sequential(LayerChoice([nn.ReLU], label="op"), LayerChoice([nn.ReLU, nn.ELU], label="op")),
            ["'op' is asked twice", "one of 0 at", "one of 0, 1 at", f"{__file__}:"],
        ),
    ],
)
def test_a_misuse_says_what_to_do(ask, words):
    with pytest.raises(SpaceError) as caught:
        ModelSpace(ask)
    assert all(word in str(caught.value) for word in words), caught.value


def test_an_error_in_a_candidate_comes_through():
    def broken():
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ModelSpace(lambda: LayerChoice([nn.ReLU, broken]))
