import torch
from torch import nn

from lanista.elastic.attributes import guesses, known
from lanista.elastic.flow import follow
from lanista.elastic.plan import Wish, plan
from lanista.elastic.trace import trace

from .models import make


def planned(name):
    model, example = make(name)
    wish = Wish((0.5,), 2, {"width", "heads", "hidden"}, ())
    return model, example, plan(follow(trace(model, example), model), model, wish)


def test_torchs_own_layers_are_known():
    model, _, found = planned("bottleneck")
    names = {(a.path, a.name): a.value for a in known(model, found)}
    assert names["layer2.0.body.3", "groups"] == 4
    assert names["layer2.0.body.3", "in_channels"] == names["layer2.0.body.3", "out_channels"] == 16
    assert names["stem.1", "num_features"] == 16
    assert names["fc", "in_features"] == 32
    assert ("fc", "out_features") not in names
    _, _, found = planned("vit-torch")
    model, _ = make("vit-torch")
    names = {a.name for a in known(model, found) if a.path.endswith("inner")}
    assert names == {"embed_dim", "kdim", "vdim", "num_heads"}


def test_numbers_of_the_users_modules_that_forward_reads_are_guessed():
    model, example, found = planned("vit")
    first = {(a[0].path, a[0].name): a[0].axis for a in guesses(model, found, example)}
    assert first["blocks.0.attn", "num_heads"] == ("blocks.0.attn.qkv.weight", 0)
    assert ("", "embed_dim") not in first
    assert all(type(module).__name__ != "watching" for module in model.modules())


def test_norms_without_weights_follow_what_is_around_them():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 2)
            self.norm = nn.LayerNorm(16, elementwise_affine=False)

        def forward(self, x):
            return self.two(self.norm(self.one(x)))

    model = Net()
    _, example = make("mlp")
    wish = Wish((0.5,), 2, {"width"}, ())
    found = plan(follow(trace(model, example), model), model, wish)
    [[attribute]] = guesses(model, found, example)
    assert (attribute.path, attribute.name, attribute.position, attribute.value) == ("norm", "normalized_shape", 0, 16)


class Tempered(nn.Module):
    """Computes with numbers that equal a width by chance, and reshapes by one that is it."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 2)
        self.width = self.temperature = 16
        self.norm = nn.InstanceNorm1d(16)

    def forward(self, x):
        y = self.norm(self.one(x).view(-1, 3, self.width).transpose(1, 2)).transpose(1, 2)
        return self.two(y) / self.temperature


def test_numbers_that_forward_only_computes_with_do_not_follow():
    model, example = Tempered(), torch.zeros(3, 6)
    found = plan(follow(trace(model, example), model), model, Wish((0.5,), 2, {"width"}, ()))
    assert [(a[0].path, a[0].name) for a in guesses(model, found, example)] == [("", "width"), ("norm", "num_features")]
    assert model.width == model.temperature == 16


def test_all_dimensions_of_a_norms_shape_are_known():
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.LayerNorm([8, 4, 4]), nn.Conv2d(8, 2, 1))
    example = torch.zeros(1, 3, 4, 4)
    found = plan(follow(trace(model, example), model), model, Wish((0.5,), 2, {"width"}, ()))
    [shape] = [a for a in known(model, found) if a.path == "1"]
    assert (shape.name, shape.position, shape.value, shape.axis) == ("normalized_shape", 0, 8, ("1.weight", 0))
