"""What is planted is the only architecture without error."""

import pytest
import torch

from lanista.testing.planted import PROBLEMS, channels, mean_squared_error


def error(problem, architecture, steps=250):
    """What is left of the loss after training alone, relative to the targets' variance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = problem.space.build(architecture)
    optimizer = torch.optim.Adam(model.parameters(), 0.1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / steps)
        optimizer.zero_grad()
        mean_squared_error(model, problem.batch(step)).backward()
        optimizer.step()
    inputs, targets = problem.batch(steps)
    with torch.no_grad():
        return float(mean_squared_error(model, (inputs, targets)) / targets.var())


@pytest.mark.parametrize("make", [*PROBLEMS, channels], ids=lambda make: make.__name__)
def test_no_neighbour_of_the_answer_is_as_good(make):
    problem = make()
    decisions = problem.space.decisions
    answer = decisions.validate(problem.answer)
    assert error(problem, answer) < 1e-3
    others = list(decisions.neighbours(answer))[::3]
    assert min(error(problem, other) for other in others) > 0.05


def test_batches_follow_from_their_seed():
    problem = PROBLEMS[0]()
    assert torch.equal(problem.batch(1)[1], problem.batch(1)[1])
    assert not torch.equal(problem.batch(1)[1], problem.batch(2)[1])
