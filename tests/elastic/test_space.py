import copy
import json
import pickle
from functools import lru_cache
from itertools import count

import pytest
import torch
from torch import nn

import lanista
from lanista.elastic import Cut, report
from lanista.elastic.plan import layers
from lanista.elastic.surgery import build
from lanista.elastic.trace import tensors
from lanista.errors import SpaceError
from lanista.export import write_folder
from lanista.space import SearchSpace

from .models import MODELS, RELU_NETS, ROWS, make, mlp

each_model = pytest.mark.parametrize("name", MODELS)
SEEDS = range(3)


@lru_cache
def elastic(name):
    model, example = make(name)
    return model, example, lanista.from_model(model, example, round_to=2, verbose=False)


def outputs(model, example):
    return tensors(model(example))


def numbered(model):
    """A copy whose weights are different whole numbers, so that a slice says where it comes from."""
    model = copy.deepcopy(model)
    for value in [*model.parameters(), *model.buffers()]:
        value.data = torch.arange(value.numel(), dtype=torch.float64).view(value.shape)
    return model


def origin(part, whole):
    """The positions in each dimension that a slice of a numbered weight is made of."""
    places = torch.stack(torch.unravel_index(part.long(), whole.shape)).flatten(1) if whole.ndim else torch.empty(0, 1)
    return [dim.unique() for dim in places]


@each_model
def test_the_full_size_is_the_default_and_equals_the_original(name):
    model, example, space = elastic(name)
    full = space.build(space.decisions.default())
    assert report(space).difference == 0
    for one, other in zip(outputs(full.eval(), example), outputs(model, example), strict=True):
        assert torch.equal(one, other)
    ours, theirs = full.state_dict(), model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not {value.data_ptr() for value in ours.values() if value.numel()} & {
        value.data_ptr() for value in theirs.values()
    }


@each_model
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sample_is_an_ordinary_smaller_model(name, seed):
    model, example, space = elastic(name)
    built = space.build(space.sample(seed))
    assert not [m for m in built.modules() if type(m).__module__.startswith("lanista")]
    assert {type(m) for m in built.modules()} <= {type(m) for m in model.modules()}
    assert built.state_dict().keys() <= model.state_dict().keys()
    assert sum(p.numel() for p in built.parameters()) <= sum(p.numel() for p in model.parameters())
    assert built.training == model.training
    found = outputs(built.train(), example)
    assert [tensor.shape for tensor in found] == [tensor.shape for tensor in outputs(model, example)]
    sum(tensor.square().sum() for tensor in found).backward()
    unused = {id(p) for path in ("unused",) if hasattr(built, path) for p in built.unused.parameters()}
    assert all(p.grad is not None for p in built.parameters() if id(p) not in unused)


@each_model
def test_weights_are_slices_of_the_originals(name):
    model, _, space = elastic(name)
    plan = space._callable._plan
    whole = numbered(model)
    for seed in SEEDS:
        part = build(whole, plan, space.sample(seed)).state_dict()
        for key, value in whole.state_dict().items():
            if key in part and value.ndim:
                places = origin(part[key], value)
                assert torch.equal(part[key], value[torch.meshgrid(*places, indexing="ij")]), key


@each_model
def test_every_layer_is_searchable_or_has_a_reason(name):
    model, _, space = elastic(name)
    found = report(space)
    searchable = {layer for cut in found.decisions if isinstance(cut, Cut) for layer in cut.layers}
    assert searchable | found.fixed.keys() == set(layers(model))
    assert not searchable & found.fixed.keys()
    assert all(reason for reason in found.fixed.values())
    assert {decision.label for decision in found.decisions} == set(space.decisions.labels)
    text = str(found)
    assert "differ by at most 0" in text
    assert all(decision.label in text for decision in found.decisions)
    assert all(reason in text for reason in found.fixed.values())


def removed(whole, plan, answers):
    """A copy of the model with zeros in all weights of the channels that the answers remove."""
    model = copy.deepcopy(whole)
    named = dict([*model.named_parameters(), *model.named_buffers()])
    for (name, dim), axis in plan.axes.items():
        gone = torch.ones(axis.size, dtype=torch.bool)
        gone[axis.kept(answers)] = False
        if not name.endswith("running_var"):
            named[name].data.index_fill_(dim, gone.nonzero()[:, 0], 0)
    return model


