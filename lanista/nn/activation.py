"""`AutoActivation`: an activation function that is put together from elementary ones."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node
from torch.nn import functional as F  # noqa: N812

from lanista.errors import SpaceError
from lanista.space.context import current
from lanista.space.domain import Categorical, is_integer

EPSILON = 1e-6
"""What the formulas add where they would divide by zero, or take the logarithm or the root's slope of it."""

LIMIT = 30.0
"""Arguments of exponentials are cut here, since e**89 is infinite in single precision, and e**45 once squared."""


class _Formula:
    """A graph that functions are written into, with the parameters that they need."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.parameters: dict[str, object] = {}

    def __call__(self, function: Callable[..., object], *arguments: object, **named: object) -> Node:
        return self.graph.call_function(function, arguments, named)  # type: ignore[arg-type]

    def beta(self, initial: float) -> Node:
        """A new trainable number."""
        name = f"beta_{len(self.parameters)}"
        self.parameters[name] = nn.Parameter(torch.tensor(initial))
        return self.graph.get_attr(name)

    def exp(self, x: Node) -> Node:
        """e**x, cut where it gets too large."""
        return self(torch.exp, self(torch.clamp, x, max=LIMIT))

    def cut(self, x: Node) -> Node:
        """`x` where both e**x and e**-x are representable."""
        return self(torch.clamp, x, -LIMIT, LIMIT)


Unary = Callable[[_Formula, Node], Node]
Binary = Callable[[_Formula, Node, Node], Node]

UNARY: dict[str, Unary] = {
    "identity": lambda f, x: x,
    "negative": lambda f, x: f(operator.neg, x),
    "abs": lambda f, x: f(torch.abs, x),
    "square": lambda f, x: f(operator.pow, x, 2),
    "cube": lambda f, x: f(operator.pow, x, 3),
    "sqrt": lambda f, x: f(torch.sqrt, f(torch.clamp, x, min=EPSILON)),
    "scale": lambda f, x: f(operator.mul, f.beta(1.0), x),
    "shift": lambda f, x: f(operator.add, x, f.beta(0.0)),
    "log": lambda f, x: f(torch.log, f(operator.add, f(torch.abs, x), EPSILON)),
    "exp": lambda f, x: f.exp(x),
    "sin": lambda f, x: f(torch.sin, x),
    "cos": lambda f, x: f(torch.cos, x),
    "sinh": lambda f, x: f(torch.sinh, f.cut(x)),
    "cosh": lambda f, x: f(torch.cosh, f.cut(x)),
    "tanh": lambda f, x: f(torch.tanh, x),
    "asinh": lambda f, x: f(torch.asinh, x),
    "atan": lambda f, x: f(torch.atan, x),
    "sinc": lambda f, x: f(torch.sinc, f(operator.truediv, x, math.pi)),
    "max": lambda f, x: f(torch.clamp, x, min=0),
    "min": lambda f, x: f(torch.clamp, x, max=0),
    "sigmoid": lambda f, x: f(torch.sigmoid, x),
    "softplus": lambda f, x: f(F.softplus, x),
    "gaussian": lambda f, x: f(torch.exp, f(operator.neg, f(operator.pow, x, 2))),
    "erf": lambda f, x: f(torch.erf, x),
    "beta": lambda f, x: f.graph.call_method("expand_as", (f.beta(1.0), x)),
}
"""The paper's unary functions, by name."""

BINARY: dict[str, Binary] = {
    "add": lambda f, x, y: f(operator.add, x, y),
    "multiply": lambda f, x, y: f(operator.mul, x, y),
    "subtract": lambda f, x, y: f(operator.sub, x, y),
    "divide": lambda f, x, y: f(operator.truediv, x, _from_zero(f, y)),
    "max": lambda f, x, y: f(torch.maximum, x, y),
    "min": lambda f, x, y: f(torch.minimum, x, y),
    "gate": lambda f, x, y: f(operator.mul, f(torch.sigmoid, x), y),
    "gaussian": lambda f, x, y: _decay(f, f(operator.pow, f(operator.sub, x, y), 2)),
    "laplace": lambda f, x, y: _decay(f, f(torch.abs, f(operator.sub, x, y))),
    "average": lambda f, x, y: _mean(f, x, y, f.beta(0.5)),
}
"""The paper's binary functions, by name."""


