"""What every space of the hub keeps."""

import inspect

import pytest
import torch

from lanista import hub
from lanista.hub import CATALOG
from lanista.testing.primitives import build, exported, without_gradient
from tests.hub.cases import SMALL, parameters

SAMPLES = 20


@pytest.mark.parametrize("name", SMALL)
def test_twenty_random_models_train_and_run_without_lanista(name):
    space = getattr(hub, name)(**SMALL[name])
    batch = torch.randn(2, *space.example_input.shape[1:])
    for seed in range(SAMPLES):
        architecture = space.sample(seed)
        model = build(space, architecture)
        assert _gradients_are_finite(model, batch), architecture
        assert model.eval()(batch).shape == (2, 10)
        exported(model, space, architecture)


def _gradients_are_finite(model, batch):
    """Where there are any: a cell may leave an input of its own unused."""
    lacking = without_gradient(model, batch)
    found = [p.grad for p in model.parameters() if p.grad is not None]
    return found and all(p.grad is None for name, p in model.named_parameters() if name in lacking)


@pytest.mark.parametrize("name", SMALL)
def test_an_entry_describes_its_space(name):
    entry = CATALOG[name]
    assert entry.space is getattr(hub, name)
    assert entry.url.startswith("https://arxiv.org/abs/")
    assert all(p.default is not p.empty for p in inspect.signature(entry.space).parameters.values())
    space = entry.space(**SMALL[name])
    assert space.example_input.shape[0] == 1


KNOWN = [
    pytest.param(entry, known, id=known.name)
    for entry in CATALOG.values()
    if entry.name in SMALL
    for known in entry.known
]

APART = {
    "NASNet-A (6 @ 768)": 3_061_738,
    "AmoebaNet-A (N=6, F=36)": 3_145_078,
    "PNASNet-5 (N=3, F=48)": 4_271_002,
    "ENAS micro": 3_729_430,
}
"""Published of other code than the stack here, as their notes say; what the stack here has instead."""


@pytest.mark.parametrize(("entry", "known"), KNOWN)
def test_published_parameters_are_reproduced(entry, known):
    count = parameters(entry.space(**known.settings), known.architecture)
    assert known.name not in APART or known.note
    if known.parameters is not None:
        expected = APART.get(known.name, known.parameters)
        assert abs(count - expected) <= 0.01 * expected
