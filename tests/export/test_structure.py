import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from lanista.errors import ExportError
from lanista.export.source import source


def module(forward, **parts):
    made = type("Net", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def test_names_that_are_no_identifiers_are_reached():
    net = module(lambda self, x: self.branches["3x3"](x) + getattr(self.inner, "0")(x))
    net.branches = nn.ModuleDict({"3x3": nn.Linear(2, 2), "class": nn.Linear(2, 2)})
    net.inner = nn.Module()
    net.inner.add_module("0", nn.ReLU())
    net.inner.add_module("last", nn.ReLU())
    made = source(net)
    assert 'self.branches["3x3"](x)' in made.text
    assert made.unused == ["branches.class", "inner.last"]


def test_a_root_with_numbered_children_keeps_their_paths():
    net = fx.symbolic_trace(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    made = source(net)
    assert 'self.add_module("0", nn.Linear(2, 3))' in made.text
    assert list(made.weights) == ["0.weight", "0.bias"]


def test_a_layer_used_through_its_weight_is_kept_whole():
    net = module(lambda self, x: F.linear(x, self.layer.weight), layer=nn.Linear(2, 3))
    assert "self.layer = nn.Linear(2, 3)" in source(net).text
    assert "return F.linear(x, self.layer.weight)" in source(net).text


def init(net):
    """The lines of __init__ after the first, without indentation."""
    text = source(net).text.partition("super().__init__()\n")[2].partition("\n\n")[0]
    return [line.strip() for line in text.splitlines()]


def test_a_frozen_part_is_frozen_in_one_line():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2))
    net[0].requires_grad_(False)
    net[1].bias.requires_grad_(False)
    text = source(net).text
    assert "        self[0].requires_grad_(False)\n        self[1].bias.requires_grad_(False)\n" in text


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_one_dtype_is_set_once_and_several_where_they_are(dtype):
    layers = {"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}
    net = module(lambda self, x: self.b(self.a(x)), **layers).to(dtype)
    assert init(net) == ["self.a = nn.Linear(2, 2)", "self.b = nn.Linear(2, 2)", f"self.to({dtype})"]
    net.a.float()
    assert init(net) == ["self.a = nn.Linear(2, 2)", f"self.b = nn.Linear(2, 2).to({dtype})"]
    net.a.bias.data = net.a.bias.data.to(dtype)
    with pytest.raises(ExportError, match=r"'a' \(Linear\) mixes.*one dtype"):
        source(net)


def test_tensors_of_ones_own_are_declared_as_what_they_are():
    net = module(lambda self, x: x * self.scale + self.fixed + self.kept + self.lost + self.plain)
    net.scale = nn.Parameter(torch.ones(2, 3))
    net.fixed = nn.Parameter(torch.ones(()), requires_grad=False)
    net.register_buffer("kept", torch.ones(3, dtype=torch.int32))
    net.register_buffer("lost", torch.ones(3), persistent=False)
    net.plain = torch.ones(3)
    assert init(net)[:5] == [
        "self.scale = nn.Parameter(torch.empty(2, 3))",
        "self.fixed = nn.Parameter(torch.empty(()), requires_grad=False)",
        "self.kept = nn.Buffer(torch.empty(3, dtype=torch.int32))",
        "self.lost = nn.Buffer(torch.empty(3), persistent=False)",
        "self.plain = nn.Buffer(torch.empty(3), persistent=False)",
    ]
    made = source(net)
    assert list(made.weights) == ["scale", "fixed", "kept"]
    assert list(made.constants) == ["lost", "plain"]


def test_a_tied_tensor_is_tied_in_the_code():
    net = module(lambda self, x: self.head(self.tokens(x)), tokens=nn.Embedding(5, 2), head=nn.Linear(2, 5))
    net.head.weight = net.tokens.weight
    assert init(net)[-1] == "self.head.weight = self.tokens.weight"
    assert source(net).ties == {"head.weight": "tokens.weight"}


def test_a_shared_module_is_built_once():
    act = nn.PReLU()
    net = nn.Sequential(nn.Linear(2, 2), act, nn.Linear(2, 2), act)
    text = source(net).text
    assert text.count("nn.PReLU()") == 1
    assert list(source(net).weights)[-1] == "3.weight"


def test_a_list_with_gaps_keeps_its_numbers():
    net = module(lambda self, x: self.ops[2](x) * self.scales[1])
    net.ops = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    net.scales = nn.ParameterList(nn.Parameter(torch.ones(2)) for _ in range(2))
    assert init(net) == [
        'self.ops = nn.ModuleDict({"2": nn.Linear(2, 2)})',
        'self.scales = nn.ParameterDict({"1": nn.Parameter(torch.empty(2))})',
    ]
