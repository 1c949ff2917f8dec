"""Models from timm and transformers, with random weights; skipped where these do not import."""

import warnings

import pytest
import torch

import lanista
from lanista.elastic import Cut, report
from lanista.elastic.plan import layers
from lanista.elastic.trace import tensors

# Both import torchvision where it is installed, which fails without its compiled operators; their schemas are enough.
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def imported(name):
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pytest.importorskip(name)
    except RuntimeError as error:
        pytest.skip(f"{name} does not import: {error}")


def timm(name, **arguments):
    return imported("timm").create_model(name, **arguments), torch.randn(2, 3, 32, 32)


SIZES = {"vocab_size": 19, "bos_token_id": None, "eos_token_id": None}


def bert():
    library = imported("transformers")
    config = library.BertConfig(
        vocab_size=19, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32
    )
    return library.BertForSequenceClassification(config)


def gpt2():
    library = imported("transformers")
    return library.GPT2LMHeadModel(library.GPT2Config(n_embd=16, n_layer=2, n_head=4, n_positions=8, **SIZES))


def llama():
    library = imported("transformers")
    config = library.LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **SIZES
    )
    return library.LlamaForCausalLM(config)


def text(build):
    return build(), torch.randint(0, 19, (2, 6))


KINDS = {"width", "heads", "hidden", "depth"}


@pytest.mark.parametrize(
    ("make", "kinds", "fixed"),
    [
        (lambda: timm("resnet18"), {"width", "depth"}, {"fc"}),
        (lambda: timm("mobilenetv3_small_050"), {"width", "depth"}, {"classifier"}),
        (lambda: timm("vit_tiny_patch16_224", img_size=32, depth=3), KINDS, {"head"}),
        (lambda: text(bert), KINDS, {"classifier"}),
        (lambda: text(gpt2), KINDS, {"lm_head"}),
        (lambda: text(llama), KINDS, {"lm_head"}),
    ],
    ids=["resnet18", "mobilenetv3", "vit", "bert", "gpt2", "llama"],
)
def test_models_of_others_become_spaces(make, kinds, fixed):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries themselves
        model, example = make()
    space = lanista.from_model(model, example, round_to=4, verbose=False)
    found = report(space)
    assert found.difference == 0
    assert {label.rpartition("/")[2] for label in space.decisions.labels} == kinds
    assert found.fixed.keys() == fixed
    searchable = {layer for cut in found.decisions if isinstance(cut, Cut) for layer in cut.layers}
    assert searchable | fixed == set(layers(model))
    whole = model.state_dict()
    for seed in range(2):
        built = space.build(space.sample(seed))
        assert {type(module) for module in built.modules()} <= {type(module) for module in model.modules()}
        state = built.state_dict()
        assert state.keys() <= whole.keys()
        assert all(all(a <= b for a, b in zip(state[key].shape, whole[key].shape, strict=True)) for key in state)
        outputs = tensors(built.train()(example))
        assert outputs[0].shape == tensors(model.eval()(example))[0].shape
        outputs[0].square().sum().backward()
