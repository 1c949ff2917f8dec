import operator
import random

import numpy as np
import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

from lanista.errors import ExportError
from lanista.export.trace import trace


def module(forward, **parts):
    """A module of its own class with `forward`, holding `parts`."""
    made = type("Net", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def inputs(traced):
    return [parameter.name for parameter in traced.inputs]


def targets(graph):
    return [node.target for node in graph.nodes if node.op not in ("placeholder", "output")]


def test_modes_that_differ_in_a_flag_make_one_graph():
    traced = trace(module(lambda self, x: F.dropout(x, 0.5, self.training, not self.training)), None)
    assert traced.training is None
    (call,) = [node for node in traced.evaluation.nodes if node.op == "call_function"]
    assert call.meta["call"][1] == {"p": 0.5, "training": "self.training", "inplace": "not self.training"}


def test_modes_that_compute_otherwise_make_two_graphs():
    traced = trace(module(lambda self, x: torch.relu(x) if self.training else x), None)
    assert targets(traced.training) == [torch.relu]
    assert targets(traced.evaluation) == []


def masked(self, x, mask=None, scale=2.0, power=1, *, flip=False):
    x = x * scale
    if mask is not None:
        x = x * mask
    return -x if flip else x ** (power + 1)


def test_an_argument_stays_open_if_its_default_takes_the_same_path():
    traced = trace(module(masked), None)
    assert inputs(traced) == ["x", "scale"]
    assert traced.fixed == {"mask": None, "power": 1, "flip": False}


def test_an_argument_stays_open_if_the_example_has_a_tensor_for_it():
    traced = trace(module(masked), (torch.ones(2), torch.ones(2)))
    assert inputs(traced) == ["x", "mask", "scale"]
    assert "mask" not in traced.fixed


def test_keyword_arguments_are_passed_by_name():
    def forward(self, x, *, shift, **further):
        return x + shift

    traced = trace(module(forward), None)
    assert [parameter.kind.name for parameter in traced.inputs] == ["POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"]


def test_lists_are_unrolled_as_the_example_has_them():
    def forward(self, xs, more):
        return sum(xs) + more["a"][0]

    net = module(forward)
    with pytest.raises(ExportError, match="give example_input where forward loops"):
        trace(net, None)
    traced = trace(net, ([torch.ones(1)] * 3, {"a": (torch.ones(1),)}))
    assert targets(traced.evaluation).count(torch._assert) == 2


def test_tensors_are_named_by_path_and_constants_are_kept_once():
    shift = torch.ones(2)
    net = module(lambda self, x: x * self.table + shift - self.inner.offset + shift, inner=nn.Module())
    net.register_buffer("table", torch.zeros(2))
    net.inner.offset = torch.full((2,), 3.0)
    traced = trace(net, None)
    assert sorted(traced.tensors) == ["constant0", "inner.offset", "table"]
    assert torch.equal(traced.tensors["constant0"], shift)
    assert not hasattr(net, "constant0")


def test_gradients_off_are_seen():
    def forward(self, x):
        with torch.no_grad():
            x = torch.relu(x)
        return torch.tanh(x)

    with torch.no_grad():  # those of the caller are not the model's
        graph = trace(module(forward), None).evaluation
    assert [node.meta["no_grad"] for node in graph.nodes if node.op == "call_function"] == [True, False]


def test_assignments_in_place_are_recorded():
    def forward(self, x):
        x *= 2
        x[0] = 1
        return x

    assert [target.__name__ for target in targets(trace(module(forward), None).evaluation)] == [
        "imul",
        "setitem",
    ]


class Steps(nn.Module):
    def __init__(self, write):
        super().__init__()
        self.write = write
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x):
        self.write(self)
        return x * self.steps


def add(net):
    net.steps += 1


def replace(net):
    net.steps = net.steps + 1


def test_a_buffer_may_be_written_and_not_replaced():
    net = Steps(add)
    assert targets(trace(net, None).evaluation) == ["steps", operator.iadd, operator.mul]
    assert net.steps.item() == 0
    with pytest.raises(ExportError, match=r"replaces the buffer 'steps' at .*`self.steps.copy_\(...\)`"):
        trace(Steps(replace), None)


def test_the_generators_and_the_model_are_untouched():
    def forward(self, x):
        self.seen = self.seen + 1
        return x

    net = module(forward, seen=0)
    states = random.getstate(), torch.get_rng_state(), repr(np.random.get_state())
    trace(net.eval(), None)
    assert (net.seen, net.training) == (0, False)
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[1])
    assert repr(np.random.get_state()) == states[2]


def branches(self, x):
    return x if x.sum() > 0 else -x


def star(self, *xs):
    return xs[0]


def draws(self, x):
    return x if random.random() < 0.5 else -x


def draws_numpy(self, x):
    return x * float(np.random.rand())


def draws_torch(self, x):
    return x + torch.rand(2)


def cast(self, x):
    with torch.autocast("cpu"):
        return torch.mm(x, x)


def counts(self, x):
    return [x for _ in range(x.size(0))]


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (branches, r"test_trace.py:\d+ \(return x if x.sum\(\) > 0 else -x\).*use torch.where"),
        (star, r"takes \*xs.*or take one list"),
        (draws, r"draws random numbers.*torch.rand_like"),
        (draws_numpy, "draws random numbers"),
        (draws_torch, "draws random numbers"),
        (cast, r"torch.autocast at .*test_trace.py:\d+ \(return torch.mm.*around the call"),
        (counts, r"test_trace.py:\d+ \(return \[x for _ in range"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused_with_line_and_way_out(forward, reason):
    with pytest.raises(ExportError, match=reason):
        trace(module(forward), None)


def test_the_message_names_the_module_inside():
    net = module(lambda self, x: self.body[0](x), body=nn.ModuleList([module(branches)]))
    with pytest.raises(ExportError, match=r"in module 'body.0' \(Net\) at"):
        trace(net, None)


def test_a_layer_that_is_not_registered_is_refused():
    net = module(lambda self, x: self.hidden[0](x), hidden=[nn.Linear(2, 2)])
    with pytest.raises(ExportError, match="module is not installed as a submodule"):
        trace(net, None)


def test_more_examples_than_inputs_are_refused():
    with pytest.raises(ExportError, match="has 2 inputs; Net"):
        trace(module(lambda self, x: x), (torch.ones(1), torch.ones(1)))


def test_a_module_with_a_mode_of_its_own_is_seen():
    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm1d(2), nn.Dropout()

        def train(self, mode=True):
            super().train(mode)
            self.norm.eval()
            self.drop.train()
            return self

        def forward(self, x):
            return self.drop(self.norm(x))

    assert trace(Kept(), None).modes == {"norm": False, "drop": True}


def test_graph_modules_are_traced_like_any_other():
    inner = fx.symbolic_trace(
        module(lambda self, x: torch.relu(x) + self.scale, scale=nn.Parameter(torch.ones(1)))
    )
    traced = trace(module(lambda self, x: self.inner(x), inner=inner), None)
    assert list(traced.tensors) == ["inner.scale"]
