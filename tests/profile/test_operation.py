import pytest
import torch
from torch import nn
from torch.nn import functional

from lanista.errors import SpaceError
from lanista.nn.input import selection
from lanista.profile import operations
from lanista.profile.rehearsal import device_of
from tests.profile.models import IMAGE, MODELS, ROW, SEQUENCE, Dependent


def names(model, *inputs):
    return [operation.name for operation in operations(model, inputs)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.body = nn.Sequential(nn.ReLU(inplace=True), nn.BatchNorm2d(3))

    def forward(self, x):
        y = x + self.body(self.conv(x))
        y += 1
        functional.relu(y, inplace=True)
        y = torch.cat([y, y], dim=1)
        y[:, 0] = 0
        rows = y.flatten(1).t()[: y.shape[0]]
        return rows, torch.zeros(2, device=rows.device), rows.to(torch.float64)


def test_layers_and_functions_are_named_with_settings_and_shapes():
    found = operations(Net(), IMAGE)
    assert [(operation.path, operation.name) for operation in found] == [
        ("conv", "Conv2d(3, 3, kernel_size=(1, 1), stride=(1, 1)) on 2x3x8x8"),
        ("body.0", "ReLU(inplace=True) on 2x3x8x8"),
        ("body.1", f"{nn.BatchNorm2d(3)} on 2x3x8x8"),
        ("", "torch.Tensor.add(_, _) on 2x3x8x8, 2x3x8x8"),
        ("", "torch.Tensor.add_(_, 1) on 2x3x8x8"),
        ("", "torch.nn.functional.relu(_, inplace=True) on 2x3x8x8"),
        ("", "torch.cat([_, _1], dim=1) on 2x3x8x8"),
        ("", "torch.Tensor.__setitem__(_, (slice(None, None, None), 0), 0) on 2x6x8x8"),
        ("", "torch.zeros(2, device=device)"),
        ("", "torch.Tensor.to(_, torch.float64) on 2x2 strides 1x384"),
    ]
    assert [operation.kind for operation in found][:2] == ["Conv2d", "ReLU"]
    assert found[6].kind == "torch.cat"


@pytest.mark.parametrize("name", MODELS)
def test_every_operation_can_be_done_again(name):
    build, example = MODELS[name]
    model = build()
    for operation in operations(model, example):
        module, inputs = operation.real(torch.device("cpu"))
        with torch.no_grad():
            outputs = module.eval()(*inputs)
        assert device_of(module).type == "cpu"
        assert not any(tensor.isnan().any() for tensor in [outputs] if isinstance(tensor, torch.Tensor))


@pytest.mark.parametrize("name", [name for name in MODELS if name != "lazy"])
def test_numbers_make_no_difference(name):
    build, example = MODELS[name]
    if name == "dependent":
        return
    inputs = example if isinstance(example, tuple) else (example,)
    with_numbers = names(Dependent(build()), *inputs)
    # In front: what `Dependent` itself does.
    assert [name for name in with_numbers if "double" not in name and "sum" not in name] == names(build(), *inputs)


DIFFERENT = {
    "settings": (nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, stride=2), IMAGE),
    "bias": (nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, bias=False), IMAGE),
    "heads, which the representation hides": (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        nn.TransformerEncoderLayer(8, 4, 16, batch_first=True),
        SEQUENCE,
    ),
    "activation, a function": (
        nn.TransformerEncoderLayer(8, 2, 16, activation=functional.relu),
        nn.TransformerEncoderLayer(8, 2, 16, activation=functional.gelu),
        SEQUENCE,
    ),
}


@pytest.mark.parametrize(("one", "other", "example"), DIFFERENT.values(), ids=DIFFERENT)
def test_other_work_has_another_name(one, other, example):
    assert names(one, example) != names(other, example)
    assert names(one, example) != names(one, torch.cat([example, example]))
    assert "0x" not in " ".join(names(one, example))


def test_number_types_and_strides_are_other_work():
    layer = nn.ReLU()
    examples = [IMAGE, IMAGE.double(), IMAGE.to(memory_format=torch.channels_last)]
    assert [names(layer, example)[0].partition(" on ")[2] for example in examples] == [
        "2x3x8x8",
        "2x3x8x8 float64",
        "2x3x8x8 strides 192x1x24x3",
    ]


def test_what_is_not_torchs_is_looked_into():
    class Sum(nn.Module):
        def forward(self, x):
            return selection([0, 2], "sum")([x, x, x])

    assert names(Sum(), ROW) == ["torch.Tensor.add(_, _1) on 2x4"]

    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    assert [operation.kind for operation in operations(Own(4, 2), ROW)] == [
        "torch.nn.functional.linear",
        "torch.Tensor.mul",
    ]


def test_an_example_is_needed():
    with pytest.raises(SpaceError, match="operations runs the model and needs an example input"):
        operations(nn.Linear(4, 2), None)
