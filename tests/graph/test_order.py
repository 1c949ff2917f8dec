import pytest
import torch
from torch import fx

from lanista.errors import InvalidMutation
from lanista.graph.order import ordered, relink


def chain():
    graph = fx.Graph()
    x = graph.placeholder("x")
    a, b = (graph.call_function(function, (x,)) for function in (torch.tanh, torch.relu))
    graph.output((a, b))
    return graph, x, a, b


def test_an_order_that_is_right_stays():
    graph, *_ = chain()
    assert ordered(list(graph.nodes), str) is None


def test_nodes_move_behind_their_arguments():
    graph, x, a, b = chain()
    a.args = (b,)
    better = ordered(list(graph.nodes), str)
    assert better[:3] == [x, b, a]
    relink(better)
    graph.lint()
    assert list(graph.nodes) == better


def test_a_circle_is_named():
    graph, _, a, b = chain()
    a.args, b.args = (b,), (a,)
    with pytest.raises(InvalidMutation, match="node 'relu' would depend on its own result, through 'tanh'"):
        ordered(list(graph.nodes), str)