@pytest.mark.parametrize("name", RELU_NETS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sample_computes_what_the_original_does_without_the_removed_channels(name, seed):
    model, example, space = elastic(name)
    plan = space._callable._plan
    answers = {label: n for label, n in space.sample(seed).items() if not label.endswith("depth")}
    expected = outputs(removed(model, plan, answers), example)
    for one, other in zip(outputs(build(model, plan, answers), example), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@each_model
def test_a_space_survives_pickling_and_its_decisions_json(name):
    _, example, space = elastic(name)
    again = pickle.loads(pickle.dumps(space))
    assert report(again) == report(space)
    assert SearchSpace.from_json(json.loads(json.dumps(space.decisions.to_json()))) == space.decisions
    architecture = space.sample(1)
    ours, theirs = space.build(architecture), again.build(architecture)
    assert all(torch.equal(a, b) for a, b in zip(outputs(ours, example), outputs(theirs, example), strict=True))


@pytest.mark.parametrize("name", ["resnet", "mobilenet", "unet"])
def test_samples_are_exported_as_plain_code(name, tmp_path):
    _, example, space = elastic(name)
    architecture = space.sample(2)
    model = space.build(architecture)
    write_folder(model, tmp_path / "model", card={}, architecture=architecture, example_input=example)
    assert "lanista" not in (tmp_path / "model" / "model.py").read_text().partition("import")[2]


@pytest.mark.parametrize("name", ["resnet", "vit-torch"])
def test_the_model_is_left_as_it_was(name):
    model, example = make(name)
    model.train()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    space = lanista.from_model(model, example, verbose=False)
    built = space.build(space.sample(0))
    assert built.training
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.zero_()
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any("__getattribute__" in vars(type(m)) for m in model.modules())


def test_labels_say_where_and_what():
    _, _, space = elastic("vit")
    assert space.decisions.labels == (
        "patch/width",
        "blocks/depth",
        "blocks.0.attn/heads",
        "blocks.0/hidden",
        "blocks.1.attn/heads",
        "blocks.1/hidden",
    )
    assert space.decisions["blocks.0.attn/heads"].options == (4, 3, 2, 1)
    assert space.decisions["patch/width"].options == (32, 24, 16, 8)


def test_what_is_in_a_block_exists_only_with_the_block():
    _, _, space = elastic("vit")
    architecture = space.decisions.validate(
        {"patch/width": 32, "blocks/depth": 1, "blocks.0.attn/heads": 3, "blocks.0/hidden": 48}
    )
    model = space.build(architecture)
    assert len(model.blocks) == 1
    assert (model.blocks[0].attn.num_heads, model.blocks[0].fc1.out_features) == (3, 48)


def test_heads_of_torchs_attention_follow_the_width():
    model, example, space = elastic("vit-torch")
    smaller = space.build({**space.decisions.default(), "patch/width": 16})
    inner = smaller.blocks[0].attn.inner
    assert (inner.embed_dim, inner.num_heads, inner.head_dim) == (16, 2, 8)
    assert inner.in_proj_weight.shape == (48, 16)
    assert torch.equal(inner.in_proj_weight[16:32], model.blocks[0].attn.inner.in_proj_weight[32:48, :16])
    assert smaller(example).shape == (2, 5)


def test_heads_follow_the_width_where_the_code_divides_it_by_their_number():
    model, example, space = elastic("vit-coupled")
    assert space.decisions["patch/width"].options == (32, 24, 16, 8)
    assert "blocks.0.attn/heads" not in space.decisions
    smaller = space.build({**space.decisions.default(), "patch/width": 24})
    attention, whole = smaller.blocks[0].attn, model.blocks[0].attn
    assert attention.num_heads == 3
    assert torch.equal(attention.qkv.weight[24:48], whole.qkv.weight[32:56, :24])
    assert smaller(example).shape == (2, 5)


def test_numbers_in_modules_fit_their_weights():
    _, _, space = elastic("bottleneck")
    model = space.build(small(space))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels // module.groups)
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.shape == module.running_var.shape == (module.num_features,)
        if isinstance(module, nn.Linear):
            assert module.weight.shape == (module.out_features, module.in_features)


def small(space):
    """The smallest architecture."""
    return {
        decision.label: decision.domain.options[-1]
        for decision in space.decisions
        if not decision.when
        or all(
            any(space.decisions[label].options[-1] in values for label, values in clause.items())
            for clause in decision.when
        )
    }


@pytest.mark.parametrize("kind", ["width", "hidden", "heads", "depth"])
def test_kinds_can_be_asked_for(kind):
    model, example = make("vit")
    space = lanista.from_model(model, example, kinds=[kind], verbose=False)
    assert {label.rpartition("/")[2] for label in space.decisions.labels} == {kind}
    fixed = report(space).fixed
    assert ("hidden is not asked for" in fixed.values()) == (kind != "hidden")


DEEP = ("layer2.1.conv1/width", "layer2.2.conv1/width")


def test_layers_can_be_kept():
    model, example = make("resnet")
    space = lanista.from_model(model, example, round_to=2, keep=["layer1", "layer2.0.conv2"], verbose=False)
    assert space.decisions.labels == ("layer2/depth", "layer2.0.conv1/width", *DEEP)
    assert report(space).fixed["layer1.0.conv1"] == "it, or a layer with the same channels, is to be kept"


def test_ratios_and_rounding_make_the_candidates():
    model, example = make("mlp")
    options = lambda **kwargs: lanista.from_model(model, example, verbose=False, **kwargs).decisions["0/width"].options  # noqa: E731
    assert options() == (32, 24, 16, 8)
    assert options(widths=[0.3], round_to=1) == (32, 10)
    assert options(widths=[0.1, 0.9], round_to=4) == (32, 28, 4)


def test_new_weights_can_be_drawn():
    model, example = make("mlp")
    space = lanista.from_model(model, example, weights="reset", verbose=False)
    torch.manual_seed(7)
    one, two = space.build(space.decisions.default()), space.build(space.decisions.default())
    assert not torch.equal(one[0].weight, model[0].weight)
    assert not torch.equal(one[0].weight, two[0].weight)
    torch.manual_seed(7)
    assert torch.equal(space.build(space.decisions.default())[0].weight, one[0].weight)


def test_learning_the_questions_costs_no_random_numbers():
    model, example = make("resnet")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    lanista.from_model(model, example, verbose=False)
    assert torch.equal(torch.rand(1), expected)


def test_a_model_without_values_has_no_difference():
    model, example = make("vit")
    space = lanista.from_model(model.to("meta"), example.to("meta"), verbose=False)
    assert report(space).difference is None
    assert "no values" in report(space).summary()


def test_the_summary_is_printed(capsys):
    model, example = make("mlp")
    space = lanista.from_model(model, example)
    assert capsys.readouterr().out == f"{report(space).summary()}\n"


def test_keyword_inputs():
    model, example = make("tied")
    space = lanista.from_model(model, {"x": example}, verbose=False)
    assert space.example_input is None
    assert space.build(space.sample(0))(example)["logits"].shape == (2, 4, 9)


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 16)

    def forward(self, x):
        x = self.layer(x)
        return x if x.sum() > 0 else -x


CALLS = count()


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(6, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.two(self.one(x)) + next(CALLS)


@pytest.mark.parametrize(
    ("make_space", "words"),
    [
        (lambda: lanista.from_model(mlp, torch.zeros(ROWS)), ["model is <function mlp", "torch.nn.Module"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(3, 7)), ["does not run on example_input", "RuntimeError"]),
        (lambda: lanista.from_model(mlp(), None), ["does not run on example_input"]),
        (lambda: lanista.from_model(Branches(), torch.zeros(ROWS)), ["cannot trace", "values of tensors"]),
        (lambda: lanista.from_model(nn.Linear(6, 5), torch.zeros(ROWS)), ["nothing", "an output of the model"]),
        (lambda: lanista.from_model(nn.ReLU(), torch.zeros(ROWS)), ["nothing", "no weights"]),
        (lambda: lanista.from_model(Noisy(), torch.zeros(ROWS)), ["full-size sample differs", "evaluation mode"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(ROWS), widths=[2.0]), ["widths is [2.0]", "0.25"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(ROWS), round_to=0), ["round_to is 0", "at least 1"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(ROWS), kinds="width"), ["kinds is 'width'", "'hidden'"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(ROWS), weights="old"), ["weights is 'old'", "'reset'"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(ROWS), keep="0"), ["keep is '0'", "['0']"]),
        (lambda: lanista.from_model(mlp(), torch.zeros(ROWS), keep=["head"]), ["keep names 'head'", "'0'"]),
        (lambda: report(lanista.ModelSpace(mlp)), ["does not come from lanista.from_model"]),
    ],
)
def test_a_misuse_says_what_to_do(make_space, words):
    with pytest.raises(SpaceError) as caught:
        make_space()
    assert all(word in str(caught.value) for word in words), caught.value
