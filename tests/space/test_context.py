import pytest

from lanista.errors import ArchitectureError, SpaceError
from lanista.space import Categorical, Decision, Integer, Real, SearchSpace, choice, integer, real
from lanista.space.context import Fixed, Trace, answering, current


def traced(ask, answers=(), prefix=""):
    context = Trace(dict(answers), {}, prefix)
    with answering(context):
        ask()
    return context.space()


def test_without_a_context_each_question_gets_its_default():
    assert choice([16, 32], label="width") == 16
    assert choice({"relu": max, "gelu": min}) is max
    assert integer(3, 9) == 3
    assert real(1e-4, 1, log=True) == pytest.approx(1e-2)


def test_the_answer_is_the_candidate_itself():
    options = [(3, 3), (5, 5), None]
    for answer, expected in zip([[3, 3], [5, 5], None], options, strict=True):
        with answering(Fixed({"kernel": answer}, {})):
            assert choice(options, label="kernel") is expected


def test_a_trace_writes_every_question_down():
    def ask():
        assert choice([16, 32], label="width") == 32
        assert (integer(1, 9, step=2), real(0, 1)) == (1, 0.5)
        choice({"a": object()}, label="what")

    assert traced(ask, {"width": 32}) == SearchSpace(
        {
            "width": Categorical([16, 32]),
            "integer1": Integer(1, 9, 2),
            "real2": Real(0, 1),
            "what": Categorical(["a"]),
        }
    )


def test_automatic_labels_count_all_kinds_in_their_scope():
    def ask():
        choice([1])
        with current().inside("cell", 0):
            integer(0, 1)
            choice([1], label="given")
            with current().inside("cell/0/op", "conv"):
                real(0, 1)
            choice([1])
        choice([1])

    labels = ["choice1", "cell/0/integer1", "given", "cell/0/op/conv/real1", "cell/0/choice2", "choice2"]
    assert list(traced(ask).labels) == labels
    assert traced(ask, prefix="trainer/").labels[0] == "trainer/choice1"


def test_conditions_of_one_decision_are_joined_as_far_as_they_go():
    def ask_under(*clauses):
        def ask():
            for label in "ab":
                choice(["x", "y", "z"], label=label)
            for clause in clauses:
                ask_inside(list(clause.items()))

        def ask_inside(scopes):
            if not scopes:
                choice([1, 2], label="inner")
                return
            with current().inside(scopes[0][0], "part", scopes[0][1]):
                ask_inside(scopes[1:])

        return {d.label: d.when for d in traced(ask)}["inner"]

    assert ask_under({"a": ["x"]}) == ({"a": ("x",)},)
    assert ask_under({"a": ["x"]}, {"a": ["z", "x"]}) == ({"a": ("x", "z")},)
    assert ask_under({"a": ["x"]}, {"a": ["y"]}, {"a": ["z"]}) == ()
    assert ask_under({"a": ["x"]}, {}) == ()
    assert ask_under({"a": ["x"], "b": ["x", "y", "z"]}) == ({"a": ("x",)},)
    assert ask_under({"a": ["x"]}, {"b": ["y"]}) == ({"a": ("x",)}, {"b": ("y",)})
    assert ask_under({"a": ["x"], "b": ["x"]}, {"a": ["x"], "b": ["y"]}) == ({"a": ("x",), "b": ("x", "y")},)
    # One that is within another adds nothing.
    assert ask_under({"a": ["x", "y"]}, {"a": ["x"], "b": ["y"]}) == ({"a": ("x", "y")},)


def test_a_scope_within_its_own_question_leaves_what_both_allow():
    def ask():
        choice(["x", "y", "z"], label="a")
        with current().inside("a", 0, ["x", "y"]), current().inside("a", 1, ["y", "z"]):
            choice([1, 2], label="inner")

    assert list(traced(ask)) == [
        Decision("a", Categorical(["x", "y", "z"])),
        Decision("inner", Categorical([1, 2]), {"a": ["y"]}),
    ]


def test_conflicting_questions_name_both_places():
    def ask():
        choice([16, 32], label="width")
        choice([16, 64], label="width")

    line = ask.__code__.co_firstlineno
    with pytest.raises(SpaceError) as caught:
        traced(ask)
    message = str(caught.value)
    assert "label 'width' is asked twice" in message
    assert f"one of 16, 32 at {__file__}:{line + 1}" in message
    assert f"one of 16, 64 at {__file__}:{line + 2}" in message
    assert "another label" in message


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: choice([]), ["no candidate"]),
        (lambda: choice([1, 2, 1]), ["1 is there twice"]),
        (lambda: choice([int, float]), ["not a JSON value", "{'relu': nn.ReLU"]),
        (lambda: choice("relu"), ["'relu'", "give a list of values, or a mapping"]),
        (lambda: choice({1, 2}), ["{1, 2}", "give a list of values, or a mapping"]),
        (lambda: choice(3), ["candidates is 3"]),
        (lambda: choice([1], label=""), ["label is ''", "None for an automatic label"]),
        (lambda: choice([1], label=3), ["label is 3"]),
        (lambda: integer(3, 1), ["low is 3 and high is 1"]),
        (lambda: real(0, 1, log=True), ["log scale"]),
    ],
)
def test_an_ill_formed_question_says_why(ask, words):
    with pytest.raises(SpaceError) as caught:
        traced(ask)
    assert all(word in str(caught.value) for word in words), caught.value


def test_fixed_answers_say_what_they_do_not_know():
    context = Fixed({"width": 32, "depth": 2}, {}, space=SearchSpace({"width": Categorical([16, 32])}))
    with answering(context):
        assert choice([16, 32], label="width") == 32
        with pytest.raises(ArchitectureError) as unknown:
            choice([1, 2], label="factor")
        with pytest.raises(ArchitectureError) as other:
            choice([32, 64], label="width")
    with pytest.raises(ArchitectureError) as unasked:
        context.finish(["width", "depth"])
    place = f"{__file__}:{unknown.traceback[0].lineno + 1}"
    for caught, words in (
        (unknown, ["'factor'", place, "width=32, depth=2", "LayerChoice({'plain'"]),
        (other, ["'width'", "allows one of 32, 64", "one of 16, 32 otherwise", "callable candidate"]),
        (unasked, ["'depth' was not asked for", "width=32, depth=2", "LayerChoice({'plain'"]),
    ):
        assert all(word in str(caught.value) for word in words), caught.value


def test_contexts_nest_and_end():
    outer, inner = Fixed({"a": 1}, {}), Fixed({"a": 2}, {})
    with answering(outer):
        with pytest.raises(ZeroDivisionError), answering(inner):
            assert choice([1, 2], label="a") == 2
            raise ZeroDivisionError
        assert choice([1, 2], label="a") == 1
    assert choice([1, 2], label="a") == 1
    assert current() not in (outer, inner)


def test_a_scope_can_be_all_that_is_named_after_a_label():
    def ask():
        with current().inside("m", None):
            choice([1, 2])
            with current().inside("m", "part", [1]):
                choice([1, 2])

    assert traced(lambda: (choice([1, 2], label="m"), ask())).labels == ("m", "m/choice1", "m/part/choice1")
