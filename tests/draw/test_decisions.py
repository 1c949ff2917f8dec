from hypothesis import given
from hypothesis import strategies as st

from lanista import draw
from lanista.space import Categorical, Decision, Integer, SearchSpace, Subset
from lanista.testing.spaces import search_spaces
from tests.draw.networks import darts, wide
from tests.draw.paper import check, rects, words


@given(search_spaces(decisions=6), st.integers(0, 100))
def test_every_space_has_a_picture_with_every_label(space, seed):
    for architecture in (None, space.sample(seed)):
        root = check(draw.space(space, architecture))
        said = {label for text in words(root) for label in text.partition(": ")[2].split(", ") + text.split(", ")}
        assert set(space.labels) <= said


@given(search_spaces(), st.integers(0, 100))
def test_the_same_space_gives_the_same_bytes(space, seed):
    again = SearchSpace.from_json(space.to_json())
    assert draw.space(space, space.sample(seed)) == draw.space(again, again.sample(seed))


def test_fifty_decisions_are_a_few_rows():
    root = check(draw.space(wide()))
    said = words(root)
    assert said.count("×14") == 3
    assert {"blocks/0–13/op", "blocks/0–13/heads", "if blocks/…/op = attention", "any of the first 1 to 14"} <= set(
        said
    )
    assert float(root.get("height")) < 900


def test_inputs_of_growing_number_are_one_row():
    said = words(check(draw.space(darts(cells=3).decisions)))
    assert "normal/input_2–5_0–1" in said and "one of the first 2 to 5" in said


def test_what_is_chosen_is_marked_and_what_is_not_active_is_pale():
    space = SearchSpace(
        [
            Decision("op", Categorical(["conv", "pool"])),
            Decision("kernel", Categorical([3, 5]), {"op": ["conv"]}),
            Decision("skip", Subset(["a", "b", "c"], None)),
            Decision("width", Integer(1, 1000)),
        ]
    )
    picture = draw.space(space, {"op": "pool", "skip": ["a", "c"], "width": 77})
    root = check(picture)
    assert len(rects(root, {"chosen"})) == 4
    assert 'class="off"' in picture
    assert "77" in words(root)
    assert 'class="off"' not in draw.space(space)


def test_several_answers_in_one_row_are_counted():
    space = SearchSpace({f"op{i}": Categorical(["a", "b"]) for i in range(5)})
    said = words(check(draw.space(space, {f"op{i}": "ab"[i < 2] for i in range(5)})))
    assert {"a ×3", "b ×2"} <= set(said)


def test_many_candidates_are_cut_and_a_prior_is_a_bar():
    space = SearchSpace({"many": Categorical(range(400)), "few": Categorical(["a", "b"], [1, 3])})
    picture = draw.space(space)
    assert "and 377 more" in words(check(picture))
    assert len(rects(check(picture), {"bar"})) == 2


def test_a_space_without_decisions_has_a_picture():
    check(draw.space(SearchSpace()))
