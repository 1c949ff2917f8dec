"""A mutator edits models that their authors never meant for search: those of timm, where it is installed."""

import copy
import warnings

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.graph import ModelGraph, Mutator
from tests.graph.zoo import must_work, same

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def timm():
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:  # torchvision's wheel for another torch lacks these two operators, which timm never calls
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass  # it has them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import timm as module
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"timm cannot be imported: {error}")
    yield module
    del library


class Rework(Mutator):
    """Other activations, kernels and depths."""

    def mutate(self, graph):
        activation = self.choice({"relu": nn.ReLU, "silu": nn.SiLU}, label="act")
        for node in graph.find(type=nn.ReLU):
            node.replace(activation)
        for node in graph.find(name="layer1.*.conv1"):
            kernel = self.choice([3, 5], label="kernel")
            node.update(kernel_size=kernel, padding=kernel // 2)
        for section in graph.sections("layer[12].1"):
            self.repeat(section, (0, 2), label=section.name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_a_resnet_is_reworked(timm, name, tmp_path):
    def build():
        return timm.create_model(name, num_classes=4)

    space = ModelSpace(build, mutators=[Rework(label="re")], example_input=IMAGES)
    assert space.decisions.labels == ("re/act", "re/kernel", "re/layer1.1", "re/layer2.1")
    model = space.build({"re/act": "silu", "re/kernel": 5, "re/layer1.1": 0, "re/layer2.1": 2})
    assert not [m for m in model.modules() if isinstance(m, nn.ReLU)]
    names = set(model.state_dict())
    assert "layer2.1_2.conv1.weight" in names
    assert "layer1.1.conv1.weight" not in names
    must_work(model, IMAGES, tmp_path / "folder")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"drop_rate": 0.3, "drop_path_rate": 0.2}),
        ("efficientnet_lite0", {"drop_path_rate": 0.2}),
        ("convnext_atto", {}),
    ],
)
def test_without_edits_a_model_is_the_original(timm, name, options):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, **options)
    result = ModelGraph(model, example_input=IMAGES).module()
    assert list(result.state_dict()) == list(model.state_dict())
    for mode in (True, False):
        one, other = copy.deepcopy(result).train(mode), copy.deepcopy(model).train(mode)
        torch.manual_seed(1)
        expected = other(IMAGES)
        torch.manual_seed(1)
        assert same(one(IMAGES), expected)
