import pytest
import torch

from lanista.errors import ExportError
from lanista.export import write_pt2
from tests.export.single import Branch, Cell, Dictionary, Talking, image, remember, unchanged


def test_a_file_gives_the_model_back_for_any_batch(tmp_path):
    model = Cell()
    before = remember(model)
    assert write_pt2(model, tmp_path / "model.pt2", (image(), image())) <= 1e-6
    unchanged(model, before)
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    inputs = (image(7), image(7))
    assert torch.allclose(loaded(*inputs), model.eval()(*inputs), atol=1e-6)


def test_structures_and_other_values_pass(tmp_path):
    assert write_pt2(Dictionary(), str(tmp_path / "model.pt2"), (image(2), 3.0)) == 0
    assert torch.export.load(tmp_path / "model.pt2").module()(image(4), 3.0)["double"].shape == (4, 3, 8, 8)


def test_a_refused_model_leaves_the_earlier_file(tmp_path):
    file = tmp_path / "model.pt2"
    file.write_text("earlier")
    with pytest.raises(ExportError):
        write_pt2(Branch(), file, image())
    assert [item.name for item in tmp_path.iterdir()] == ["model.pt2"]
    assert file.read_text() == "earlier"


def test_the_models_own_warnings_are_heard(tmp_path):
    with pytest.warns(UserWarning, match="the user's own warning"):
        write_pt2(Talking(), tmp_path / "model.pt2", image())
