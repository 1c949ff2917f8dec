import math

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.errors import SpaceError
from lanista.nn import AutoActivation
from lanista.nn.activation import BINARY, UNARY
from lanista.space import Categorical, SearchSpace

X = torch.linspace(-3, 3, 25)
BETA = 1.3


def built(*names, unit_num=1, beta=None):
    """unary_0, unary_1, binary_0, ... as an activation, with all β set."""
    labels = [f"a/unary_{k}" for k in range(unit_num + 1)] + [f"a/binary_{k}" for k in range(unit_num)]
    space = ModelSpace(AutoActivation, unit_num, label="a")
    activation = space.build(dict(zip(labels, names, strict=True)))
    for parameter in activation.parameters():
        nn.init.constant_(parameter, BETA if beta is None else beta)
    return activation


def test_units_follow_each_other():
    space = ModelSpace(AutoActivation, 2, label="a").decisions
    unary, binary = Categorical(UNARY), Categorical(BINARY)
    domains = {"a/unary_0": unary, "a/unary_1": unary, "a/unary_2": unary, "a/binary_0": binary, "a/binary_1": binary}
    assert space == SearchSpace(domains)
    found = built("sin", "cos", "square", "subtract", "multiply", unit_num=2)(X)
    torch.testing.assert_close(found, (X.sin() - X.cos()) * X**2)


FORMULAS = {
    "identity": lambda x: x,
    "negative": lambda x: -x,
    "abs": abs,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "sqrt": lambda x: math.sqrt(max(x, 1e-6)),
    "scale": lambda x: BETA * x,
    "shift": lambda x: x + BETA,
    "log": lambda x: math.log(abs(x) + 1e-6),
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "asinh": math.asinh,
    "atan": math.atan,
    "sinc": lambda x: math.sin(x) / x if x else 1,
    "max": lambda x: max(x, 0),
    "min": lambda x: min(x, 0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "gaussian": lambda x: math.exp(-(x**2)),
    "erf": math.erf,
    "beta": lambda x: BETA,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary_functions_follow_the_paper(name):
    expected = torch.tensor([float(FORMULAS[name](x)) for x in X.tolist()])
    # x + x is twice the function.
    torch.testing.assert_close(built(name, name, "add")(X) / 2, expected, rtol=1e-5, atol=1e-5)


PAIRS = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "subtract": lambda x, y: x - y,
    "divide": lambda x, y: x / (y + (1e-6 if y >= 0 else -1e-6)),
    "max": max,
    "min": min,
    "gate": lambda x, y: y / (1 + math.exp(-x)),
    "gaussian": lambda x, y: math.exp(-BETA * (x - y) ** 2),
    "laplace": lambda x, y: math.exp(-BETA * abs(x - y)),
    "average": lambda x, y: BETA * x + (1 - BETA) * y,
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_follow_the_paper(name):
    expected = torch.tensor([PAIRS[name](math.sin(x), math.cos(x)) for x in X.tolist()])
    torch.testing.assert_close(built("sin", "cos", name)(X), expected, rtol=1e-4, atol=1e-5)


def test_none_of_the_papers_functions_is_missing():
    assert (len(UNARY), len(BINARY)) == (25, 10)
    assert FORMULAS.keys() == UNARY.keys()
    assert PAIRS.keys() == BINARY.keys()


@pytest.mark.parametrize("beta", [0.5, 1.0, -2.0])
def test_swish_is_one_of_them(beta):
    swish = built("scale", "identity", "gate", beta=beta)
    torch.testing.assert_close(swish(X), X * torch.sigmoid(beta * X))


@pytest.mark.parametrize("binary", BINARY)
@pytest.mark.parametrize("unary", UNARY)
def test_values_and_gradients_are_finite_everywhere(unary, binary):
    x = torch.tensor([-1e3, -50.0, -1e-8, -0.0, 0.0, 1e-8, 1.0, 50.0, 1e3], requires_grad=True)
    activation = built(unary, "identity", binary, beta=1.0)
    y = activation(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in activation.parameters())


def test_every_beta_is_a_number_of_its_own_that_begins_as_said():
    activation = ModelSpace(AutoActivation, label="a").build(
        {"a/unary_0": "scale", "a/unary_1": "shift", "a/binary_0": "average"}
    )
    assert {name: p.item() for name, p in activation.named_parameters()} == {"beta_0": 1, "beta_1": 0, "beta_2": 0.5}


@pytest.mark.parametrize("number", [0, 1.5])
def test_there_is_at_least_one_unit(number):
    with pytest.raises(SpaceError, match=f"unit_num is {number}; it must be an integer of at least 1"):
        AutoActivation(number)


def test_without_a_space_it_is_twice_the_identity():
    assert torch.equal(AutoActivation()(X), 2 * X)
