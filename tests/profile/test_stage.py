import pytest
import torch
from torch import nn

from lanista.errors import LanistaError, SpaceError
from lanista.profile import Latency
from lanista.profile.stage import BACKENDS, optional, stage
from tests.profile.models import IMAGE, MODELS, ROW, SEQUENCE, Dependent, convolutional, state


def staged(model, example, backend="eager", device="cpu"):
    return stage(model, example, name="latency", backend=backend, device=device, threads=None)


def first(outputs):
    return torch.as_tensor(outputs[0]) if isinstance(outputs, list | tuple) else outputs


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_runs_the_model(backend):
    if backend == "onnxruntime":
        pytest.importorskip("onnxruntime")
    model = convolutional().eval()
    expected = model(IMAGE)
    before = state(model.train())
    with staged(model, IMAGE, backend) as run:
        assert torch.allclose(first(run()), expected, atol=1e-5)
    assert state(model) == before


@pytest.mark.parametrize("name", [name for name in MODELS if name != "stateful"])
def test_eager_runs_all_models(name):
    build, example = MODELS[name]
    with staged(build(), example) as run:
        run()


def test_onnx_takes_several_inputs():
    pytest.importorskip("onnxruntime")
    model = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    other = SEQUENCE.flip(0)
    with staged(model, (SEQUENCE, other, other), "onnxruntime") as run:
        assert torch.allclose(first(run()), model(SEQUENCE, other, other)[0], atol=1e-5)


def test_a_failed_compilation_names_the_compiler(monkeypatch):
    inductor = pytest.importorskip("torch._inductor.config")
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    with pytest.raises(LanistaError, match=r"could not compile GELU .*C\+\+ compiler, such as g\+\+"):
        Latency("compile", repeats=2)(nn.GELU(), ROW)


def test_what_onnx_cannot_hold_is_named():
    pytest.importorskip("onnxruntime")
    with pytest.raises(LanistaError, match="Dependent cannot be exported to ONNX"):
        Latency("onnxruntime", repeats=2)(Dependent(nn.Linear(4, 3)), ROW)


def test_a_missing_library_comes_with_the_line_that_installs_it():
    with pytest.raises(LanistaError, match=r"no_such_library is not installed.*pip install 'lanista\[onnx\]'"):
        optional("no_such_library", "'lanista[onnx]'")


@pytest.mark.parametrize(
    ("model", "example", "device", "words"),
    [
        (nn.Linear(4, 2), None, "cpu", ["needs an example input"]),
        (nn.Linear(4, 2), torch.zeros(3), "cpu", ["Linear cannot be run on the example input"]),
        (nn.Linear(4, 2, device="meta"), ROW, "cpu", ["meta device", "without `torch.device('meta')`"]),
        (nn.Linear(4, 2), ROW, "xpu", ["device is 'xpu'", "torch"]),
        (nn.Linear(4, 2), ROW, "phone", ["device is 'phone'", "'cuda:0'"]),
    ],
)
def test_what_cannot_be_staged_says_why(model, example, device, words):
    with pytest.raises((SpaceError, LanistaError)) as caught, staged(model, example, device=device):
        pass
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", ["eager", "compile"])
def test_a_copy_runs_on_the_gpu(backend):
    model = convolutional()
    with staged(model, IMAGE, backend, "cuda") as run:
        assert run().is_cuda
    assert not next(model.parameters()).is_cuda
    assert Latency(backend, "cuda", repeats=3)(model, IMAGE).value > 0
