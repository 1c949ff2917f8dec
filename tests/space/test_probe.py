import pytest

from lanista.errors import SpaceError
from lanista.space import choice, real
from lanista.space.context import Trace, answering
from lanista.space.probe import probe


def probed(program):
    def again(answers):
        context = Trace(answers, {})
        with answering(context):
            program()
        return context

    probe(again({}), again)


def appears():
    if choice(["sgd", "adam"], label="optimizer") == "adam":
        real(0.0, 1.0, label="beta")


def vanishes():
    if choice(["sgd", "adam"], label="optimizer") == "sgd":
        real(0.0, 1.0, label="beta")


def changes():
    choice(list(range(choice([2, 3], label="optimizer"))), label="beta")


@pytest.mark.parametrize("program", [appears, vanishes, changes])
def test_a_question_that_depends_on_an_answer_is_named_with_it(program):
    with pytest.raises(SpaceError, match=r"(?s)'beta', asked at .*test_probe\.py:\d+.*'optimizer'"):
        probed(program)


def test_answers_that_do_not_go_together_are_passed_over():
    def program():
        if choice([1, 2], label="a") > choice([1, 2], label="b"):
            raise ValueError("a must be at most b")

    probed(program)


def test_what_always_asks_the_same_passes():
    def program():
        beta = real(0.0, 1.0, label="beta")
        return beta if choice(["sgd", "adam"], label="optimizer") == "sgd" else 0

    probed(program)
