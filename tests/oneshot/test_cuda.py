"""Supernets and methods on a GPU; skipped where there is none."""

import copy
import inspect
from functools import partial

import pytest
import torch
from torch import nn

from lanista import Experiment
from lanista.evaluator import Classification
from lanista.hub import NASBench201
from lanista.oneshot import DARTS, SPOS, Network, Supernet
from lanista.testing.methods import everything
from tests.oneshot.test_pairs import METHODS
from tests.oneshot.tiny import loader, sgd
from tests.oneshot.tiny import space as tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

STEPS = 6
SEARCHES = {make.__name__: make for make in METHODS if not inspect.isabstract(make)} | {
    "DARTS-2": partial(DARTS, order=2)
}


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(8, 3, 16, 16, generator=generator), torch.randint(0, 10, (8,), generator=generator)
    return x.cuda(), y.cuda()


def begun(make):
    torch.manual_seed(0)
    supernet = Supernet(NASBench201(8, 1)).cuda()
    optimizer = torch.optim.SGD(supernet.parameters(), 0.02, momentum=0.9)
    method = make()
    method.start(supernet, steps=STEPS)
    return method, optimizer


def run(method, optimizer, steps):
    for _ in range(steps):
        train, valid = batch(2 * method.count), batch(2 * method.count + 1)
        assert torch.tensor(method.step(train, valid, loss=loss, optimizer=optimizer, clip=5.0)).isfinite()


@pytest.fixture
def exact():
    """Kernels whose results are the same at each call."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_a_search_goes_on_from_its_state(name, exact):
    method, optimizer = begun(SEARCHES[name])
    run(method, optimizer, STEPS // 2)
    states = copy.deepcopy([part.state_dict() for part in (method, method.network.supernet, optimizer)])
    again, other = begun(SEARCHES[name])
    for part, state in zip((again, again.network.supernet, other), states, strict=True):
        part.load_state_dict(state)
    run(method, optimizer, STEPS // 2)
    run(again, other, STEPS // 2)
    for one, two in zip(method.network.supernet.parameters(), again.network.supernet.parameters(), strict=True):
        assert one.is_cuda
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    assert len(method.best(2)) == 2


@pytest.mark.parametrize("make", [partial(NASBench201, 8, 1), everything])
@pytest.mark.parametrize("training", [True, False])
def test_a_path_computes_what_its_copy_computes(make, training):
    space = make()
    torch.manual_seed(0)
    supernet = Supernet(space).cuda().train(training)
    x = torch.randn(4, *space.example_input.shape[1:], device="cuda")
    network = Network(supernet)
    for seed in range(5):
        architecture = space.decisions.sample(seed)
        own = supernet.inherit(architecture).train(training)
        assert all(tensor.is_cuda for tensor in (*own.parameters(), *own.buffers()))
        expected = own(x)
        torch.testing.assert_close(supernet.path(architecture)(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network.sub(architecture)(x), expected, rtol=1e-4, atol=1e-5)


def test_everything_is_mixed():
    torch.manual_seed(0)
    supernet = Supernet(everything()).cuda()
    method = DARTS(learning_rate=0.05)
    method.start(supernet, steps=STEPS)
    optimizer = torch.optim.SGD(supernet.parameters(), 0.02)
    x, y = torch.randn(8, 4, 8, device="cuda"), torch.randn(8, device="cuda")
    for _ in range(STEPS):
        method.step((x, y), (x, y), loss=lambda m, b: (m(b[0]) - b[1]).square().mean(), optimizer=optimizer)
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in supernet.parameters())
    assert supernet.path(method.best()[0])(x).shape == y.shape


@pytest.mark.parametrize("make", [DARTS, SPOS])
def test_fit_goes_on_from_its_folder(make, tmp_path):
    given = {"loss": nn.CrossEntropyLoss(), "optimizer": partial(torch.optim.SGD, lr=0.05), "device": "cuda"}
    made = []
    for _ in range(2):
        found = make().fit(tiny(), loader(), loader(seed=1), epochs=2, folder=tmp_path, evaluations=4, **given)
        made.append((found.architectures, found.scores))
    assert made[0][0] == made[1][0]
    assert made[0][1] == pytest.approx(made[1][1], abs=1e-4)


@pytest.mark.parametrize("make", [partial(DARTS, learning_rate=0.05), SPOS])
def test_an_experiment_trains_on_the_gpu(make, tmp_path):
    evaluator = Classification(partial(loader, shuffle=True), partial(loader, seed=1), optimizer=sgd, max_epochs=4)
    experiment = Experiment(
        tiny(), evaluator, make(), objectives={"val_accuracy": "maximize"}, name="test", storage=tmp_path / "test.db"
    )
    experiment.run(max_trials=4)
    assert experiment.top(1)[0].metrics["val_accuracy"] > 0.5
