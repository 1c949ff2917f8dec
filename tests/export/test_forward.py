import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lanista.export.source import source


def module(forward, **parts):
    made = type("Net", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def body(net, example=None):
    """The lines of forward, without indentation."""
    text = source(net, example).text.partition("    def forward(self")[2].partition("\n\n\ndef load")[0]
    return [line.strip() for line in text.splitlines()[1:] if line.strip()]


def run(net, *inputs):
    """What the written forward gives, for a net without weights."""
    names = {"__name__": "model", "__file__": "model.py"}
    exec(source(net).text, names)
    return names["Model"]()(*inputs)


EXPRESSIONS = {
    "return x * 2 + 1": lambda self, x: x * 2 + 1,
    "return (x + 1) * 2": lambda self, x: (x + 1) * 2,
    "return x - (1 - x)": lambda self, x: x - (1 - x),
    "return x - 1 - x": lambda self, x: (x - 1) - x,
    "return 2 ** x ** 2": lambda self, x: 2**x**2,
    "return (x ** 2) ** 3": lambda self, x: (x**2) ** 3,
    "return (-2) ** x": lambda self, x: (-2) ** x,
    "return -x ** 2": lambda self, x: -(x**2),
    "return (-x) ** 2": lambda self, x: (-x) ** 2,
    "return x @ x.transpose(0, 1)": lambda self, x: x @ x.transpose(0, 1),
    "return (x + 1).view(-1)": lambda self, x: (x + 1).view(-1),
    "return x / (x * 2)": lambda self, x: x / (x * 2),
    "return (x > 0) == (x > 1)": lambda self, x: (x > 0) == (x > 1),
    "return ~(x > 0) & (x < 2)": lambda self, x: ~(x > 0) & (x < 2),
    "return x[:, ::2, None]": lambda self, x: x[:, ::2, None],
    "return x[..., -1:]": lambda self, x: x[..., -1:],
    "return x.T": lambda self, x: x.T,
    "return x.view(x.shape[0], -1, x.size(1) // 2)": lambda self, x: x.view(x.shape[0], -1, x.size(1) // 2),
    "return x.to(torch.float64)": lambda self, x: x.to(torch.float64),
    'return x.to(torch.device("cpu"))': lambda self, x: x.to(torch.device("cpu")),
    'return F.pad(x, (1, 1), mode="reflect")': lambda self, x: F.pad(x, (1, 1), "reflect"),
    'return x.clamp(min=float("-inf"), max=3)': lambda self, x: x.clamp(min=-torch.inf, max=3),
    "return torch.linalg.norm(x, dim=1)": lambda self, x: torch.linalg.norm(x, dim=1),
    'return x, [x], {"a": (x,)}': lambda self, x: (x, [x], {"a": (x,)}),
    "return torch.arange(x.shape[1], device=x.device)": lambda self, x: torch.arange(
        x.shape[1], device=x.device
    ),
}


@pytest.mark.parametrize("line", EXPRESSIONS)
def test_reads_as_a_person_would_write_it_and_computes_the_same(line):
    net, x = module(EXPRESSIONS[line]), torch.arange(8.0).view(2, 4)
    assert body(net) == [line]
    ours, theirs = (torch.utils._pytree.tree_leaves(result) for result in (run(net, x), net(x)))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())


def test_variables_are_used_again_when_their_value_is_done():
    def forward(self, x):
        y = torch.relu(torch.tanh(x))
        return torch.sigmoid(y + x) * torch.exp(y)

    assert body(module(forward)) == [
        "y = torch.tanh(x)",
        "y = torch.relu(y)",
        "x = y + x",
        "x = torch.sigmoid(x)",
        "y = torch.exp(y)",
        "return x * y",
    ]


def test_tuples_are_unpacked_as_in_the_original():
    def forward(self, x):
        a, (b, _) = x.chunk(2, 1)[0], torch.max(x, 1)
        q, _, v = x.split((1, 2, 1), 1)
        return a + q * v, b

    net, x = module(forward), torch.rand(2, 4)
    assert "x, _, x1 = x.split((1, 2, 1), 1)" in body(net)
    assert all(torch.equal(a, b) for a, b in zip(run(net, x), net(x), strict=True))


def test_a_write_reaches_every_name_of_the_tensor():
    def forward(self, x):
        y = x + 0
        row = y[0]
        y += 1
        y[1] = row * 2
        row -= 3
        return y, row

    net, x = module(forward), torch.rand(2, 3)
    assert all(torch.equal(a, b) for a, b in zip(run(net, x), net(x), strict=True))
    assert body(net) == ["x = x + 0", "y = x[0]", "x += 1", "x[1] = y * 2", "y -= 3", "return x, y"]


def test_long_calls_are_broken_at_their_arguments():
    def forward(self, x):
        return torch.cat([torch.relu(x), torch.tanh(x), *(torch.sigmoid(x + i) for i in range(24))], dim=1)

    text = source(module(forward)).text
    assert max(map(len, text.splitlines())) <= 100
    assert "        y = torch.cat(\n            [\n                y, z, x1, x2," in text
    assert run(module(forward), torch.ones(1, 1)).shape == (1, 26)


def test_equal_calls_in_a_row_keep_their_order():
    net = module(lambda self, x: torch.rand_like(x) - torch.rand_like(x) * torch.rand_like(x))
    torch.manual_seed(0)
    ours = run(net, torch.ones(3))
    torch.manual_seed(0)
    assert torch.equal(ours, net(torch.ones(3)))


def test_a_buffer_is_written_where_it_is():
    def forward(self, x):
        self.steps += 1
        return x * self.steps

    net = module(forward)
    net.register_buffer("steps", torch.zeros(1))
    assert body(net) == ["self.steps += 1", "return x * self.steps"]