def AutoActivation(unit_num: int = 1, *, label: str | None = None) -> GraphModule:
    """Ask for an activation function in the space of "Searching for Activation Functions".

    Of https://arxiv.org/abs/1710.05941, section 3: a core unit is `b(u1(x), u2(x))` with a binary function of two
    unary ones; each further unit gives `b(so far, u(x))`. `{label}/unary_{k}` for k from 0 to `unit_num`, and
    `{label}/binary_{k}` for k below `unit_num`, say which. The module is plain torch (a generated
    `torch.fx.GraphModule`), and its output has the shape of its input.

    Unary, with β a trainable number: identity, negative, abs, square, cube, sqrt, scale (βx), shift (x + β), log
    (log(|x| + ε)), exp, sin, cos, sinh, cosh, tanh, asinh, atan, sinc (sin(x) / x), max (max(x, 0)), min
    (min(x, 0)), sigmoid, softplus (log(1 + exp(x))), gaussian (exp(-x²)), erf, beta (β itself). Binary: add,
    multiply, subtract, divide (x / (y + ε)), max, min, gate (sigmoid(x) y), gaussian (exp(-β(x - y)²)), laplace
    (exp(-β|x - y|)), average (βx + (1 - β)y). Swish is scale, identity and gate.

    Where a formula is undefined or overflows: sqrt takes what is below ε for ε; the ε of divide has the sign of y;
    what is exponentiated is cut at 30, and that of sinh and cosh at -30 too. ε is 1e-6. β begins as 1, in shift as
    0, in average as 0.5; it is one number for all channels.

    Args:
        unit_num: number of core units, at least 1.
        label: name before those of the decisions.

    Raises:
        SpaceError: `unit_num` is less than 1, or a label is taken by another domain.
    """
    if not (is_integer(unit_num) and unit_num > 0):
        raise SpaceError(f"unit_num is {unit_num!r}; it must be an integer of at least 1")
    context = current()
    label = context.name("AutoActivation", label)
    unary = [UNARY[context.decide(f"{label}/unary_{k}", _UNARY)] for k in range(unit_num + 1)]
    binary = [BINARY[context.decide(f"{label}/binary_{k}", _BINARY)] for k in range(unit_num)]
    asked = [f"{label}/unary_{k}" for k in range(unit_num + 1)] + [f"{label}/binary_{k}" for k in range(unit_num)]
    context.refuse(asked, "the function is written as one formula; LayerChoice asks for one of several activations")
    formula = _Formula()
    x = formula.graph.placeholder("x")
    result = unary[0](formula, x)
    for join, function in zip(binary, unary[1:], strict=True):
        result = join(formula, result, function(formula, x))
    formula.graph.output(result)
    module = GraphModule(formula.parameters, formula.graph, class_name="Activation")
    for which in asked:
        context.answered(which, module)
    return module


_UNARY, _BINARY = Categorical(UNARY), Categorical(BINARY)


def _from_zero(f: _Formula, y: Node) -> Node:
    """`y`, moved away from zero by EPSILON."""
    away = f(operator.add, y, EPSILON), f(operator.sub, y, EPSILON)
    return f(torch.where, f(operator.ge, y, 0), *away)


def _decay(f: _Formula, distance: Node) -> Node:
    return f.exp(f(operator.neg, f(operator.mul, f.beta(1.0), distance)))


def _mean(f: _Formula, x: Node, y: Node, weight: Node) -> Node:
    return f(operator.add, f(operator.mul, weight, x), f(operator.mul, f(operator.sub, 1, weight), y))
