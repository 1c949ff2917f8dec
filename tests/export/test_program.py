import pytest
import torch
from torch import nn

from lanista.errors import ExportError
from lanista.export.program import program, replacing
from tests.export.single import Branch, Cell, Failing, Halves, image, remember, unchanged


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_captured_in_evaluation_mode_and_left_as_it_was(training):
    model = Cell().train(training)
    before = remember(model)
    captured = program(model, (image(), image()), dynamic_batch=True)
    unchanged(model, before)
    assert [len(inputs[0]) for inputs, _ in captured.checks] == [1, 3]
    run = captured.exported.module()
    assert captured.difference(lambda inputs: run(*inputs), "it", 1e-6) < 1e-6


def test_a_fixed_batch_is_checked_alone():
    captured = program(Halves(), image(2), dynamic_batch=False)
    assert [len(inputs[0]) for inputs, _ in captured.checks] == [2]


@pytest.mark.parametrize(
    ("model", "example", "words"),
    [
        (Branch(), image(), ["cannot capture Branch"]),
        (Halves(), image(2), ["cannot capture Halves", "dynamic_batch=False"]),
        (Failing(), image(), ["the model fails on inputs (1, 3, 8, 8)", "not today"]),
        (nn.Conv2d(3, 1, 1, device="meta"), image(), ["meta device"]),
        (nn.Identity(), torch.tensor(1.0), ["no tensor with a batch dimension", "dynamic_batch=False"]),
    ],
)
def test_what_cannot_be_captured_is_explained(model, example, words):
    with pytest.raises(ExportError) as caught:
        program(model, example, dynamic_batch=True)
    assert all(word in str(caught.value) for word in words), caught.value


def test_other_outputs_are_an_error():
    captured = program(nn.ReLU(), image(), dynamic_batch=True)
    with pytest.raises(ExportError, match="of the file differ from the model's by"):
        captured.difference(lambda inputs: inputs[0], "the file", 1e-4)
    with pytest.raises(ExportError, match="the file fails on inputs"):
        captured.difference(lambda inputs: 1 // 0, "the file", 1e-4)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "inner" / "file.bin"
    with replacing(path) as partial:
        partial.write_text("first")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [item.name for item in path.parent.iterdir()] == ["file.bin"]
    with pytest.raises(ExportError, match="cannot be written"), replacing(path / "below"):
        pass
