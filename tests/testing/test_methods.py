"""The laws of one-shot methods, on lanista's own."""

import pytest

from lanista.oneshot import DARTS, GDAS, SPOS, DrNAS, FBNet, ProxylessNAS
from lanista.testing.methods import METHOD_LAWS, finds_the_answer
from lanista.testing.planted import PROBLEMS

METHODS = {
    "DARTS": DARTS,
    "DARTS2": lambda: DARTS(order=2),
    "DrNAS": DrNAS,
    "FBNet": FBNet,
    "GDAS": GDAS,
    "ProxylessNAS": ProxylessNAS,
    "SPOS": SPOS,
}

LEARNING = {
    "DARTS": lambda: DARTS(learning_rate=0.05),
    "DARTS2": lambda: DARTS(order=2, learning_rate=0.05),
    "DrNAS": lambda: DrNAS(learning_rate=0.05),
    "FBNet": lambda: FBNet(learning_rate=0.05),
    "GDAS": lambda: GDAS(learning_rate=0.05),
    "ProxylessNAS": lambda: ProxylessNAS(learning_rate=0.05),
}


@pytest.mark.parametrize("law", METHOD_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_law(make, law):
    law(make)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
@pytest.mark.parametrize("make", LEARNING.values(), ids=LEARNING)
def test_what_was_planted_is_found(make, problem):
    finds_the_answer(make, problem(), 0)
