from itertools import islice

import pytest
import torch

from lanista.errors import EvaluatorError
from lanista.evaluator.cycle import cycle
from tests.evaluator.tiny import classes, loader


def told(batches, count):
    return [batch[0] for batch in islice(batches, count)]


def equal(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


class Unsized:
    """A loader that does not know its length."""

    def __init__(self, inner):
        self.inner = inner

    def __iter__(self):
        return iter(self.inner)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(loader(classes(60)), id="in order"),
        pytest.param(loader(classes(60), shuffle=True), id="shuffled"),
        pytest.param(Unsized(loader(classes(60))), id="without a length"),
    ],
)
@pytest.mark.parametrize("start", [0, 1, 3, 4, 11])  # of four batches
def test_begun_later_it_goes_on_the_same(made, start):
    assert equal(told(cycle(made, start, 7), 9), told(cycle(made, 0, 7), start + 9)[start:])


@pytest.mark.parametrize("shuffle", [False, True])
def test_each_pass_has_all_batches_and_its_own_order(shuffle):
    made = loader(classes(60), shuffle=shuffle)
    passes = told(cycle(made, 0, 7), 8)
    first, second = torch.cat(passes[:4]), torch.cat(passes[4:])
    assert torch.equal(first.sort(0).values, second.sort(0).values)
    assert torch.equal(first, second) != shuffle


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    told(cycle(loader(shuffle=True), 0, 7), 9)
    assert torch.equal(state, torch.get_rng_state())


def test_no_batch_is_an_error():
    with pytest.raises(EvaluatorError, match="no batch"):
        next(cycle([], 0, 0))
