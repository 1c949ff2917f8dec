import importlib
import sys

import pytest
import torch
from torch import nn

from lanista.errors import ExportError
from lanista.export import write_onnx
from tests.export.single import Cell, Dictionary, Talking, image, remember, unchanged


@pytest.fixture
def runtime():
    """ONNX Runtime; where the extra `onnx` is not installed there is nothing to test."""
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    return pytest.importorskip("onnxruntime")


def run(runtime, path, *inputs):
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})


def test_a_file_runs_in_onnx_runtime_for_any_batch(runtime, tmp_path):
    model = Cell()
    before = remember(model)
    assert write_onnx(model, tmp_path / "model.onnx", (image(), image())) <= 1e-4
    unchanged(model, before)
    [actual] = run(runtime, tmp_path / "model.onnx", image(5), image(5))
    expected = model.eval()(image(5), image(5)).detach()
    assert torch.allclose(torch.from_numpy(actual), expected, atol=1e-4)
    assert [item.name for item in tmp_path.iterdir()] == ["model.onnx"]


def test_a_fixed_batch_stays_fixed(runtime, tmp_path):
    write_onnx(nn.Flatten(), tmp_path / "model.onnx", image(2), dynamic_batch=False)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    assert session.get_inputs()[0].shape == [2, 3, 8, 8]


def test_structures_of_outputs_are_compared_in_order(runtime, tmp_path):
    assert write_onnx(Dictionary(), tmp_path / "model.onnx", image()) <= 1e-4
    assert len(run(runtime, tmp_path / "model.onnx", image(2))) == 3


class Unknown(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x.flatten(1, 2)[:, :8])


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (Unknown(), {}, ["cannot be written as ONNX", ".pt2"]),
        (nn.GELU(), {"tolerance": 0.0}, ["differ from the model's by", "more than 0.0"]),
    ],
)
def test_a_refused_model_leaves_the_earlier_file(runtime, tmp_path, model, settings, words):
    file = tmp_path / "model.onnx"
    file.write_text("earlier")
    with pytest.raises(ExportError) as caught:
        write_onnx(model, file, image(), **settings)
    assert all(word in str(caught.value) for word in words), caught.value
    assert [item.name for item in tmp_path.iterdir()] == ["model.onnx"]
    assert file.read_text() == "earlier"


def test_more_weights_than_a_file_holds_are_refused(runtime, tmp_path):
    with pytest.raises(ExportError, match=r"2 GiB; write a \.pt2 file"):
        write_onnx(nn.Linear(2**16, 2**13, device="meta"), tmp_path / "model.onnx", torch.zeros(1, 2**16))


def test_the_models_own_warnings_are_heard(runtime, tmp_path):
    with pytest.warns(UserWarning, match="the user's own warning"):
        write_onnx(Talking(), tmp_path / "model.onnx", image())


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_library_is_named_with_its_extra(monkeypatch, tmp_path, missing):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else importlib.import_module("json"))
    with pytest.raises(ExportError, match=rf"need {missing} .*pip install 'lanista\[onnx\]'"):
        write_onnx(nn.ReLU(), tmp_path / "model.onnx", image())
