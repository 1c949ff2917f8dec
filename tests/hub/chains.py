"""What the tests of chain-structured spaces share: counts, and what every sampled model must do."""

import builtins
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import fx, nn
from torch.utils.flop_counter import FlopCounterMode

from lanista import hub
from lanista.export import write_folder
from lanista.space import SearchSpace

SAMPLES = range(20)

COUNTED = {
    "MobileNetV3-Large": 216_589_760,
    "MnasNet-A1": 311_579_072,
    "MnasNet-B1": 314_415_872,
    "FBNet-C": 384_960_160,
    "DeiT-Ti": 1_253_683_200,
    "DeiT-S": 4_598_882_304,
    "ViT-B/16": 17_563_828_224,
}
"""Multiply-accumulates of the same networks in timm 1.0.31 (mobilenetv3_large_100, semnasnet_100, ...)."""


def counts(space, architecture):
    """Parameters, and multiply-accumulates of the example input, exactly; nothing is allocated."""
    with torch.device("meta"):
        model = space.build(architecture).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(space.example_input.to("meta"))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 2


def reproduces(entry, known):
    """The counts are the published ones, to 1 %."""
    parameters, macs = counts(entry.space(**known.settings), known.architecture)
    assert known.source
    assert known.parameters is not None or known.macs is not None
    assert abs(parameters - (known.parameters or parameters)) <= 0.01 * parameters
    assert abs(macs - (known.macs or macs)) <= 0.01 * macs
    assert macs == COUNTED.get(known.name, macs)


def in_the_catalog(entry):
    """The entry is in the catalog; all defaults make its space, which comes back."""
    assert hub.CATALOG[entry.name] is entry
    assert getattr(hub, entry.name) is entry.space
    assert entry.paper
    assert entry.url.startswith("https://")
    space = entry.space()
    assert space.example_input.shape[0] == 1
    return space


def lives(space, seed):
    """A random model builds, trains on a batch of two, and runs without lanista; its architecture is JSON."""
    architecture = space.sample(seed)
    assert space.decisions.validate(json.loads(json.dumps(architecture))) == architecture
    assert SearchSpace.from_json(space.decisions.to_json()) == space.decisions
    torch.manual_seed(seed)
    model = space.build(architecture)
    assert all(type(module).__module__.startswith(OWNERS) for module in model.modules())
    output = trained(model, torch.cat([space.example_input, space.example_input.flip(-1)]))
    output.square().mean().backward()
    assert output.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters()), architecture
    with torch.no_grad():
        expected = model.eval()(space.example_input)
        assert expected.std() > 1e-3, "next to nothing comes out, so that nothing is compared"
        assert torch.equal(exported(model, architecture, space.example_input)(space.example_input), expected)


def trained(model, batch):
    """The output in training mode; batch norms take what they see of the batch for all there is."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.momentum = 1.0
    output = model.train()(batch)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    return output


OWNERS = ("torch.nn.", "lanista.hub.", fx.__name__)


def exported(model, architecture, example):
    """The model as its export folder builds it, where lanista cannot be imported."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "model"
        write_folder(model, folder, card={}, architecture=architecture, example_input=example)
        file = folder / "model.py"
        names = {"__builtins__": {**vars(builtins), "__import__": without_lanista}, "__name__": "model"}
        names["__file__"] = str(file)
        exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
        rebuilt = names["load"]()
    assert isinstance(rebuilt, nn.Module)
    return rebuilt.eval()


def without_lanista(name, *arguments):
    assert name.partition(".")[0] != "lanista", "the exported code imports lanista"
    return builtins.__import__(name, *arguments)
