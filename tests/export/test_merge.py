import pytest
import torch
from torch import fx

from lanista.export.merge import follows_mode, is_default, merge, nodes_in


def graph(build):
    """The graph of a function, with the notes that a trace leaves."""
    made = fx.symbolic_trace(build).graph
    for node in made.nodes:
        node.meta |= {"call": (node.args, node.kwargs), "no_grad": False}
    return made


def refuse(one, other):
    return follows_mode(object(), object())


def test_a_graph_merges_with_itself():
    def build(x, y):
        return {"a": [torch.cat([x, y], dim=1), x[:, 1:3]]}

    one, other = graph(build), graph(build)
    assert merge(one, other, None, refuse) == {node: (node.args, node.kwargs) for node in one.nodes}


@pytest.mark.parametrize(
    "other",
    [
        lambda x, y: x + y + 1,
        lambda x, y: y + x,
        lambda x, y: x - y,
        lambda x, y: (x + y).relu(),
        lambda x, y: (x + y,),
    ],
)
def test_other_graphs_do_not_merge(other):
    assert merge(graph(lambda x, y: x + y), graph(other), None, refuse) is None


def test_gradients_off_in_one_are_a_difference():
    one, other = graph(lambda x: x + 1), graph(lambda x: x + 1)
    next(node for node in one.nodes if node.op == "call_function").meta["no_grad"] = True
    assert merge(one, other, None, refuse) is None


def test_flags_become_the_mode():
    one = graph(lambda x: torch.dropout(x, 0.5, True))
    other = graph(lambda x: torch.dropout(x, 0.5, False))
    merged = merge(one, other, None, follows_mode)
    assert [args[2] for node, (args, _) in merged.items() if node.op == "call_function"] == ["self.training"]
    assert merge(one, graph(lambda x: torch.dropout(x, 0.4, False)), None, follows_mode) is None


@pytest.mark.parametrize(("default", "merges"), [(2, True), (2.0, False), (3, False)])
def test_an_input_merges_with_its_default(default, merges):
    one, other = graph(lambda x, scale: x * scale), graph(lambda x: x * 2)
    assert (merge(one, other, "scale", is_default(default)) is not None) is merges


def test_nodes_are_found_as_often_as_they_occur():
    node = next(iter(graph(lambda x: x).nodes))
    assert list(nodes_in([node, {"a": (node, 1)}, slice(None, node)])) == [node] * 3
