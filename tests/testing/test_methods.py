"""The laws of one-shot methods, on lanista's own."""

from random import Random

import pytest
import torch
from torch.nn.functional import mse_loss

from lanista.oneshot import (
    DARTS,
    ENAS,
    GDAS,
    PCDARTS,
    SPOS,
    DrNAS,
    FairNAS,
    FBNet,
    ProgressiveShrinking,
    ProxylessNAS,
    RandomSharing,
    Sandwich,
)
from lanista.testing.methods import METHOD_LAWS, finds_the_answer
from lanista.testing.planted import PROBLEMS


def lightly(student, teacher):
    return 0.1 * mse_loss(student, teacher)


METHODS = {
    "DARTS": DARTS,
    "DARTS2": lambda: DARTS(order=2),
    "DrNAS": DrNAS,
    "ENAS": ENAS,
    "FBNet": FBNet,
    "FairNAS": FairNAS,
    "GDAS": GDAS,
    "ProgressiveShrinking": lambda: ProgressiveShrinking(full=0.4, distillation=lightly),
    "PCDARTS": lambda: PCDARTS(parts=2),
    "ProxylessNAS": ProxylessNAS,
    "RandomSharing": RandomSharing,
    "SPOS": SPOS,
    "Sandwich": lambda: Sandwich(distillation=mse_loss),
}

LEARNING = {
    "DARTS": lambda: DARTS(learning_rate=0.05),
    "DARTS2": lambda: DARTS(order=2, learning_rate=0.05),
    "DrNAS": lambda: DrNAS(learning_rate=0.05),
    "ENAS": lambda: ENAS(learning_rate=0.02, samples=4, baseline_decay=0.9),
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


class Forgetful(SPOS):
    """Wrong in each of its ways."""

    def __init__(self, fault):
        self.fault = fault

    def prepare(self):
        self.seen = getattr(self, "seen", 0) if self.fault == "remembers" else 0

    def random(self, purpose=""):
        if self.fault == "global":
            return Random(int(torch.randint(1000, ())))
        return Random(f"{self.seed}/{self.seen if self.fault in ('unsaved', 'remembers') else self.count}")

    def passes(self, train, loss):
        self.seen += 1
        if self.fault == "anywhere":
            torch.rand(1, generator=self.generator())
        if self.fault == "still":
            yield loss(self.network.sub(self.network.supernet.space.decisions.default()), train) * 0
        else:
            yield from super().passes(train, loss)

    def learn(self, valid, loss, optimizer, train):
        if self.fault == "careless":
            loss(self.network.sub(self.network.supernet.space.decisions.default()), valid).backward()

    def strengths(self):
        if self.fault != "negative":
            return None
        relaxations = self.network.relaxations
        return {name: [[-1.0] * r.options for _ in range(r.rows)] for name, r in relaxations.items()}

    def best(self, k=1):
        return super().best(1) * k if self.fault == "same" else super().best(k)


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        ("still", "steps_lower_the_loss"),
        ("global", "seed_decides"),
        ("unsaved", "a_state_goes_on"),
        ("remembers", "a_start_forgets"),
        ("same", "best_are_different_and_keep_the_limits"),
        ("negative", "strengths_are_numbers_from_zero"),
        ("careless", "learning_leaves_the_weights"),
        ("anywhere", "a_default_device_may_be_set"),
    ],
)
def test_a_law_finds_what_breaks_it(fault, law):
    (check,) = [check for check in METHOD_LAWS if check.__name__ == law]
    with pytest.raises(AssertionError):
        check(lambda: Forgetful(fault))
