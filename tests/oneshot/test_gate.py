import math

import torch

from lanista.oneshot.gate import draw, gumbel, opened, rows_of


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gumbel_numbers_have_their_distribution():
    values = gumbel(torch.empty(200, 500), generator())
    assert values.isfinite().all()
    assert abs(float(values.mean()) - 0.5772) < 0.02  # Euler's constant
    assert abs(float(values.var()) - math.pi**2 / 6) < 0.05
    assert torch.equal(values, gumbel(torch.empty(200, 500), generator()))


def test_draws_follow_the_probabilities():
    logits = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log().repeat(20_000, 1)
    counts = draw(logits, 1, generator()).flatten().bincount(minlength=4) / 20_000
    assert (counts - torch.tensor([0.1, 0.2, 0.3, 0.4])).abs().max() < 0.015


def test_of_two_the_second_is_drawn_from_what_is_left():
    logits = torch.tensor([[0.1, 0.2, 0.7]]).log().repeat(20_000, 1)
    pairs = draw(logits, 2, generator())
    assert (pairs[:, 0] != pairs[:, 1]).all()
    for first, second in ((0, 1), (1, 2), (2, 0)):
        p = torch.tensor([0.1, 0.2, 0.7])
        expected = p[first] * p[second] / (1 - p[first])
        found = ((pairs == torch.tensor([first, second])).all(1)).float().mean()
        assert abs(found - expected) < 0.015


def test_an_open_gate_is_exactly_one_and_has_the_gradient_of_the_soft_one():
    alpha = torch.randn(3, 5, generator=generator(), requires_grad=True)
    factors = torch.randn(3, 5, generator=generator(1))
    soft = (alpha / 3).softmax(1)
    gates = opened(torch.tensor([[1, 4], [0, 2], [3, 1]]), soft)
    assert gates.tolist() == [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0], [0, 1, 0, 1, 0]]
    found, expected = (torch.autograd.grad((x * factors).sum(), alpha, retain_graph=True)[0] for x in (gates, soft))
    assert torch.equal(found, expected)


def test_rows_are_in_order():
    assert rows_of(torch.tensor([[3, 1], [0, 2]])) == ((1, 3), (0, 2))
