import operator

import pytest
import torch
from torch import fx, nn

from lanista.errors import ExportError
from lanista.export.source import source


def module(forward, **parts):
    made = type("Net", (nn.Module,), {"forward": forward})()
    for name, part in parts.items():
        setattr(made, name, part)
    return made


def elsewhere(x):
    return x + 1


fx.wrap("elsewhere")


def hooked():
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].register_forward_hook(lambda *_: None)
    return net


class Point(tuple):
    """A class of the user's."""

    _fields = ("x",)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (module(lambda self, x: elsewhere(x)), r"elsewhere is not a function of torch.*test_source.py:\d+"),
        (
            module(lambda self, x: operator.methodcaller("relu")(x), body=hooked()),
            r"'body.0' \(Linear\) has a hook",
        ),
        (
            nn.Sequential(nn.utils.parametrizations.orthogonal(nn.Linear(2, 2))),
            r"'0'.*remove_parametrizations",
        ),
        (nn.DataParallel(nn.Linear(2, 2)), r"give the model inside, `model.module`"),
        (torch.compile(nn.Linear(2, 2), backend="eager"), r"`model._orig_mod`"),
        (module(lambda self, torch: torch + 1), "named 'torch'; rename it"),
        (module(lambda self, x: Point((x,))), "Point is not a function of torch"),
        (module(lambda self, x: self.layer(x), layer=nn.LazyLinear(2)), "run the model once"),
    ],
)
def test_what_plain_code_cannot_say_is_refused(net, reason):
    with pytest.raises(ExportError, match=reason):
        source(net)


def test_the_model_is_the_title():
    class Net(nn.Linear):
        def forward(self, x):
            return super().forward(x)

    assert source(Net(2, 2), origin="lanista 1.0").text.startswith(
        '"""Net as plain PyTorch, written by lanista 1.0.'
    )
