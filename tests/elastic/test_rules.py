"""What operations between layers do to channels, on real traces."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lanista.elastic.flow import follow
from lanista.elastic.trace import trace


class Net(nn.Module):
    """Two layers that make channels, something between, and a layer that takes them."""

    def __init__(self, between, width, spatial):
        super().__init__()
        if spatial:
            self.one, self.two = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
            self.last = nn.Conv2d(width, 2, 1)
        else:
            self.one, self.two = nn.Linear(3, 8), nn.Linear(3, 8)
            self.last = nn.Linear(width, 2)
        self.between = between
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return self.last(self.between(self.one(x), self.two(x), self.scale))


def classes(between, width=8, spatial=False):
    """The classes of the channels that the layers make and that the last one takes; 0: they stay."""
    model = Net(between, width, spatial)
    example = torch.zeros(2, 3, 4, 4) if spatial else torch.zeros(2, 5, 3)
    flow = follow(trace(model, example), model)
    axes, units = flow.channels.axes, flow.channels.units
    keys = [("one.weight", 0), ("two.weight", 0), ("last.weight", 1)]
    found = torch.cat([units.classes(axes[key]) for key in keys]).tolist()
    names = {0: 0}
    return [[names.setdefault(n, len(names)) for n in part] for part in (found[:8], found[8:16], found[16:])]


FREE = list(range(1, 9))
OTHER = list(range(9, 17))
STAYS = [0] * 8


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (lambda a, b, s: a + b, [FREE, FREE, FREE]),
        (lambda a, b, s: functional.gelu(a) * b.sigmoid() - a, [FREE, FREE, FREE]),
        (lambda a, b, s: torch.where(a > 0, a, b), [FREE, FREE, FREE]),
        (lambda a, b, s: a * s + b * 2, [FREE, FREE, FREE]),
        (lambda a, b, s: functional.layer_norm(a, (8,), s) + b.mean(-1, keepdim=True), [FREE, OTHER, FREE]),
        (lambda a, b, s: functional.rms_norm(a, (8,)) + b.amax(1, keepdim=True), [FREE, FREE, FREE]),
        (lambda a, b, s: a.softmax(-1) + b.cumsum(1), [FREE, FREE, FREE]),
        (lambda a, b, s: functional.dropout(a, 0.5, False).contiguous().to(torch.float64).float(), [FREE, OTHER, FREE]),
        (lambda a, b, s: a.flip(-1) + b, [FREE, FREE[::-1], FREE[::-1]]),
        (lambda a, b, s: a.roll(1, -1) + b, [FREE, [8, *FREE[:7]], [8, *FREE[:7]]]),
        (lambda a, b, s: (a.transpose(1, 2) @ b).mean(1, keepdim=True), [STAYS, STAYS, STAYS]),
        (lambda a, b, s: a @ b.transpose(1, 2) @ b, [FREE, FREE, FREE]),
        (lambda a, b, s: torch.einsum("bnc,bmc->bnm", a, b) @ a, [FREE, FREE, FREE]),
        (lambda a, b, s: a * torch.arange(8), [STAYS, OTHER, STAYS]),
        (lambda a, b, s: a + torch.zeros(5, 1), [FREE, OTHER, FREE]),
        (lambda a, b, s: a.sort(-1).values + b, [STAYS, STAYS, STAYS]),
        (lambda a, b, s: torch.fft.fft(a).real + b, [STAYS, STAYS, STAYS]),
        (lambda a, b, s: a.index_select(1, torch.tensor([0, 2])), [FREE, OTHER, FREE]),
        (lambda a, b, s: a[:, torch.tensor([0, 2])], [FREE, OTHER, FREE]),
        (lambda a, b, s: a[..., torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])], [STAYS, OTHER, STAYS]),
        (lambda a, b, s: torch.cat([a, b], 1), [FREE, FREE, FREE]),
        (lambda a, b, s: torch.stack([a, b], 1), [FREE, FREE, FREE]),
        (lambda a, b, s: torch.cat([a, torch.zeros(2, 1, 8)], 1), [STAYS, OTHER, STAYS]),
        (lambda a, b, s: a.masked_fill(b > 0, 1.0), [FREE, FREE, FREE]),
    ],
)
def test_rows_of_channels(between, expected):
    found = classes(between)
    names = {0: 0}
    expected = [[names.setdefault(n, len(names)) for n in part] for part in expected]
    assert found == expected


@pytest.mark.parametrize(
    ("between", "width", "expected"),
    [
        (lambda a, b, s: torch.cat([a, b], 1), 16, [FREE, OTHER, [*FREE, *OTHER]]),
        (lambda a, b, s: functional.max_pool2d(a, 2) + functional.avg_pool2d(b, 2), 8, [FREE, FREE, FREE]),
        (
            lambda a, b, s: functional.interpolate(a, scale_factor=2) + b.mean((2, 3), keepdim=True),
            8,
            [FREE, FREE, FREE],
        ),
        (lambda a, b, s: functional.adaptive_avg_pool2d(a, 1) * b, 8, [FREE, FREE, FREE]),
        (lambda a, b, s: functional.batch_norm(a, s.detach(), s.detach().abs()), 8, [FREE, OTHER, FREE]),
        (lambda a, b, s: functional.pad(a, (1, 1, 1, 1)), 8, [FREE, OTHER, FREE]),
        (lambda a, b, s: functional.pad(a, (1, 1, 1, 1), mode="reflect"), 8, [FREE, OTHER, FREE]),
        (lambda a, b, s: functional.pad(a, (0, 0, 0, 0, 2, 2)), 12, [FREE, OTHER, [0, 0, *FREE, 0, 0]]),
        (
            lambda a, b, s: functional.pixel_shuffle(a, 2),
            2,
            [[1, 1, 1, 1, 2, 2, 2, 2], [3, 4, 5, 6, 7, 8, 9, 10], [1, 2]],
        ),
        (
            lambda a, b, s: a.unflatten(1, (2, 4)).mean(1),
            4,
            [[1, 2, 3, 4] * 2, [5, 6, 7, 8, 9, 10, 11, 12], [1, 2, 3, 4]],
        ),
        (lambda a, b, s: torch.mul(*a.chunk(2, 1)), 4, [[1, 2, 3, 4] * 2, [5, 6, 7, 8, 9, 10, 11, 12], [1, 2, 3, 4]]),
        (lambda a, b, s: functional.glu(a, 1), 4, [[1, 2, 3, 4] * 2, [5, 6, 7, 8, 9, 10, 11, 12], [1, 2, 3, 4]]),
        (lambda a, b, s: functional.prelu(a, s), 8, [FREE, OTHER, FREE]),
        (lambda a, b, s: functional.prelu(a, s[:1]) + b, 8, [FREE, FREE, FREE]),
        (lambda a, b, s: a[:, :3], 3, [FREE, OTHER, [1, 2, 3]]),
        (
            lambda a, b, s: functional.group_norm(a, 4, s, s),
            8,
            [[1, 1, 2, 2, 3, 3, 4, 4], [5, 6, 7, 8, 9, 10, 11, 12], [1, 1, 2, 2, 3, 3, 4, 4]],
        ),
        (
            lambda a, b, s: a.view(2, 2, 4, 4, 4).transpose(1, 2).reshape(2, 8, 4, 4),
            8,
            [[1, 2, 3, 4] * 2, [5, 6, 7, 8, 9, 10, 11, 12], [1, 1, 2, 2, 3, 3, 4, 4]],
        ),
    ],
)
def test_images_with_channels(between, width, expected):
    found = classes(between, width, spatial=True)
    names = {0: 0}
    assert found == [[names.setdefault(n, len(names)) for n in part] for part in expected]


def heads(q, k, v):
    return functional.scaled_dot_product_attention(*(x.unflatten(-1, (2, 4)).transpose(1, 2) for x in (q, k, v)))


@pytest.mark.parametrize(
    "between",
    [
        lambda a, b, s: heads(a, b, a).transpose(1, 2).flatten(2),
        lambda a, b, s: (
            heads(functional.layer_norm(a.unflatten(-1, (2, 4)), (4,)).flatten(2), b * 1, a).transpose(1, 2).flatten(2)
        ),
        lambda a, b, s: heads(a * torch.arange(4).repeat(2).view(2, 4).flatten()[:1], b, a).transpose(1, 2).flatten(2),
    ],
)
def test_heads_are_classes(between):
    assert classes(between) == [[1] * 4 + [2] * 4] * 3


def test_heads_of_keys_may_serve_several_queries():
    def between(a, b, s):
        q = a.unflatten(-1, (4, 2)).transpose(1, 2)
        k = b[..., :4].unflatten(-1, (2, 2)).transpose(1, 2).repeat_interleave(2, 1)
        return functional.scaled_dot_product_attention(q, k, k).transpose(1, 2).flatten(2)

    one, two, last = classes(between)
    assert one == last == [1] * 4 + [2] * 4
    assert two[:4] == [1, 1, 2, 2]
